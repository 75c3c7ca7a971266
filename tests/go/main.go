// Command gantry-driver is Apache RocketMQ's Go client as a child process: one JSON object per line, requests on standard
// input, events on standard output. The first argument is the role, consumer or client, the others are name=value. It ends
// when its standard input does. It speaks as GantryDriver.java does, as far as the Go client can do the same.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

type object map[string]any

var events struct {
	sync.Mutex
	*json.Encoder
}

func emit(name string, event object) {
	event["event"] = name
	events.Lock()
	defer events.Unlock()
	if events.Encode(event) != nil {
		os.Exit(1) // nobody reads any more
	}
}

func main() {
	rlog.SetLogLevel("warn") // to standard error
	events.Encoder = json.NewEncoder(os.Stdout)
	settings := settings{}
	for _, argument := range os.Args[2:] {
		name, value, _ := strings.Cut(argument, "=")
		settings[name] = value
	}
	role := runClient
	if os.Args[1] == "consumer" {
		role = runConsumer
	}
	if err := role(settings); err != nil {
		emit("failed", object{"reason": err.Error()})
		os.Exit(1)
	}
}

type settings map[string]string

func (s settings) text(name, otherwise string) string {
	if value, given := s[name]; given {
		return value
	}
	return otherwise
}

func (s settings) number(name string, otherwise int) int {
	if value, err := strconv.Atoi(s[name]); err == nil {
		return value
	}
	return otherwise
}

func (s settings) nameServer() primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{s["namesrv"]})
}

// A request is what is asked for; each op takes the fields it needs.
type request struct {
	Op         string            `json:"op"`
	Topic      string            `json:"topic"`
	Tags       string            `json:"tags"`
	Keys       string            `json:"keys"`
	Body       string            `json:"body"`
	Prefix     string            `json:"prefix"`
	Count      int               `json:"count"`
	Batch      int               `json:"batch"`
	Queues     int               `json:"queues"`
	DelayLevel int               `json:"delayLevel"`
	QueueID    *int              `json:"queueId"`
	Properties map[string]string `json:"properties"`
	// In milliseconds: of a timer message, and of a request message.
	DelayMillis   int64 `json:"delayMillis"`
	DeliverAt     int64 `json:"deliverAt"`
	TimeoutMillis int64 `json:"timeoutMillis"`
	// commit, rollback or unknown.
	State     string `json:"state"`
	WhenAsked string `json:"whenAsked"`
}

// serve answers requests until standard input ends or quit is asked for.
func serve(handle func(request) (string, object, error)) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var asked request
		err := json.Unmarshal(lines.Bytes(), &asked)
		if err == nil && asked.Op == "quit" {
			return
		}
		var name string
		var answer object
		if err == nil {
			name, answer, err = handle(asked)
		}
		if err != nil {
			name, answer = "failed", object{"reason": err.Error()}
		}
		emit(name, answer)
	}
}

func unknown(asked request) (string, object, error) {
	return "", nil, fmt.Errorf("the Go driver has no op %q", asked.Op)
}

// ---- a push consumer, member of a group ----

type member struct {
	orderly bool
	pause   time.Duration
	level   int
	replier rocketmq.Producer
}

