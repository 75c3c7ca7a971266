// Consumes the topic `orders` as plugins/orders does, in Go.
//
//   - An order that cannot be read, or has no positive amount: dead letter, with the reason.
//   - "status": "payment-pending": the bank is asked again after 1 s, 5 s and 10 s; then the order is a dead letter.
//   - Any other: success.
package main

import (
	"encoding/json"
	"regexp"

	"gantry"
)

type order struct {
	ID       *string
	Status   *string
	Amount   *int64
	Currency *string
}

var (
	statuses = map[string]bool{"created": true, "payment-pending": true, "paid": true, "cancelled": true}
	currency = regexp.MustCompile(`^[A-Z]{3}$`)
)

func read(body []byte) (*order, error) {
	var sent order
	if err := json.Unmarshal(body, &sent); err != nil {
		return nil, gantry.DeadLetter("not an order: %v", err)
	}
	switch {
	case sent.Status == nil || !statuses[*sent.Status]:
		return nil, gantry.DeadLetter("not an order: it has no status we know")
	case sent.ID == nil || *sent.ID == "":
		return nil, gantry.DeadLetter("an order without id")
	case sent.Amount == nil:
		return nil, gantry.DeadLetter("an order without amount")
	case *sent.Amount <= 0:
		return nil, gantry.DeadLetter("an order whose amount is not positive")
	case sent.Currency != nil && !currency.MatchString(*sent.Currency):
		return nil, gantry.DeadLetter("an order in %q, which is no currency", *sent.Currency)
	}
	return &sent, nil
}

func consume(_ gantry.Context, message *gantry.Message) error {
	order, err := read(message.Body)
	if err != nil {
		return err
	}
	if *order.Status == "payment-pending" {
		// Levels 1, 2, 3: 1 s, 5 s, 10 s.
		return gantry.ReconsumeAtLevel(uint8(min(message.ReconsumeTimes+1, 18)))
	}
	return nil
}

func init() {
	gantry.Listen(gantry.Listener{
		Name:              "orders",
		Version:           "1.0.0",
		ConsumerGroup:     "orders-group",
		Subscriptions:     []gantry.Subscription{{Topic: "orders", Tags: "created || paid || payment-pending"}},
		BatchMaxSize:      32,
		MaxReconsumeTimes: 3,
		Consume:           consume,
	})
}

func main() {}
