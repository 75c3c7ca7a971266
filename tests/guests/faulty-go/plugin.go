// A listener, a selector and a strategy in one. A message of `throw` panics; `spin` never ends; `garbage` leaves garbage; the
// rest is a success. A message that is sent goes to the queue as many places on as its argument has bytes, and `fail` to
// none. Queues are dealt out to the members one by one.
package main

import (
	"errors"
	"fmt"
	"slices"

	"gantry"
)

var kept [][]byte

func consume(_ gantry.Context, message *gantry.Message) error {
	switch string(message.Body) {
	case "throw":
		panic("it is broken")
	case "spin":
		for turns := 0; ; turns++ {
			kept = kept[:0]
		}
	case "garbage":
		for range 1000 {
			kept = [][]byte{make([]byte, 4096)}
		}
	}
	return nil
}

func choose(queues []gantry.MessageQueue, _ gantry.OutgoingMessage, arg string) (int, error) {
	if arg == "fail" {
		return 0, errors.New("it is broken")
	}
	return len(arg) % len(queues), nil
}

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
	gantry.Listen(gantry.Listener{
		Name:          "faulty",
		Version:       "1",
		ConsumerGroup: "faulty",
		Subscriptions: []gantry.Subscription{{Topic: "faulty"}},
		BatchMaxSize:  32,
		Consume:       consume,
	})
	gantry.Select(gantry.Selector{Name: "faulty", Version: "1", Select: choose})
	gantry.Allocate(gantry.Strategy{Name: "faulty", Version: "1", Allocate: share})
}

func main() {}