func runConsumer(s settings) error {
	from, model := consumer.ConsumeFromFirstOffset, consumer.Clustering
	if s["from"] == "last" {
		from = consumer.ConsumeFromLastOffset
	}
	if s["model"] == "broadcasting" {
		model = consumer.BroadCasting
	}
	member := member{
		orderly: s["listener"] == "orderly",
		pause:   time.Duration(s.number("pauseMillis", 0)) * time.Millisecond,
		level:   s.number("retryLevel", 0),
	}
	if _, replying := s["replying"]; replying {
		replier, err := rocketmq.NewProducer(
			producer.WithNsResolver(s.nameServer()),
			producer.WithGroupName("gantry-driver-replier"),
			producer.WithInstanceName("gantry-driver-replier"),
		)
		if err != nil {
			return err
		}
		if err := replier.Start(); err != nil {
			return err
		}
		member.replier = replier
	}
	push, err := consumer.NewPushConsumer(
		consumer.WithNsResolver(s.nameServer()),
		consumer.WithGroupName(s["group"]),
		consumer.WithInstance(s.text("instance", "go")),
		consumer.WithConsumeFromWhere(from),
		consumer.WithConsumerModel(model),
		consumer.WithConsumerOrder(member.orderly),
		consumer.WithConsumeMessageBatchMaxSize(s.number("batch", 1)),
		consumer.WithMaxReconsumeTimes(int32(s.number("maxReconsumeTimes", -1))),
	)
	if err != nil {
		return err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: s.text("tags", "*")}
	if sql, ok := s["sql"]; ok {
		selector = consumer.MessageSelector{Type: consumer.SQL92, Expression: sql}
	}
	if err := push.Subscribe(s["topic"], selector, member.consume); err != nil {
		return err
	}
	if err := push.Start(); err != nil {
		return err
	}
	emit("started", object{"clientId": s.text("instance", "go")})
	serve(func(asked request) (string, object, error) {
		owned, pending := []primitive.MessageQueue{}, int64(0)
		for queue, about := range push.GetConsumerRunningInfo(false).MQTable {
			owned = append(owned, queue)
			pending += int64(about.CachedMsgCount + about.TransactionMsgCount)
		}
		switch asked.Op {
		case "queues":
			return "queues", object{"queues": queues(owned)}, nil
		case "pending":
			return "pending", object{"pending": pending}, nil
		}
		return unknown(asked)
	})
	if err := push.Shutdown(); err != nil {
		return err
	}
	emit("stopped", object{})
	return nil
}

// consume gives a body that begins with "later" back the first time; all else succeeds.
func (m member) consume(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	time.Sleep(m.pause)
	later := false
	for _, message := range messages {
		if m.replier != nil {
			if err := m.answer(message); err != nil {
				return consumer.ConsumeRetryLater, err
			}
		}
		emit("consumed", shown(message))
		later = later || message.ReconsumeTimes == 0 && strings.HasPrefix(string(message.Body), "later")
	}
	switch {
	case !later:
		return consumer.ConsumeSuccess, nil
	case m.orderly:
		return consumer.SuspendCurrentQueueAMoment, nil
	}
	if concurrently, found := primitive.GetConcurrentlyCtx(ctx); found {
		concurrently.DelayLevelWhenNextConsume = m.level
	}
	return consumer.ConsumeRetryLater, nil
}

// answer answers a request message.
func (m member) answer(message *primitive.MessageExt) error {
	reply, err := consumer.CreateReplyMessage(message, nil) // it takes the body for properties
	if err != nil {
		return err
	}
	reply.Body = append([]byte("re: "), message.Body...)
	_, err = m.replier.SendSync(context.Background(), reply)
	return err
}

func queues(owned []primitive.MessageQueue) []object {
	sort.Slice(owned, func(i, j int) bool {
		if owned[i].Topic != owned[j].Topic {
			return owned[i].Topic < owned[j].Topic
		}
		return owned[i].QueueId < owned[j].QueueId
	})
	all := []object{}
	for _, queue := range owned {
		all = append(all, object{"topic": queue.Topic, "broker": queue.BrokerName, "queueId": queue.QueueId})
	}
	return all
}

func shown(message *primitive.MessageExt) object {
	event := object{
		"topic": message.Topic, "queueId": message.Queue.QueueId, "broker": message.Queue.BrokerName,
		"offset": message.QueueOffset, "msgId": message.MsgId, "reconsumeTimes": message.ReconsumeTimes,
		"storeTimestamp": message.StoreTimestamp, "body": string(message.Body), "properties": message.GetProperties(),
	}
	if keys := message.GetKeys(); keys != "" {
		event["keys"] = keys
	}
	if tags := message.GetTags(); tags != "" {
		event["tags"] = tags
	}
	return event
}

