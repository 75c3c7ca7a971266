// Package export_gantry_rocketmq_selector is what the bindings call; gantry.Select fills it in.
package export_gantry_rocketmq_selector

import (
	selector "gantry/gantry_rocketmq_selector"
	wit "gantry/gantry_rocketmq_types"
	"gantry/wit/types"
)

// SelectorDescription is what a selector says of itself.
type SelectorDescription = selector.SelectorDescription

var (
	Describe func() SelectorDescription
	Select   func([]wit.MessageQueue, wit.OutgoingMessage, string) types.Result[uint32, string]
)
