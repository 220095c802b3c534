package queuetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/leatmq/leat/queue"
)

// delivered gives everything that a topic holds to a new group, once, and returns it in the order of delivery. It works with every engine.
func (s *stage) delivered(topic string) []*queue.Delivery {
	s.Helper()
	c := s.collect(queue.Group{Topics: []string{topic}, Concurrency: 1})
	s.idle(c.group.Name)
	c.stop()
	return c.got()
}

// collector is a member that keeps what it gets.
type collector struct {
	*running
	group queue.Group

	mu   sync.Mutex
	all  []*queue.Delivery // guarded by mu
	more chan struct{}     // guarded by mu; closed at the next delivery; nil: nobody waits
}

// collect starts a member of g that finishes everything it gets. Without a name g gets one of its own, and without an order
// one that the engine has.
func (s *stage) collect(g queue.Group) *collector {
	if g.Name == "" {
		g.Name = fmt.Sprintf("collect-%d", s.groups.Add(1))
	}
	if g.Order == queue.ByKey {
		g.Order = s.someOrder()
	}
	c := &collector{group: g}
	c.running = s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		c.keep(d)
		return nil
	})
	return c
}

// someOrder returns one that the engine has.
func (s *stage) someOrder() queue.Order {
	switch {
	case s.can(queue.CanOrderByKey):
		return queue.ByKey
	case s.can(queue.CanOrderByPartition):
		return queue.ByPartition
	}
	return queue.Unordered
}

func (c *collector) keep(d *queue.Delivery) {
	kept := *d // the Delivery is the broker's after the return; its bytes are ours
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, &kept)
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
}

// awaitCount waits for n deliveries. It is for groups that were there before: WaitIdle finds those idle that their new member has not
// joined yet.
func (c *collector) awaitCount(n int) {
	c.s.Helper()
	for {
		c.mu.Lock()
		have := len(c.all)
		if c.more == nil {
			c.more = make(chan struct{})
		}
		more := c.more
		c.mu.Unlock()
		if have >= n {
			return
		}
		await(c.s, more, fmt.Sprintf("delivery %d of %d to group %q", have+1, n, c.group.Name))
	}
}

func (c *collector) got() []*queue.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*queue.Delivery(nil), c.all...)
}

// values returns the values of what was delivered.
func values(ds []*queue.Delivery) []string {
	vs := make([]string, len(ds))
	for i, d := range ds {
		vs[i] = string(d.Value)
	}
	return vs
}

// finish is a handler that has nothing to do.
func finish(context.Context, *queue.Delivery) error { return nil }
