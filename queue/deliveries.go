package queue

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
)

// Deliveries runs one member of g for each range over it, and yields what is to be worked on, each message to be settled by one of the
// methods of its Lease, in the loop or in other goroutines. The member holds at most g.Concurrency leases: the loop waits until one of them
// is settled or lost. A lease that is not settled within g.Lease, and not extended, is lost: its attempt has failed, the message comes
// again at once, and Events.LeaseExpired tells. Who held it may still be at work then, so that two may work on a message, or a key, at a time.
//
// The loop ends without an error when ctx ends. An error is the last pair, with no Lease: ErrClosed when the broker is closed,
// the cause when the store (ErrStopped) or the group stopped, and what Consume returns before anything runs; of an engine that has no
// leases, ErrUnsupported. In each case leases that are held may be settled for Options.DrainTime more, then the loop ends. Leaving the loop
// does not wait. What is not settled then is given back, without counting the attempt.
//
// Closing the broker waits for the body of the loop, as it does for a handler: the body must not call it.
func (b *Broker) Deliveries(ctx context.Context, g Group) iter.Seq2[*Lease, error] {
	return func(yield func(*Lease, error) bool) {
		if err := b.validGroup(g, byLease, true); err != nil {
			yield(nil, err)
			return
		}
		l := &lender{yield: yield, held: map[any]*Lease{}}
		l.c = &consumer{b: b, group: g.withDefaults(byLease), lender: l}
		if err := b.consume(ctx, l.c); err != nil && !l.left {
			yield(nil, err)
		}
	}
}

// lender is what one range over Deliveries works with.
type lender struct {
	c        *consumer
	yield    func(*Lease, error) bool
	left     bool            // the caller left the loop: yield is not to be called again
	busy     atomic.Bool     // the body of the loop runs
	handling context.Context // of the leases; ended by our own stop
	handover [1]Handover

	mu    sync.Mutex
	held  map[any]*Lease // guarded by mu; by handle
	lost  []any          // guarded by mu; handles that were void before anybody held them
	empty chan struct{}  // guarded by mu; closed when held is empty; nil: nobody waits for it
}

// work lends until the intake ends or the loop is left, and then lets those who hold leases finish.
func (l *lender) work(intake context.Context) {
	handling, cancel := context.WithCancelCause(context.Background())
	l.handling = handling
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-over:
		case <-intake.Done():
			l.c.peace(over)
		}
		cancel(ErrLeaseLost)
	})
	defer watching.Wait()
	defer close(over)
	for intake.Err() == nil && l.lend(intake) {
	}
	if !l.left {
		l.awaitSettled()
	}
}

// lend passes on one message. It is false when there will be no more.
func (l *lender) lend(intake context.Context) bool {
	c := l.c
	n, err := c.member.Receive(intake, l.handover[:], ReceiveLimits{})
	if err != nil {
		if intake.Err() == nil {
			c.end(c.b.explain(err))
		}
		return false
	}
	h := &l.handover[0]
	if n == 0 {
		return true
	}
	if intake.Err() != nil {
		c.member.Settle(context.Background(), []Settlement{{Handle: h.Handle, Outcome: SettleRelease}})
		return false
	}
	if !h.plain() {
		if v := c.judge(h); v != runs {
			c.dismiss(h, v)
			*h = Handover{}
			return true
		}
	}
	if !l.claim(h) {
		return true
	}
	lease := l.hold(h)
	*h = Handover{}
	if lease == nil {
		return true
	}
	l.busy.Store(true)
	defer l.busy.Store(false)
	l.left = !l.yield(lease, nil)
	return !l.left
}

// claim finishes h before it is worked on, for AtMostOnce. If that cannot be stored it is given back, and claim is false.
func (l *lender) claim(h *Handover) bool {
	c := l.c
	if c.group.Guarantee != AtMostOnce {
		return true
	}
	ss := []Settlement{{Handle: h.Handle, Outcome: SettleClaim}}
	c.member.Settle(context.Background(), ss)
	if ss[0].Err == nil {
		return true
	}
	ss[0] = Settlement{Handle: h.Handle, Outcome: SettleRelease, After: uncommittedDelay}
	c.member.Settle(context.Background(), ss)
	return false
}

// hold notes that somebody holds h from now on. It is nil if its lease is over already.
func (l *lender) hold(h *Handover) *Lease {
	d := new(Delivery)
	l.c.fill(d, h)
	lease := &Lease{
		Delivery: d,
		lender:   l, handover: *h, deadline: h.Deadline,
	}
	lease.ctx, lease.end = context.WithCancelCause(l.handling)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, handle := range l.lost {
		if handle == h.Handle {
			lease.end(ErrLeaseLost)
			lease = nil
		}
	}
	l.lost = nil // the others were never given to anybody
	if lease != nil {
		l.held[h.Handle] = lease
	}
	return lease
}

// expired is told by the engine.
func (l *lender) expired(handle any, p Position, attempt int) {
	l.lose(handle)
	if most := l.c.policy.MaxAttempts; l.c.group.Failure.Exhausted == StopGroup && most > 0 && attempt >= most {
		l.c.stopGroup(p, attempt, errLeaseExpired)
	}
	l.c.b.events.LeaseExpired(LeaseExpiredEvent{Group: l.c.group.Name, Position: p, Attempt: attempt})
}

// errLeaseExpired is the failure of an attempt whose lease was not settled in time.
var errLeaseExpired = errors.New("queue: the lease expired")

// lose ends the lease of a handle that is void.
func (l *lender) lose(handle any) {
	l.mu.Lock()
	lease := l.take(handle)
	if lease == nil {
		l.lost = append(l.lost, handle)
	}
	l.mu.Unlock()
	if lease != nil {
		lease.end(ErrLeaseLost)
	}
}

// drop notes that nobody holds the lease any more.
func (l *lender) drop(handle any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.take(handle)
}

// take returns the lease that is held, nil if it is not, which it is not any more then. It is called with l.mu held.
func (l *lender) take(handle any) *Lease {
	lease := l.held[handle]
	delete(l.held, handle)
	if l.empty != nil && len(l.held) == 0 {
		close(l.empty)
		l.empty = nil
	}
	return lease
}

// awaitSettled waits until nobody holds a lease, or those who do have had their time.
func (l *lender) awaitSettled() {
	l.mu.Lock()
	empty := make(chan struct{})
	if len(l.held) == 0 {
		close(empty)
	} else {
		l.empty = empty
	}
	l.mu.Unlock()
	select {
	case <-empty:
	case <-l.handling.Done():
	}
}

// stopping tells whether leases are cut off by our own stop.
func (l *lender) stopping() bool { return l.handling.Err() != nil }
