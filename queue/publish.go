package queue

import (
	"context"
	"fmt"
)

// single carries one message through the engine's interface, where arguments escape, without allocating.
type single struct {
	ms [1]Message
	rs [1]Receipt
}

// Publish stores m and returns when its topic's durability is reached. On an error nothing was stored, unless it is
// ErrIndeterminate: the wait ended after the message was taken. A wait that ended before, for room, is ErrFull. Both are
// ctx's error too. Others are ErrNotFound for the topic or partition, ErrTooLarge, *ConfigError for headers and pins that
// cannot be, ErrStopped and ErrClosed. Messages that one goroutine publishes to one partition are stored in that order.
//
// In a handler it is on its own: it is not undone if the handler fails.
func (b *Broker) Publish(ctx context.Context, m Message) (Receipt, error) {
	if err := b.mayPublish(ctx); err != nil {
		return Receipt{}, err
	}
	if err := m.check(b.capabilities.MaxBytes); err != nil {
		return Receipt{}, err
	}
	s := b.singles.Get().(*single)
	s.ms[0] = m
	err := b.engine.Publish(ctx, s.ms[:], s.rs[:])
	r := s.rs[0]
	*s = single{} // keep none of the caller's bytes
	b.singles.Put(s)
	if err != nil {
		return Receipt{}, err
	}
	return r, nil
}

// PublishBatch stores all of ms or none, over topics and partitions, and returns a receipt for each when the durability of
// the strictest topic is reached. Errors are those of Publish, ErrMixedDurability for topics in memory together with others, and
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
		if err := ms[i].check(b.capabilities.MaxBytes); err != nil {
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(ms), err)
		}
	}
	rs := make([]Receipt, len(ms))
	if err := b.engine.Publish(ctx, ms, rs); err != nil {
		return nil, err
	}
	return rs, nil
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
