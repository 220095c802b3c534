package queue

import (
	"context"
	"fmt"
	"time"
)

// TimerID names a delayed message until it is due. It is text, to be stored beside whatever the message is about, and outlives restarts. One of an engine that was wiped, or
// of another, is ErrNotFound.
type TimerID string

// Cancel removes a delayed message, as durably as its topic is, on return. It is as if it had never been published: its ID may be used again. ErrNotFound: it became due, or was cancelled or moved before. Of a Cancel and the
// message becoming due at the same time exactly one takes effect. Other errors are ErrFull, when ctx ended before anything was done, ErrIndeterminate, when it ended
// later, ErrUnsupported, ErrStopped and ErrClosed.
func (b *Broker) Cancel(ctx context.Context, t TimerID) error {
	s, err := b.scheduler(ctx)
	if err != nil {
		return err
	}
	return s.Cancel(ctx, t)
}

// Reschedule has a delayed message come at another time, sooner or later, at once if that is past, and returns its TimerID from then on, which duplicates of its ID get as well: the one before is ErrNotFound.
// Called again with the same arguments it returns the same, so that whoever does not know the outcome, or died before it was written down, asks again. at is
// at most MaxAhead from now, else *ConfigError. Message.Expires stays as it is. Other errors are those of Cancel.
func (b *Broker) Reschedule(ctx context.Context, t TimerID, at time.Time) (TimerID, error) {
	f := faults{subject: "timer"}
	f.check(!at.After(time.Now().Add(MaxAhead)), "at", at, "at most 100 years from now")
	if err := f.err(); err != nil {
		return "", err
	}
	s, err := b.scheduler(ctx)
	if err != nil {
		return "", err
	}
	return s.Reschedule(ctx, t, at)
}

func (b *Broker) scheduler(ctx context.Context) (EngineScheduler, error) {
	if err := b.can(CanDelay); err != nil {
		return nil, err
	}
	s, ok := b.engine.(EngineScheduler)
	if !ok {
		return nil, fmt.Errorf("%w: %s says it can %q, and has no timers", ErrUnsupported, b.capabilities.Name, CanDelay)
	}
	return s, b.mayPublish(ctx)
}
