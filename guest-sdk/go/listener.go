package gantry

import (
	"errors"
	"fmt"
	"time"

	export "gantry/export_gantry_rocketmq_listener"
	wit "gantry/gantry_rocketmq_types"
	"gantry/wit/types"
)

// Context holds for every message of one call: they all come from one queue.
type Context struct {
	ConsumerGroup string
	// Topic is the one subscribed to, also when the message comes back from the retry topic.
	Topic      string
	BrokerName string
	QueueID    uint32
}

// Message is one message. Its Body and strings are good while Consume runs; copy what is to be kept.
type Message struct {
	ID string
	// Tags is empty where the producer set none.
	Tags string
	// Keys as sent, separated by spaces.
	Keys string
	// ReconsumeTimes is how often it was given back before: 0 the first time.
	ReconsumeTimes uint32
	QueueOffset    uint64
	// When the producer made it and when the broker stored it.
	Born, Stored time.Time
	Body         []byte
	user         []types.Tuple2[string, string]
}

// Property is a property the user set.
func (m *Message) Property(name string) (string, bool) {
	for _, property := range m.user {
		if property.F0 == name {
			return property.F1, true
		}
	}
	return "", false
}

// Subscription is one topic a listener wants: tags such as "created || paid" ("" and "*" are every message), or an SQL92
// condition.
type Subscription struct{ Topic, Tags, SQL92 string }

// Listener is a message listener. What is left out has RocketMQ's default.
type Listener struct {
	Name, Version, ConsumerGroup string
	Subscriptions                []Subscription
	Broadcasting, Orderly        bool
	// FromFirstOffset lets a group without offsets begin at the oldest message, instead of at the end.
	FromFirstOffset bool
	// BatchMaxSize is the most messages in one call of the host, 1 to 1024. 0 is 1.
	BatchMaxSize uint32
	// MaxReconsumeTimes before the dead-letter topic. 0 is 16, -1 is none.
	MaxReconsumeTimes int32
	// ConsumeTimeout of one call of the host. 0 is the host's default.
	ConsumeTimeout time.Duration
	// Consume is called for each message of a batch, in its order. nil is done; ReconsumeLater, ReconsumeAtLevel,
	// ReconsumeAfter and DeadLetter say what else; any other error, and a panic, is reconsumed later.
	Consume func(context Context, message *Message) error
}

// answer is what the errors below carry.
type answer struct {
	result wit.ConsumeResult
	words  string
}

func (a answer) Error() string { return a.words }

// ReconsumeLater gives the message back; the broker's own schedule says when it comes again.
func ReconsumeLater() error {
	return answer{wit.MakeConsumeResultReconsumeLater(wit.MakeRetryDelayByAttempts()), "reconsume later"}
}

// ReconsumeAtLevel gives it back for a delay level, 1 (1 s) to 18 (2 h).
func ReconsumeAtLevel(level uint8) error {
	return answer{wit.MakeConsumeResultReconsumeLater(wit.MakeRetryDelayLevel(level)), fmt.Sprint("reconsume at level ", level)}
}

// ReconsumeAfter gives it back for at least so long.
func ReconsumeAfter(delay time.Duration) error {
	delayed := wit.MakeRetryDelayMilliseconds(uint64(max(delay.Milliseconds(), 0)))
	return answer{wit.MakeConsumeResultReconsumeLater(delayed), fmt.Sprint("reconsume after ", delay)}
}

// DeadLetter sets it aside for ever, with the reason.
func DeadLetter(format string, arguments ...any) error {
	reason := fmt.Sprintf(format, arguments...)
	return answer{wit.MakeConsumeResultDeadLetter(reason), reason}
}

// Listen makes the plugin a listener; call it from init.
func Listen(listener Listener) {
	export.Describe = listener.describe
	export.ConsumeMessage = listener.consumeBatch
}

func (l *Listener) describe() wit.ListenerDescription {
	from := wit.MakeConsumeFromWhereLastOffset()
	if l.FromFirstOffset {
		from = wit.MakeConsumeFromWhereFirstOffset()
	}
	description := wit.ListenerDescription{
		Name: l.Name, Version: l.Version, ConsumerGroup: l.ConsumerGroup, ConsumeFromWhere: from,
	}
	for _, wanted := range l.Subscriptions {
		expression := wit.MakeFilterExpressionTags(wanted.Tags)
		if wanted.Tags == "" {
			expression = wit.MakeFilterExpressionTags("*")
		}
		if wanted.SQL92 != "" {
			expression = wit.MakeFilterExpressionSql92(wanted.SQL92)
		}
		description.Subscriptions = append(description.Subscriptions, wit.Subscription{Topic: wanted.Topic, Expression: expression})
	}
	if l.Broadcasting {
		description.MessageModel = wit.MessageModelBroadcasting
	}
	if l.Orderly {
		description.ConsumeMode = wit.ConsumeModeOrderly
	}
	if l.BatchMaxSize != 0 {
		description.ConsumeMessageBatchMaxSize = types.Some(l.BatchMaxSize)
	}
	if l.MaxReconsumeTimes != 0 {
		description.MaxReconsumeTimes = types.Some(uint32(max(l.MaxReconsumeTimes, 0)))
	}
	if l.ConsumeTimeout != 0 {
		description.ConsumeTimeout = types.Some(uint64(l.ConsumeTimeout.Milliseconds()))
	}
	return description
}

// A message that fails costs itself. Where every one of the batch fails, the batch does, so that the host's log has the
// first one's words.
func (l *Listener) consumeBatch(context wit.ConsumeContext, batch []wit.Message) types.Result[[]wit.ConsumeResult, string] {
	at := Context{context.ConsumerGroup, context.Topic, context.BrokerName, context.QueueId}
	results := make([]wit.ConsumeResult, 0, len(batch))
	failed, words := 0, ""
	for i := range batch {
		result, failure := l.consume(at, &batch[i])
		if failure != "" {
			if failed == 0 {
				words = failure
			}
			failed++
		}
		results = append(results, result)
	}
	if failed > 0 && failed == len(batch) {
		return types.Err[[]wit.ConsumeResult, string](words)
	}
	return types.Ok[[]wit.ConsumeResult, string](results)
}

// consume answers for one message; the words are those of a failure that is no answer.
func (l *Listener) consume(context Context, from *wit.Message) (result wit.ConsumeResult, words string) {
	later := wit.MakeConsumeResultReconsumeLater(wit.MakeRetryDelayByAttempts())
	defer func() {
		if panicked := recover(); panicked != nil {
			result, words = later, fmt.Sprint("panic: ", panicked)
		}
	}()
	err := l.Consume(context, &Message{
		ID: from.MessageId, Tags: from.Tags.SomeOr(""), Keys: from.Keys,
		ReconsumeTimes: from.ReconsumeTimes, QueueOffset: from.QueueOffset,
		Born: time.UnixMilli(int64(from.BornTimestamp)), Stored: time.UnixMilli(int64(from.StoreTimestamp)),
		Body: from.Body, user: from.UserProperties,
	})
	var answered answer
	switch {
	case err == nil:
		return wit.MakeConsumeResultSuccess(), ""
	case errors.As(err, &answered):
		return answered.result, ""
	default:
		return later, err.Error()
	}
}
