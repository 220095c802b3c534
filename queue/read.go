package queue

import (
	"context"
	"fmt"
	"iter"
)

// Read reads the topic of r without a group, in order within each partition. Records belong to the caller, unless r says Borrowed. An error is the
// last pair: ErrNotFound, *ConfigError, ErrUnsupported, ErrClosed, ctx's error, or what is wrong with the store.
func (b *Broker) Read(ctx context.Context, r Range) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		reader, err := b.reader(r)
		if err != nil {
			yield(nil, err)
			return
		}
		reader.Read(ctx, r)(func(rec *Record, err error) bool {
			if rec != nil {
				rec.show()
			}
			return yield(rec, err)
		})
	}
}

func (b *Broker) reader(r Range) (EngineReader, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	if err := b.can(CanRead); err != nil {
		return nil, err
	}
	reader, ok := b.engine.(EngineReader)
	if !ok {
		return nil, fmt.Errorf("%w: %s says it can %q, and has no reader", ErrUnsupported, b.capabilities.Name, CanRead)
	}
	if b.closed.Load() {
		return nil, ErrClosed
	}
	return reader, nil
}
