// Deals the queues out one by one: the first to the first member, the second to the second, and around again.
package main

import (
	"fmt"
	"slices"

	"gantry"
)

func share(_, current string, queues []gantry.MessageQueue, clients []string) ([]gantry.MessageQueue, error) {
	member := slices.Index(clients, current)
	if member < 0 {
		return nil, fmt.Errorf("%s is not among the group's members", current)
	}
	var owned []gantry.MessageQueue
	for i := member; i < len(queues); i += len(clients) {
		owned = append(owned, queues[i])
	}
	return owned, nil
}

func init() {
	gantry.Allocate(gantry.Strategy{Name: "NAME", Version: "0.1.0", Allocate: share})
}

func main() {}
