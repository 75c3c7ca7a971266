// Consumes the topic NAME.
package main

import "gantry"

func consume(_ gantry.Context, message *gantry.Message) error {
	if len(message.Body) == 0 {
		return gantry.DeadLetter("an empty message")
	}
	// Not now: return gantry.ReconsumeLater()
	return nil
}

func init() {
	gantry.Listen(gantry.Listener{
		Name:          "NAME",
		Version:       "0.1.0",
		ConsumerGroup: "NAME-group",
		Subscriptions: []gantry.Subscription{{Topic: "NAME"}},
		BatchMaxSize:  32,
		Consume:       consume,
	})
}

func main() {}
