package queue

import "context"

// Unit is something that messages are published in to commit together: a *Delivery or a *Lease, with the end of its message, and a *Tx. Publish copies ms.
type Unit interface {
	Publish(ms ...Message) error
}

// Publish stores v. Errors are those of Broker.Publish, and *EncodeError.
func (t Topic[T]) Publish(ctx context.Context, b *Broker, v T) (Receipt, error) {
	if err := b.mayPublish(ctx); err != nil {
		return Receipt{}, err
	}
	s := b.singles.Get().(*single)
	buf, err := t.encode(s.buf[:0], v, &s.ms[0])
	if err != nil {
		b.putBack(s)
		return Receipt{}, err
	}
	s.buf = buf
	return b.publish(ctx, s)
}

// PublishBatch stores all of vs or none. Errors are those of Broker.PublishBatch, and *EncodeError; then nothing is stored.
func (t Topic[T]) PublishBatch(ctx context.Context, b *Broker, vs ...T) ([]Receipt, error) {
	ms := make([]Message, len(vs))
	var buf []byte
	for i, v := range vs {
		var err error
		if buf, err = t.encode(buf, v, &ms[i]); err != nil {
			return nil, err
		}
	}
	return b.PublishBatch(ctx, ms...)
}

// Go is Publisher.Go: v is stored in the background, in a batch with others. Errors are those of Publisher.Go, and *EncodeError.
func (t Topic[T]) Go(ctx context.Context, p *Publisher, v T) (Pending, error) {
	s := p.broker.singles.Get().(*single)
	defer p.broker.putBack(s)
	buf, err := t.encode(s.buf[:0], v, &s.ms[0])
	if err != nil {
		return Pending{}, err
	}
	s.buf = buf
	return p.Go(ctx, s.ms[0])
}

// PublishIn adds v to what commits with u. Errors are those of u's Publish, and *EncodeError.
func (t Topic[T]) PublishIn(u Unit, v T) error {
	var m Message
	if _, err := t.encode(nil, v, &m); err != nil {
		return err
	}
	return u.Publish(m)
}