// ---- a producer and administrator ----

type client struct {
	producer     rocketmq.Producer
	admin        admin.Admin
	broker       string
	nameServer   primitive.NsResolver
	transactions *transactions
}

func runClient(s settings) error {
	sender, err := rocketmq.NewProducer(
		producer.WithNsResolver(s.nameServer()),
		producer.WithGroupName("gantry-driver-producer"),
		producer.WithInstanceName("gantry-driver-producer"),
		producer.WithRetry(5),
		producer.WithQueueSelector(chosenQueue{producer.NewRoundRobinQueueSelector()}),
	)
	if err != nil {
		return err
	}
	if err := sender.Start(); err != nil {
		return err
	}
	administrator, err := admin.NewAdmin(admin.WithResolver(s.nameServer()))
	if err != nil {
		return err
	}
	client := client{sender, administrator, s["namesrv"], s.nameServer(), &transactions{}}
	emit("started", object{})
	serve(client.handle)
	if err := administrator.Close(); err != nil {
		return err
	}
	if err := sender.Shutdown(); err != nil {
		return err
	}
	emit("stopped", object{})
	return nil
}

// A chosenQueue takes the queue a message names, or the next.
type chosenQueue struct{ otherwise producer.QueueSelector }

func (c chosenQueue) Select(
	message *primitive.Message, queues []*primitive.MessageQueue, last string,
) *primitive.MessageQueue {
	for _, queue := range queues {
		if message.Queue != nil && queue.QueueId == message.Queue.QueueId {
			return queue
		}
	}
	return c.otherwise.Select(message, queues, last)
}

func (c client) handle(asked request) (string, object, error) {
	switch asked.Op {
	case "send":
		return c.send(asked)
	case "sendMany":
		return c.sendMany(asked)
	case "transact":
		return c.transact(asked)
	case "checks":
		return "checks", object{"checks": c.transactions.checks()}, nil
	case "request":
		return c.request(asked)
	case "createTopic":
		return c.createTopic(asked)
	}
	return unknown(asked)
}

func outgoing(asked request, keys, body string) *primitive.Message {
	message := primitive.NewMessage(asked.Topic, []byte(body)).WithTag(asked.Tags)
	if keys != "" {
		message.WithKeys(strings.Fields(keys))
	}
	if asked.DelayLevel > 0 {
		message.WithDelayTimeLevel(asked.DelayLevel)
	}
	if asked.DelayMillis > 0 {
		message.WithProperty("TIMER_DELAY_MS", strconv.FormatInt(asked.DelayMillis, 10))
	}
	if asked.DeliverAt > 0 {
		message.WithProperty("TIMER_DELIVER_MS", strconv.FormatInt(asked.DeliverAt, 10))
	}
	for name, value := range asked.Properties {
		message.WithProperty(name, value)
	}
	if asked.QueueID != nil {
		message.Queue = &primitive.MessageQueue{QueueId: *asked.QueueID}
	}
	return message
}

func (c client) send(asked request) (string, object, error) {
	result, err := c.producer.SendSync(context.Background(), outgoing(asked, asked.Keys, asked.Body))
	if err != nil {
		return "", nil, err
	}
	return sent(result)
}

func sent(result *primitive.SendResult) (string, object, error) {
	status := fmt.Sprintf("status %d", result.Status)
	if result.Status == primitive.SendOK {
		status = "SEND_OK"
	}
	return "sent", object{
		"status": status, "msgId": result.MsgID, "offsetMsgId": result.OffsetMsgID,
		"broker": result.MessageQueue.BrokerName, "queueId": result.MessageQueue.QueueId, "offset": result.QueueOffset,
	}, nil
}

