package embedded_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

const (
	growthBytes = 128
	growthFrom  = 10_000 // messages, where growing began
)

// BenchmarkGrowth is the whole way of messages, one a call in the OS, of a queue in which there is much, against one in which there is little, in turn: messages that were published and done, messages
// that are delayed, groups that wait. The ratio is that of the rates: 0.77 is 1.3 times as long a message. LEAT_LOOPS=full has the sizes of the goal: 100,000,000 messages, 10,000,000 delayed, 1,000 groups.
func BenchmarkGrowth(b *testing.B) {
	messages, delayed, groups := 1_000_000, 100_000, 100
	if os.Getenv("LEAT_LOOPS") == "full" {
		messages, delayed, groups = 100_000_000, 10_000_000, 1_000
	}
	b.Run(fmt.Sprintf("%d messages", messages), func(b *testing.B) { growing(b, messages, (*pipe).prefill) })
	b.Run(fmt.Sprintf("%d delayed", delayed), func(b *testing.B) { growing(b, delayed, (*pipe).pend) })
	b.Run(fmt.Sprintf("%d groups", groups), func(b *testing.B) { growing(b, groups, (*pipe).idleGroups) })
}

// growing measures a queue with much, by grow, against one with as much as growing began with.
func growing(b *testing.B, much int, grow func(p *pipe, n int)) {
	large, small := newPipe(b, openBench(b), queue.ByKey, queue.OS, 1, false), newPipe(b, openBench(b), queue.ByKey, queue.OS, 1, false)
	small.prefill(growthFrom)
	large.prefill(growthFrom)
	grow(large, much)
	against(b, growthBytes, large.move(growthBytes), small.move(growthBytes), "small")
}

// prefill publishes n messages, many a call, and waits until they are handled.
func (p *pipe) prefill(n int) {
	p.left.Store(int64(n))
	p.publishMany(n, func(m *queue.Message) { m.Topic = p.topic })
	<-p.all
}

// pend delays n messages.
func (p *pipe) pend(n int) {
	must(p.b, p.broker.EnsureTopic(p.b.Context(), "later", queue.TopicConfig{Durability: queue.OS}))
	due := time.Now().Add(24 * time.Hour)
	p.publishMany(n, func(m *queue.Message) {
		due = due.Add(7919 * time.Millisecond)
		m.Topic, m.NotBefore = "later", due
	})
	for p.broker.Stats().Topics[1].Delayed < int64(n) {
		<-time.After(10 * time.Millisecond)
	}
}

func (p *pipe) publishMany(n int, as func(m *queue.Message)) {
	ctx, value := context.Background(), make([]byte, growthBytes)
	ms := make([]queue.Message, 1000)
	for n > 0 {
		ms = ms[:min(n, len(ms))]
		for i := range ms {
			ms[i] = queue.Message{Key: p.keys[i%len(p.keys)], Value: value}
			as(&ms[i])
		}
		must(p.b, p.publish(ctx, ms))
		n -= len(ms)
	}
}

// idleGroups has n groups wait for another topic, each with a member.
func (p *pipe) idleGroups(n int) {
	must(p.b, p.broker.EnsureTopic(p.b.Context(), "other", queue.TopicConfig{Durability: queue.OS}))
	for i := range n {
		name := fmt.Sprintf("idle-%d", i)
		untilEnd(p.b, func(ctx context.Context) error {
			return p.broker.Consume(ctx, queue.Group{Name: name, Topics: []string{"other"}, Concurrency: 1}, func(context.Context, *queue.Delivery) error { return nil })
		})
		must(p.b, p.broker.WaitIdle(p.b.Context(), name))
	}
}
