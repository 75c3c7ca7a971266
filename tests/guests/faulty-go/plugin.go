// `throw` panics; `spin` never ends; `garbage` leaves garbage; the rest is a success.
package main

import "gantry"

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

func init() {
	gantry.Listen(gantry.Listener{
		Name:          "faulty",
		Version:       "1",
		ConsumerGroup: "faulty",
		Subscriptions: []gantry.Subscription{{Topic: "faulty"}},
		BatchMaxSize:  32,
		Consume:       consume,
	})
}

func main() {}
