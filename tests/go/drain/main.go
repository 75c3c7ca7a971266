// Command drain is Apache RocketMQ's Go client as one of the benchmark's consumers: see tests/bench/README.md for what it
// is told and says.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

type settings map[string]string

// number gives a setting to what takes it, if it is set.
func (s settings) number(name string, take func(int)) {
	if value, err := strconv.Atoi(s[name]); err == nil {
		take(value)
	}
}

func main() {
	rlog.SetLogLevel("error") // to standard error
	settings := settings{}
	for _, argument := range os.Args[1:] {
		name, value, _ := strings.Cut(argument, "=")
		settings[name] = value
	}
	if err := run(settings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(s settings) error {
	wanted, err := strconv.ParseInt(s["count"], 10, 64)
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	options := []consumer.Option{
		consumer.WithNsResolver(primitive.NewPassthroughResolver([]string{s["namesrv"]})),
		consumer.WithGroupName(s["group"]),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}
	add := func(option consumer.Option) { options = append(options, option) }
	s.number("pull", func(n int) { add(consumer.WithPullBatchSize(int32(n))) })
	s.number("batch", func(n int) { add(consumer.WithConsumeMessageBatchMaxSize(n)) })
	s.number("threshold", func(n int) { add(consumer.WithPullThresholdForQueue(int64(n))) })
	s.number("span", func(n int) { add(consumer.WithConsumeConcurrentlyMaxSpan(n)) })
	s.number("threads", func(n int) { add(consumer.WithConsumeGoroutineNums(n)) })
	push, err := consumer.NewPushConsumer(options...)
	if err != nil {
		return err
	}
	tally := &tally{wanted: wanted}
	_, timed := s["latency"]
	listen := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		if timed {
			for _, message := range messages {
				tally.time(message.Body)
			}
		} else {
			tally.add(int64(len(messages)))
		}
		return consumer.ConsumeSuccess, nil
	}
	every := consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
	if err := push.Subscribe(s["topic"], every, listen); err != nil {
		return err
	}
	if err := push.Start(); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := push.Shutdown(); err != nil {
		return err
	}
	return tally.end()
}

type tally struct {
	wanted int64
	begun  atomic.Bool
	count  atomic.Int64

	sync.Mutex
	latencies []int64
}

func (t *tally) add(messages int64) {
	now := t.count.Add(messages)
	if !t.begun.Load() && t.begun.CompareAndSwap(false, true) {
		say("first", now)
	}
	if now-messages < t.wanted && now >= t.wanted {
		say("end", now)
	}
}

// time takes a message whose body begins with when it was sent; the time 0 only shows that messages arrive.
func (t *tally) time(body []byte) {
	sent := int64(binary.BigEndian.Uint64(body))
	if sent == 0 {
		t.add(0)
		return
	}
	t.Lock()
	t.latencies = append(t.latencies, time.Now().UnixNano()-sent)
	t.Unlock()
	t.add(1)
}

func (t *tally) end() error {
	t.Lock()
	defer t.Unlock()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"event": "stopped", "count": t.count.Load(), "latencies": append([]int64{}, t.latencies...),
	})
}

func say(event string, count int64) {
	fmt.Printf("{\"event\":%q,\"count\":%d,\"at\":%d}\n", event, count, time.Now().UnixNano())
}
