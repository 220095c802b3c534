package queue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Handler works on one message. nil means done; an error, a panic or runtime.Goexit is a failed attempt, and the message
// comes again. ctx carries cancellation only, and outlives that of the Consume by Options.DrainTime.
type Handler func(ctx context.Context, d *Delivery) error

// Delivery is a message given to a handler. It is not for concurrent use and must not be kept after the handler returned;
// its bytes may be.
type Delivery struct {
	Record
	Group   string
	Attempt int // 1 for the first
}

// Consume runs one member of g with g.Concurrency handlers at once, until ctx ends; it returns nil when they have returned.
// They get Options.DrainTime to finish in peace, then their ctx ends too, and a failure from then on costs no attempt.
// A handler that never returns keeps Consume from returning. Consume also ends, in the same way, with ErrClosed when the
// broker is closed, and with the cause when the store (ErrStopped) or the group stopped. Before anything runs it returns
// *ConfigError with all faults of g, ErrUnsupported, or ErrNotFound for a topic.
func (b *Broker) Consume(ctx context.Context, g Group, h Handler) error {
	if err := b.validGroup(g, false, h != nil); err != nil {
		return err
	}
	return b.consume(ctx, &consumer{b: b, group: g.withDefaults(false), one: h, size: 1})
}

// validGroup judges g alone, then against what the engine can do.
func (b *Broker) validGroup(g Group, batch, handled bool) error {
	if err := g.validate(batch, handled); err != nil {
		return err
	}
	if err := b.can(g.Order.feature()); err != nil {
		return err
	}
	if g.Resume == nil {
		return nil
	}
	return b.can(CanResume)
}

// consumer is one running Consume or ConsumeBatch.
type consumer struct {
	b      *Broker
	group  Group
	one    Handler      // nil with ConsumeBatch
	batch  BatchHandler // nil with Consume
	size   int          // the most messages of one call
	limits ReceiveLimits

	workers []*worker
	member  Member
	stop    context.CancelCauseFunc // ends the intake, with an *ending
	left    atomic.Int64            // workers that have not ended
	done    chan struct{}           // closed when left is 0
}

// ending is the cause of an intake that ended by us. The end of the caller's ctx is none.
type ending struct{ err error }

func (e *ending) Error() string { return e.err.Error() }

// end stops the intake; err is what Consume returns. Only the first counts.
func (c *consumer) end(err error) { c.stop(&ending{err}) }

func (b *Broker) consume(ctx context.Context, c *consumer) error {
	intake, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c.stop = stop
	for range c.group.Concurrency {
		c.workers = append(c.workers, newWorker(c))
	}
	if err := b.enter(c); err != nil {
		return err
	}
	defer b.leave(c)
	if intake.Err() != nil {
		return c.outcome(intake, nil)
	}
	member, err := b.engine.Join(intake, c.membership())
	if err != nil {
		if intake.Err() != nil {
			return c.outcome(intake, nil)
		}
		return b.explain(err)
	}
	c.member = member
	c.work(intake)

	// Cursors are flushed though every other context may have ended.
	last, cancel := context.WithTimeout(context.Background(), max(b.drainTime, grace))
	defer cancel()
	return c.outcome(intake, member.Leave(last))
}

// work runs the workers until the intake has ended and all of them have returned.
func (c *consumer) work(intake context.Context) {
	handling, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.done = make(chan struct{})
	c.left.Store(int64(c.group.Concurrency))
	for _, w := range c.workers {
		go w.run(intake, handling)
	}
	<-intake.Done()
	peace := time.NewTimer(c.b.drainTime)
	defer peace.Stop()
	select {
	case <-c.done:
	case <-peace.C:
	case <-c.b.hurry:
	}
	cancel()
	<-c.done
}

// outcome is what Consume returns: why the intake ended, or what was wrong with leaving.
func (c *consumer) outcome(intake context.Context, leaving error) error {
	if e, ok := context.Cause(intake).(*ending); ok {
		return e.err
	}
	if leaving != nil {
		return fmt.Errorf("queue: leaving group %q: %w", c.group.Name, leaving)
	}
	return nil
}

func (c *consumer) membership() Membership {
	g := c.group
	if g.Resume != nil {
		g.Resume = contained(g.Resume)
	}
	return Membership{
		Group: g,
		Assigned: func(topic string, partition int) {
			c.b.events.Assigned(PartitionEvent{g.Name, topic, partition})
		},
		Revoked: func(topic string, partition int) {
			c.b.events.Revoked(PartitionEvent{g.Name, topic, partition})
		},
		Missed: func(from, to Position, records int64) {
			c.b.events.Missed(MissedEvent{g.Name, to.Topic(), to.Partition(), records, from, to})
		},
		Damaged: func(topic string, partition int, err error) {
			c.b.logger.Error("a partition cannot be read", "group", g.Name, "topic", topic, "partition", partition, "cause", err)
			c.b.events.Damaged(DamagedEvent{PartitionEvent{g.Name, topic, partition}, err})
		},
	}
}

// explain adds ErrStopped to an error of an engine that stopped.
func (b *Broker) explain(err error) error {
	select {
	case <-b.engine.Done():
		return stopped(err)
	default:
		return err
	}
}

func stopped(err error) error {
	switch {
	case err == nil:
		return ErrStopped
	case errors.Is(err, ErrStopped):
		return err
	}
	return fmt.Errorf("%w: %w", ErrStopped, err)
}
