// Package export_gantry_rocketmq_listener is what the bindings call; Listen fills it in.
package export_gantry_rocketmq_listener

import (
	wit "gantry/gantry_rocketmq_types"
	"gantry/wit/types"
)

var (
	Describe       func() wit.ListenerDescription
	ConsumeMessage func(wit.ConsumeContext, []wit.Message) types.Result[[]wit.ConsumeResult, string]
)
