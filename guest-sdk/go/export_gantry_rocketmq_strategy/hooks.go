// Package export_gantry_rocketmq_strategy is what the bindings call; gantry.Allocate fills it in.
package export_gantry_rocketmq_strategy

import (
	strategy "gantry/gantry_rocketmq_strategy"
	wit "gantry/gantry_rocketmq_types"
	"gantry/wit/types"
)

// StrategyDescription is what a strategy says of itself.
type StrategyDescription = strategy.StrategyDescription

var (
	Describe func() StrategyDescription
	Allocate func(string, string, []wit.MessageQueue, []string) types.Result[[]wit.MessageQueue, string]
)
