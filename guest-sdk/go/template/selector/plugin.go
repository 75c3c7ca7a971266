// Sends all messages with the same argument to the same queue.
package main

import (
	"hash/fnv"

	"gantry"
)

func choose(queues []gantry.MessageQueue, _ gantry.OutgoingMessage, arg string) (int, error) {
	hash := fnv.New32a()
	hash.Write([]byte(arg))
	return int(hash.Sum32() % uint32(len(queues))), nil
}

func init() {
	gantry.Select(gantry.Selector{Name: "NAME", Version: "0.1.0", Select: choose})
}

func main() {}
