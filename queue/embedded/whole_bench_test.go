package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// benchPartitions and benchKeys are what messages on their whole way are spread over.
const (
	benchPartitions = 8
	benchKeys       = 1000
)

// BenchmarkConsumeOS is a message's whole way over a disk without waiting for it: published, handed to a handler of a group, and its
// end noted; so many a call are published and, at most, handled. Against it stands a goroutine that writes and one that reads back, checks sums, calls the handler, and writes how far it came.
func BenchmarkConsumeOS(b *testing.B) {
	br, l := openBench(b), newRawLog(b)
	wholeWay(b, func(b *testing.B, order queue.Order, size, atOnce int, borrowed bool) {
		p := newPipe(b, br, order, queue.OS, atOnce, borrowed)
		r := &rawPipe{rawLog: l, positions: newRawLog(b), message: make([]byte, size), atOnce: atOnce}
		against(b, size, p.move(size), r.move, "raw")
	})
}

// BenchmarkConsumeMemory is the same in memory, against a channel that carries copies.
func BenchmarkConsumeMemory(b *testing.B) {
	br, err := embedded.InMemory(embedded.Options{})
	must(b, err)
	defer br.Close()
	wholeWay(b, func(b *testing.B, order queue.Order, size, atOnce int, borrowed bool) {
		p := newPipe(b, br, order, queue.Memory, atOnce, borrowed)
		against(b, size, p.move(size), throughChannel(size), "channel")
	})
}

// wholeWay runs f for each order, size, and number of messages a call, with handlers that may keep what they are given and with such that may not.
func wholeWay(b *testing.B, f func(b *testing.B, order queue.Order, size, atOnce int, borrowed bool)) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		b.Run(order.String(), func(b *testing.B) {
			bySize(b, func(b *testing.B, size int) {
				for _, atOnce := range []int{1, 100} {
					b.Run(fmt.Sprintf("%d a call", atOnce), func(b *testing.B) {
						b.Run("owned", func(b *testing.B) { f(b, order, size, atOnce, false) })
						b.Run("borrowed", func(b *testing.B) { f(b, order, size, atOnce, true) })
					})
				}
			})
		})
	}
}

// pipe is a topic, one for each order, with a group behind it that has finished all of it.
type pipe struct {
	b      *testing.B
	broker *queue.Broker
	topic  string
	atOnce int // messages of a publish, and at most of a call of the handler
	keys   [][]byte
	turn   int

	left atomic.Int64  // messages to be handled
	all  chan struct{} // of one: left came to 0
}

func newPipe(b *testing.B, br *queue.Broker, order queue.Order, d queue.Durability, atOnce int, borrowed bool) *pipe {
	b.Helper()
	p := &pipe{b: b, broker: br, topic: order.String(), atOnce: atOnce, all: make(chan struct{}, 1)}
	must(b, br.EnsureTopic(b.Context(), p.topic, queue.TopicConfig{Partitions: benchPartitions, Durability: d}))
	for i := range benchKeys {
		p.keys = append(p.keys, fmt.Appendf(nil, "key-%d", i))
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	g := queue.Group{Name: order.String(), Topics: []string{p.topic}, Order: order, Borrowed: borrowed, Batch: queue.Batch{Messages: atOnce, Wait: time.Millisecond}}
	go func() { ended <- p.consume(ctx, g) }()
	b.Cleanup(func() {
		stop()
		must(b, <-ended)
	})
	return p
}

// consume runs the group, with a handler of as many messages as a publish has.
func (p *pipe) consume(ctx context.Context, g queue.Group) error {
	if p.atOnce == 1 {
		g.Batch = queue.Batch{}
		return p.broker.Consume(ctx, g, func(context.Context, *queue.Delivery) error {
			p.handled(1)
			return nil
		})
	}
	return p.broker.ConsumeBatch(ctx, g, func(_ context.Context, ds []*queue.Delivery) []error {
		p.handled(len(ds))
		return nil
	})
}

func (p *pipe) handled(n int) {
	if p.left.Add(-int64(n)) == 0 {
		p.all <- struct{}{}
	}
}

// move publishes messages and waits until all are handled.
func (p *pipe) move(size int) contender {
	ctx, value := context.Background(), make([]byte, size)
	ms := make([]queue.Message, p.atOnce)
	return func(n int) {
		p.left.Store(int64(n))
		for n > 0 {
			ms = ms[:min(n, p.atOnce)]
			for i := range ms {
				ms[i] = queue.Message{Topic: p.topic, Key: p.keys[p.turn%len(p.keys)], Value: value}
				p.turn++
			}
			if err := p.publish(ctx, ms); err != nil {
				p.b.Fatal(err)
			}
			n -= len(ms)
		}
		ms = ms[:p.atOnce]
		<-p.all
	}
}

func (p *pipe) publish(ctx context.Context, ms []queue.Message) (err error) {
	for {
		if len(ms) == 1 {
			_, err = p.broker.Publish(ctx, ms[0])
		} else {
			_, err = p.broker.PublishBatch(ctx, ms...)
		}
		if !errors.Is(err, queue.ErrFull) {
			return err
		}
		runtime.Gosched() // in memory a publish does not wait for room
	}
}
