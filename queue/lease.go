package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Lease is a delivery that is held until a deadline. Its methods, other than those of Delivery, may be called from any goroutine. One
// outcome takes effect: another, and one that comes at the deadline or later, is ErrLeaseLost and changes nothing. An outcome is taken
// even when ctx has ended, so that work finished during a stop is not repeated: ctx bounds the wait only. When the queue has stopped, since a write failed for instance, an outcome is ErrStopped,
// takes no effect, and ends the lease; so is ErrClosed. The message comes again after the next open.
type Lease struct {
	*Delivery

	lender   *lender
	handover Handover
	ctx      context.Context
	end      context.CancelCauseFunc

	mu       sync.Mutex
	deadline time.Time // guarded by mu
}

// Context ends with the lease: when it is settled or its deadline passes, when the loop is left, and Options.DrainTime after the end of the
// loop's own ctx or the beginning of Close. It carries cancellation only; its cause is ErrLeaseLost if the message is no longer the holder's.
func (l *Lease) Context() context.Context { return l.ctx }

// Deadline is when the lease ends unless it is extended. It goes by the monotonic clock.
func (l *Lease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline
}

// Extend has the lease end after d, which may be sooner than its deadline was. It fails with ErrLeaseLost when the lease is over, and with a
// *ConfigError if d is not positive.
func (l *Lease) Extend(ctx context.Context, d time.Duration) error {
	f := faults{subject: "lease of " + l.Position.String()}
	f.check(d > 0, "extension", d, "longer than 0")
	if err := f.err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	deadline := time.Now().Add(d) // before the engine looks at its clock
	if err := l.send(ctx, Settlement{Outcome: SettleExtend, After: d}); err != nil {
		return err
	}
	l.deadline = deadline
	return nil
}

// Ack finishes the message, together with what was published through it: it is never given to this group again. It returns when that is as durable as
// the topic. If ctx ends before, the error is ErrIndeterminate, and the outcome counts once it is stored. If it cannot be stored, because there
// is no room (ErrFull) or for another error of [Delivery.Publish], the lease goes on: try again, or settle it in another way.
func (l *Lease) Ack(ctx context.Context) error {
	return l.settle(ctx, Settlement{Outcome: SettleDone, Publish: l.outputs, Marks: true, Wait: true})
}

// Nack fails the attempt because of cause, which may be nil: Group.Failure decides, as after a handler's error. Once the lease's
// Context has ended because of our own stop it costs no attempt.
func (l *Lease) Nack(ctx context.Context, cause error) error {
	return l.fail(ctx, -1, cause)
}

// NackAfter is Nack, but if the message comes again it does when d is over; 0 or less: at once.
func (l *Lease) NackAfter(ctx context.Context, d time.Duration, cause error) error {
	return l.fail(ctx, max(0, d), cause)
}

// Reject does what Failure.Exhausted says, now, because of cause, which may be nil. A dead letter is stored when it returns; if it cannot be, the lease goes on, as after Ack.
func (l *Lease) Reject(ctx context.Context, cause error) error {
	cause = causeOf(cause)
	return l.endFailed(ctx, l.lender.c.exhaust(&l.handover, l.Attempt, cause), cause)
}

// errNacked is the failure of an attempt that was given back without saying why.
var errNacked = errors.New("queue: given back without a cause")

// causeOf returns cause, or what stands for none.
func causeOf(cause error) error {
	if cause == nil {
		return errNacked
	}
	return cause
}

// fail fails the attempt. after is negative if the policy says when the next one is.
func (l *Lease) fail(ctx context.Context, after time.Duration, cause error) error {
	if l.lender.stopping() {
		return l.settle(ctx, Settlement{Outcome: SettleRelease})
	}
	cause = causeOf(cause)
	s := l.lender.c.failed(&l.handover, cause)
	if after >= 0 && s.Outcome == SettleRetry {
		s.After = after
	}
	return l.endFailed(ctx, s, cause)
}

// endFailed ends the lease because of cause, and tells of it. A topic for dead letters that is missing is made.
func (l *Lease) endFailed(ctx context.Context, s Settlement, cause error) error {
	c := l.lender.c
	err := l.settle(ctx, s)
	if errors.Is(err, ErrNotFound) && len(s.Publish) > 0 && c.makeLetterTopic(ctx, l.Position.Topic()) == nil {
		err = l.settle(ctx, s)
	}
	if err != nil {
		return err
	}
	switch s.Outcome {
	case SettleRetry:
		c.b.events.Failed(FailedEvent{Group: c.group.Name, Position: l.Position, Attempt: l.Attempt, Err: cause, After: s.After})
	case SettleDone:
		gone{l.Position, l.Attempt, cause}.tell(c)
	}
	return nil
}

// settle ends the lease, in whatever way.
func (l *Lease) settle(ctx context.Context, s Settlement) error {
	err := l.send(ctx, s)
	switch {
	case err == nil || errors.Is(err, ErrIndeterminate):
		l.end(nil)
	case errors.Is(err, ErrLeaseLost):
		l.lender.c.b.late.Add(1)
		l.end(err)
	case over(err):
		l.end(err)
	default: // it was not taken
		return err
	}
	l.lender.drop(l.handover.Handle)
	return err
}

// send returns what the engine makes of s.
func (l *Lease) send(ctx context.Context, s Settlement) error {
	s.Handle = l.handover.Handle
	ss := []Settlement{s}
	l.lender.c.member.Settle(ctx, ss)
	if err := ss[0].Err; err != nil {
		return fmt.Errorf("%w: %s, attempt %d of group %q", err, l.Position, l.Attempt, l.Group)
	}
	return nil
}
