package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/retry"
)

// Handler works on one message. nil means done; an error, a panic or runtime.Goexit is a failed attempt, and the message
// comes again. ctx carries cancellation only, and outlives that of the Consume by Options.DrainTime.
type Handler func(ctx context.Context, d *Delivery) error

// Consume runs one member of g with g.Concurrency handlers at once, until ctx ends; it returns nil when they have returned.
// They get Options.DrainTime to finish in peace, then their ctx ends too, and a failure from then on costs no attempt.
// A handler that never returns keeps Consume from returning, unless g.HandlerTimeout is set: then it returns a *StuckError without it. Consume also ends, in the same way, with ErrClosed when the
// broker is closed, and with the cause when the store (ErrStopped) or the group stopped. Before anything runs it returns
// *ConfigError with all faults of g, ErrUnsupported, or ErrNotFound for a topic.
func (b *Broker) Consume(ctx context.Context, g Group, h Handler) error {
	if err := b.validGroup(g, byMessage, h != nil); err != nil {
		return err
	}
	return b.consume(ctx, &consumer{b: b, group: g.withDefaults(byMessage), one: h, size: 1})
}

// validGroup judges g alone, then against what the engine can do.
func (b *Broker) validGroup(g Group, s shape, handled bool) error {
	if err := g.validate(s, handled); err != nil {
		return err
	}
	if s == byLease {
		if err := b.can(CanLease); err != nil {
			return err
		}
	}
	for _, f := range append(append(g.Guarantee.features(), g.Order.feature()), g.Failure.Exhausted.features()...) {
		if err := b.can(f); err != nil {
			return err
		}
	}
	for _, need := range []struct {
		set bool
		f   Feature
	}{{g.Resume != nil, CanResume}, {g.Failure.WhileRetry == ParkKey, CanPark}, {g.Exclusive, CanExclude}, {g.ExpireAfter > 0, CanExpire}, {g.Uncounted, CanLimit},
		{g.Failure.BuryExpired, CanExpireMessages}} {
		if !need.set {
			continue
		}
		if err := b.can(need.f); err != nil {
			return err
		}
	}
	return nil
}

// consumer is one running Consume, ConsumeBatch or range over Deliveries.
type consumer struct {
	b      *Broker
	group  Group
	one    Handler      // of Consume, else nil
	batch  BatchHandler // of ConsumeBatch, else nil
	lender *lender      // of Deliveries, else nil
	size   int          // the most messages of one call
	policy retry.Policy // of group.Failure, defaults filled in
	limits ReceiveLimits

	letters sync.Map // names of topics for dead letters that were made, or were there

	workers []*worker // guarded by life.mu, but for the watch, which alone replaces them
	member  Member
	watch   watch
	waiting atomic.Int64            // workers that stand in for one that is stuck, and may not yet
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
	c.policy = c.group.Failure.policy()
	if c.lender == nil {
		for range c.group.Concurrency {
			c.workers = append(c.workers, newWorker(c))
		}
	}
	if err := b.enter(c); err != nil {
		return err
	}
	defer b.leave(c)
	if intake.Err() != nil {
		return c.outcome(intake, nil)
	}
	member, err := c.join(intake)
	if err != nil {
		if intake.Err() != nil {
			return c.outcome(intake, nil)
		}
		return b.explain(err)
	}
	c.member = member
	worked := false
	defer func() {
		if !worked { // the body of a loop over Deliveries panicked
			c.leave()
		}
	}()
	c.work(intake)
	worked = true
	return c.outcome(intake, c.leave())
}

func (c *consumer) join(intake context.Context) (Member, error) {
	if err := c.checkLetters(intake); err != nil {
		return nil, err
	}
	return c.b.engine.Join(intake, c.membership())
}

// leave gives up the membership. Cursors are flushed though every other context may have ended.
func (c *consumer) leave() error {
	last, cancel := context.WithTimeout(context.Background(), max(c.b.drainTime, grace))
	defer cancel()
	return c.member.Leave(last)
}

// work runs the workers until the intake has ended and all of them have returned.
func (c *consumer) work(intake context.Context) {
	if c.lender != nil {
		c.lender.work(intake)
		return
	}
	handling, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.done = make(chan struct{})
	c.left.Store(int64(c.group.Concurrency))
	c.startWatching(intake, handling)
	for _, w := range slices.Clone(c.workers) { // the watch may replace some
		go w.run(intake, handling)
	}
	<-intake.Done()
	c.peace(c.done)
	cancel()
	<-c.done
	c.stopWatching()
}

// peace waits until all is done, for as long as it may take.
func (c *consumer) peace(done <-chan struct{}) {
	enough := time.NewTimer(c.b.drainTime)
	defer enough.Stop()
	select {
	case <-done:
	case <-enough.C:
	case <-c.b.hurry:
	}
}

// outcome is what Consume returns: why the intake ended, or what was wrong with leaving.
func (c *consumer) outcome(intake context.Context, leaving error) error {
	if e, ok := context.Cause(intake).(*ending); ok {
		return e.err
	}
	if leaving != nil {
		leaving = fmt.Errorf("queue: leaving group %q: %w", c.group.Name, leaving)
	}
	return errors.Join(leaving, c.b.stuckHandlers(c))
}

func (c *consumer) membership() Membership {
	g := c.group
	if g.Resume != nil {
		g.Resume = contained(g.Resume)
	}
	m := Membership{
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
	if c.lender != nil {
		m.Expired, m.Fenced = c.lender.expired, c.lender.lose
	}
	return m
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
