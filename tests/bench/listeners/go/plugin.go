// The sample plugin minimal in Go, for the benchmark.
package main

import "gantry"

func consume(_ gantry.Context, message *gantry.Message) error {
	if len(message.Body) == 0 {
		return gantry.DeadLetter("a greeting without words")
	}
	return nil
}

func init() {
	gantry.Listen(gantry.Listener{
		Name:          "greetings-go",
		Version:       "0.1.0",
		ConsumerGroup: "greetings-group",
		Subscriptions: []gantry.Subscription{{Topic: "greetings"}},
		Consume:       consume,
	})
}

func main() {}
