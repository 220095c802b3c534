package queue

import (
	"context"
	"fmt"
)

// single carries one message through the engine's interface, where arguments escape, without allocating.
type single struct {
	ms  [1]Message
	rs  [1]Receipt
	buf []byte // of a typed topic, which encodes into it
}

// maxKeptBuffer is the largest buffer that is kept for the next value.
const maxKeptBuffer = 64 << 10

// Publish stores m and returns when its topic's durability is reached. On an error nothing was stored, unless it is
// ErrIndeterminate: the wait ended after the message was taken. A wait that ended before, for room, is ErrFull. Both are
// ctx's error too. Others are ErrNotFound for the topic or partition, ErrTooLarge, *ConfigError for headers and pins that
// cannot be, ErrStopped and ErrClosed. ErrIndeterminate also is what a publish gets that waited for another one with the same ID, of which it is not known
// what became of it. Where the topic has a Limit that is ErrFull or ErrRateLimited, or the wait for it, or a receipt that says Dropped, as Limit.WhenFull has it. A message with an ID where the engine cannot tell duplicates is ErrUnsupported. Messages that one goroutine publishes to one partition are stored in that order.
//
// In a handler it is on its own: it is not undone if the handler fails.
func (b *Broker) Publish(ctx context.Context, m Message) (Receipt, error) {
	if err := b.mayPublish(ctx); err != nil {
		return Receipt{}, err
	}
	s := b.singles.Get().(*single)
	s.ms[0] = m
	return b.publish(ctx, s)
}

// publish stores the message in s, and puts s back.
func (b *Broker) publish(ctx context.Context, s *single) (r Receipt, err error) {
	if err = b.accept(&s.ms[0]); err == nil {
		if err = b.engine.Publish(ctx, s.ms[:], s.rs[:]); err == nil {
			r = s.rs[0]
		}
	}
	b.putBack(s)
	return r, err
}

// putBack keeps s for the next publish, and none of the caller's bytes.
func (b *Broker) putBack(s *single) {
	if cap(s.buf) > maxKeptBuffer {
		s.buf = nil
	}
	s.ms[0], s.rs[0] = Message{}, Receipt{}
	b.singles.Put(s)
}

// PublishBatch stores all of ms or none, over topics and partitions, and returns a receipt for each when the durability of
// the strictest topic is reached. Of a batch with duplicates (Message.ID) the rest is stored; two messages of one topic and ID are ErrConflict. Other
// errors are those of Publish, ErrMixedDurability for topics in memory together with others, and
// ErrUnsupported where the engine cannot do so.
func (b *Broker) PublishBatch(ctx context.Context, ms ...Message) ([]Receipt, error) {
	if err := b.mayPublish(ctx); err != nil {
		return nil, err
	}
	if len(ms) == 0 {
		return nil, nil
	}
	if len(ms) > 1 {
		if err := b.can(CanBatch); err != nil {
			return nil, err
		}
	}
	for i := range ms {
		if err := b.accept(&ms[i]); err != nil {
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(ms), err)
		}
	}
	rs := make([]Receipt, len(ms))
	if err := b.engine.Publish(ctx, ms, rs); err != nil {
		return nil, err
	}
	return rs, nil
}

// accept refuses what the engine cannot store.
func (b *Broker) accept(m *Message) error {
	if err := m.check(b.capabilities.MaxBytes); err != nil {
		return err
	}
	if !m.NotBefore.IsZero() {
		if err := b.can(CanDelay); err != nil {
			return err
		}
	}
	if !m.Expires.IsZero() {
		return b.can(CanExpireMessages)
	}
	return nil
}

func (b *Broker) mayPublish(ctx context.Context) error {
	if b.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: no time to publish: %w", ErrFull, err)
	}
	return nil
}
