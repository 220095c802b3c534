package queue

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"
)

// MaxOutputBytes bounds what one delivery publishes: keys, values and headers of all of it together.
const MaxOutputBytes = 4 << 20

// Delivery is a message given to a handler. It is not for concurrent use and must not be kept after the handler returned;
// its bytes may be.
type Delivery struct {
	Record
	Group       string
	Attempt     int       // 1 for the first
	FirstFailed time.Time // when the first attempt failed; zero at the first attempt
	LastError   string    // of the attempt before, perhaps cut; "" at the first attempt

	broker  *Broker // nil in a test of a handler
	outputs []Message
	bytes   int // of outputs
	named   map[named]struct{}

	member Member
	handle any
	marked map[named]*Delivery // by the deliveries of a batch, or by one in a test of a handler

	refused error // why the message cannot be decoded; nil: nobody said so
}

// named is a message's ID in its topic.
type named struct{ topic, id string }

// NewDelivery makes the first delivery of a record, for tests of handlers: what it publishes is in Published, and goes nowhere.
func NewDelivery(r Record) *Delivery {
	return &Delivery{Record: r, Attempt: 1, marked: map[named]*Delivery{}}
}

// Publish adds to what commits together with the end of this delivery: it is stored if the handler returns nil, in one step with the message being done, and
// forgotten if the attempt fails. It copies ms. What could never be stored is refused at once, and then nothing of ms is added: ErrNotFound for a topic or partition,
// ErrTooLarge, also for more than [MaxOutputBytes] in all, ErrMixedDurability for a topic in memory when the delivery's is not, ErrConflict for two messages of one topic and
// ID, also where the first is of an earlier call, *ConfigError, and ErrUnsupported where the engine cannot commit so. If it cannot be stored when the handler has returned, the attempt fails.
// There are no receipts: a message that is delayed here cannot be cancelled.
func (d *Delivery) Publish(ms ...Message) error {
	size := d.bytes
	for i := range ms {
		if err := d.accept(&ms[i]); err != nil {
			return fmt.Errorf("message %d of %d: %w", i+1, len(ms), err)
		}
		size += ms[i].Size()
	}
	if size > MaxOutputBytes {
		return fmt.Errorf("%w: %d bytes published by one delivery, the limit is %d", ErrTooLarge, size, MaxOutputBytes)
	}
	if d.broker != nil {
		if err := d.broker.admit(d.Position.Topic(), ms); err != nil {
			return err
		}
	}
	if err := d.conflict(ms); err != nil {
		return err
	}
	for i := range ms {
		d.outputs = append(d.outputs, ms[i].clone())
		if ms[i].ID != "" {
			if d.named == nil {
				d.named = map[named]struct{}{}
			}
			d.named[named{ms[i].Topic, ms[i].ID}] = struct{}{}
		}
	}
	d.bytes = size
	return nil
}

// conflict refuses what has an ID that an earlier output has, unless the engine says that it is a name only in that topic.
func (d *Delivery) conflict(ms []Message) error {
	for i := range ms {
		m := &ms[i]
		if _, again := d.named[named{m.Topic, m.ID}]; !again {
			continue
		}
		if d.broker == nil {
			return fmt.Errorf("%w: ID %q, topic %q", ErrConflict, m.ID, m.Topic)
		}
		if err := d.broker.admit(d.Position.Topic(), []Message{*m, *m}); err != nil {
			return err
		}
	}
	return nil
}

func (d *Delivery) accept(m *Message) error {
	if d.broker == nil {
		return m.check(0)
	}
	return d.broker.accept(m)
}

// Mark marks key, in the scope of that name, in the commit in which the message is done, together with what is published. It is [Tx.Mark]: first is false if
// an earlier commit marked it. It is given up when the attempt fails. A key that another delivery of the same batch has marked is ErrConflict: fail this one, it comes again.
func (d *Delivery) Mark(ctx context.Context, scope, key string) (first bool, err error) {
	if err := CheckMark(scope, key); err != nil {
		return false, err
	}
	n := named{scope, key}
	if other := d.marked[n]; other != nil && other != d {
		return false, fmt.Errorf("%w: key %q, scope %q, which another message of the batch has marked", ErrConflict, key, scope)
	}
	first = true
	if d.broker != nil {
		for _, f := range []Feature{CanCommit, CanMark} {
			if err := d.broker.can(f); err != nil {
				return false, err
			}
		}
		if first, err = d.member.(MemberMarker).Mark(ctx, d.handle, scope, key); err != nil || !first {
			return false, err
		}
	}
	if d.marked != nil {
		d.marked[n] = d
	}
	return first, nil
}

// Published returns what was published so far.
func (d *Delivery) Published() []Message { return slices.Clone(d.outputs) }

// admit refuses what could never commit with a message of the topic source.
func (b *Broker) admit(source string, ms []Message) error {
	if err := b.can(CanCommit); err != nil {
		return err
	}
	if c, ok := b.engine.(EngineCommitter); ok {
		return c.Admit(source, ms)
	}
	return nil
}

// clone returns a copy that shares nothing with m.
func (m *Message) clone() Message {
	c := *m
	c.Key, c.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
	c.Headers = slices.Clone(m.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(m.Headers[i].Value)
	}
	return c
}
