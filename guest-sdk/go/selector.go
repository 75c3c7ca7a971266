package gantry

import (
	"fmt"

	export "gantry/export_gantry_rocketmq_selector"
	wit "gantry/gantry_rocketmq_types"
	"gantry/wit/types"
)

// Selector says which queue a message is sent to.
type Selector struct {
	Name, Version string
	// Select is the index of a queue. queues, never empty, are sorted; arg is what the sender gave. An error, a panic, or an
	// index that no queue has leaves it to the sender's fallback.
	Select func(queues []MessageQueue, message OutgoingMessage, arg string) (int, error)
}

// OutgoingMessage is a message that is about to be sent.
type OutgoingMessage = wit.OutgoingMessage

// Select makes the plugin a selector; call it from init.
func Select(selector Selector) {
	export.Describe = func() export.SelectorDescription {
		return export.SelectorDescription{Name: selector.Name, Version: selector.Version}
	}
	export.Select = selector.answer
}

func (s *Selector) answer(queues []wit.MessageQueue, message wit.OutgoingMessage, arg string) (result types.Result[uint32, string]) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result = types.Err[uint32](fmt.Sprint("panic: ", panicked))
		}
	}()
	index, err := s.Select(queues, message, arg)
	switch {
	case err != nil:
		return types.Err[uint32](err.Error())
	case index < 0 || index >= len(queues):
		return types.Err[uint32](fmt.Sprintf("index %d, of %d queues", index, len(queues)))
	default:
		return types.Ok[uint32, string](uint32(index))
	}
}
