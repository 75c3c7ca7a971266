package gantry

import (
	"fmt"

	export "gantry/export_gantry_rocketmq_strategy"
	wit "gantry/gantry_rocketmq_types"
	"gantry/wit/types"
)

// Strategy says which queues of a topic are whose.
type Strategy struct {
	Name, Version string
	// Allocate is the share of current. queues and clients are sorted, and the same at every member; the answer must depend
	// on the arguments alone. An error, or a panic, leaves the group with the queues it has.
	Allocate func(group, current string, queues []MessageQueue, clients []string) ([]MessageQueue, error)
}

// Allocate makes the plugin a strategy; call it from init.
func Allocate(strategy Strategy) {
	export.Describe = func() export.StrategyDescription {
		return export.StrategyDescription{Name: strategy.Name, Version: strategy.Version}
	}
	export.Allocate = strategy.answer
}

func (s *Strategy) answer(group, current string, queues []wit.MessageQueue, clients []string) (result types.Result[[]wit.MessageQueue, string]) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result = types.Err[[]wit.MessageQueue](fmt.Sprint("panic: ", panicked))
		}
	}()
	share, err := s.Allocate(group, current, queues, clients)
	if err != nil {
		return types.Err[[]wit.MessageQueue](err.Error())
	}
	return types.Ok[[]wit.MessageQueue, string](share)
}