// transactions is a producer of transactions, started when it is first needed, and how they end.
type transactions struct {
	sync.Mutex
	producer rocketmq.TransactionProducer
	// By body: how a transaction ends at once, and when the broker asks; how often it has asked.
	states, later map[string]primitive.LocalTransactionState
	asked         map[string]int
}

func (t *transactions) ExecuteLocalTransaction(message *primitive.Message) primitive.LocalTransactionState {
	t.Lock()
	defer t.Unlock()
	return t.states[string(message.Body)]
}

func (t *transactions) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	t.Lock()
	defer t.Unlock()
	t.asked[string(message.Body)]++
	return t.later[string(message.Body)]
}

func (t *transactions) checks() object {
	t.Lock()
	defer t.Unlock()
	checks := object{}
	for body, times := range t.asked {
		checks[body] = times
	}
	return checks
}

func state(name string) primitive.LocalTransactionState {
	switch name {
	case "commit":
		return primitive.CommitMessageState
	case "rollback":
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

// transact sends a message in a transaction.
func (c client) transact(asked request) (string, object, error) {
	t := c.transactions
	if t.producer == nil {
		t.states = map[string]primitive.LocalTransactionState{}
		t.later = map[string]primitive.LocalTransactionState{}
		t.asked = map[string]int{}
		sender, err := rocketmq.NewTransactionProducer(t,
			producer.WithNsResolver(c.nameServer),
			producer.WithGroupName("gantry-driver-transactions"),
			producer.WithInstanceName("gantry-driver-transactions"),
			producer.WithQueueSelector(chosenQueue{producer.NewRoundRobinQueueSelector()}),
		)
		if err != nil {
			return "", nil, err
		}
		if err := sender.Start(); err != nil {
			return "", nil, err
		}
		t.producer = sender
	}
	t.Lock()
	t.states[asked.Body], t.later[asked.Body] = state(asked.State), state(asked.WhenAsked)
	t.Unlock()
	result, err := t.producer.SendMessageInTransaction(context.Background(), outgoing(asked, asked.Keys, asked.Body))
	if err != nil {
		return "", nil, err
	}
	return sent(result.SendResult)
}

// request sends a request message and waits for its reply.
func (c client) request(asked request) (string, object, error) {
	timeout := time.Duration(asked.TimeoutMillis) * time.Millisecond
	reply, err := c.producer.Request(context.Background(), timeout, outgoing(asked, asked.Keys, asked.Body))
	if err != nil {
		return "", nil, err
	}
	if reply == nil {
		return "", nil, fmt.Errorf("no reply within %v", timeout)
	}
	return "reply", object{"body": string(reply.Body)}, nil
}

// sendMany sends messages with keys and bodies <prefix>-0, <prefix>-1 and so on, in batches.
func (c client) sendMany(asked request) (string, object, error) {
	for next := 0; next < asked.Count; {
		batch := []*primitive.Message{}
		for ; next < asked.Count && len(batch) < max(1, asked.Batch); next++ {
			name := asked.Prefix + "-" + strconv.Itoa(next)
			batch = append(batch, outgoing(asked, name, name))
		}
		result, err := c.producer.SendSync(context.Background(), batch...)
		if err != nil {
			return "", nil, err
		}
		if result.Status != primitive.SendOK {
			return "", nil, fmt.Errorf("sent with status %d", result.Status)
		}
	}
	return "done", object{"count": asked.Count}, nil
}

// createTopic creates a topic at the embedded broker, which is at the name server's address: the Go administrator has to
// be told a broker.
func (c client) createTopic(asked request) (string, object, error) {
	var err error
	for tries := 0; tries < 5; tries++ { // the administrator waits 5 s for each, whatever the machine has to do
		err = c.admin.CreateTopic(context.Background(),
			admin.WithTopicCreate(asked.Topic), admin.WithBrokerAddrCreate(c.broker),
			admin.WithReadQueueNums(asked.Queues), admin.WithWriteQueueNums(asked.Queues))
		if err == nil {
			break
		}
	}
	return "done", object{}, err
}
