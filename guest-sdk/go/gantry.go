// Package gantry makes a Go program a Gantry plugin. A plugin calls Listen, Select or Allocate, one for each of its roles,
// from an init function of its package main.
//
// Time in a plugin begins at 1970 and moves only while it is looked at, unless something else is said in the README; a
// message carries the times that matter.
package gantry

import (
	wit "gantry/gantry_rocketmq_types"
	// What the host calls.
	_ "gantry/wit_exports"
)

// MessageQueue is one queue of a topic.
type MessageQueue = wit.MessageQueue
