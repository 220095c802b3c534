package peers

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// ours is a queue in a directory with one topic.
type ours struct {
	tb     testing.TB
	dir    string
	synced bool
	broker *queue.Broker
	groups int
}

func newOurs(tb testing.TB, synced bool) peer {
	o := &ours{tb: tb, dir: tb.TempDir(), synced: synced}
	o.open()
	tb.Cleanup(o.close)
	return o
}

func (o *ours) open() {
	b, err := embedded.Open(o.dir, embedded.Options{})
	must(o.tb, err)
	c := queue.TopicConfig{Partitions: 1, Durability: queue.OS}
	if o.synced {
		c.Durability = queue.Synced
	}
	must(o.tb, b.EnsureTopic(context.Background(), "t", c))
	o.broker = b
}

func (o *ours) close() { must(o.tb, o.broker.Close()) }

func (o *ours) reopen() {
	o.close()
	o.open()
}

func (o *ours) publish(n, size, atOnce int) {
	value := make([]byte, size)
	ms := make([]queue.Message, atOnce)
	for i := range ms {
		ms[i] = queue.Message{Topic: "t", Value: value}
	}
	var err error
	for ; n > 0 && err == nil; n -= atOnce {
		if atOnce == 1 {
			_, err = o.broker.Publish(context.Background(), ms[0])
		} else {
			_, err = o.broker.PublishBatch(context.Background(), ms[:min(n, atOnce)]...)
		}
	}
	must(o.tb, err)
}

// consume has a new group read from the start, or what comes from now on. When Consume has returned, its cursor is stored.
func (o *ours) consume(n int, from start, use func([]byte)) (wait func()) {
	o.groups++
	var left atomic.Int64
	left.Store(int64(n))
	g := queue.Group{Name: fmt.Sprint("g", o.groups), Topics: []string{"t"}}
	if from == now {
		g.StartIfNew = queue.Latest()
		must(o.tb, o.broker.Admin().CreateGroup(context.Background(), g))
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- o.broker.Consume(ctx, g, func(_ context.Context, d *queue.Delivery) error {
			use(d.Value)
			if left.Add(-1) == 0 {
				stop()
			}
			return nil
		})
	}()
	return func() {
		defer stop()
		must(o.tb, <-ended)
	}
}

// left is how many messages the last group has not done.
func (o *ours) left() int {
	info, err := o.broker.Admin().Group(context.Background(), fmt.Sprint("g", o.groups))
	must(o.tb, err)
	return int(info.Ready + info.InFlight + info.Waiting)
}
