package queue

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"sync"
)

// Handle returns a Handler that decodes the message and calls fn. A message that cannot be decoded does not reach fn: its failure is a *DecodeError, with which it is not tried
// again. The value may be made of the memory of d.Value, as both are the handler's. It is for [Route], and wherever a Handler is asked for; a group of one topic has Topic.Consume. Of a nil fn it
// is nil.
func Handle[T any](t Topic[T], fn func(ctx context.Context, d *Delivery, v T) error) Handler {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, d *Delivery) error {
		v, err := t.decodeRecord(&d.Record, true)
		if err != nil {
			return d.refuse(err)
		}
		return fn(ctx, d, v)
	}
}

// refuse notes that the message cannot be decoded.
func (d *Delivery) refuse(err error) error {
	if _, ok := err.(*DecodeError); !ok { // it is the topic that is wrong
		return err
	}
	d.refused = err
	if d.broker != nil {
		d.broker.undecoded.Add(1)
	}
	return err
}

// Consume is Broker.Consume of the topic, whose name g.Topics must not say again. A message that cannot be decoded goes where exhausted ones go, at its first attempt, and
// its failure is a *DecodeError.
func (t Topic[T]) Consume(ctx context.Context, b *Broker, g Group, fn func(ctx context.Context, d *Delivery, v T) error) error {
	g, err := t.group(g, fn != nil)
	if err != nil {
		return err
	}
	return b.Consume(ctx, g, Handle(t, fn))
}

// group returns g with the topic, if that can be.
func (t Topic[T]) group(g Group, handled bool) (Group, error) {
	if err := t.check(); err != nil {
		return g, err
	}
	f := faults{subject: "group " + strconv.Quote(g.Name)}
	f.check(len(g.Topics) == 0, "Topics", g.Topics, fmt.Sprintf("empty: the typed topic %q says it", t.name))
	f.check(handled, "handler", nil, "must not be nil")
	g.Topics = []string{t.name}
	return g, f.err()
}

// Item is a message with its value.
type Item[T any] struct {
	*Delivery
	Data T
}

// ConsumeBatch is Broker.ConsumeBatch of the topic, whose name g.Topics must not say again. Messages that cannot be decoded are not among items, and go where exhausted ones go. Where order asks for it, those
// behind them in their lane come again without them. Neither items nor their Deliveries must be kept after the return; the values may be.
func (t Topic[T]) ConsumeBatch(ctx context.Context, b *Broker, g Group, fn func(ctx context.Context, items []Item[T]) []error) error {
	g, err := t.group(g, fn != nil)
	if err != nil {
		return err
	}
	d := batchDecoder[T]{topic: t, fn: fn, order: g.Order}
	if g.Failure.WhileRetry == PassKey || g.Guarantee == AtMostOnce { // what is claimed would be lost
		d.order = Unordered
	}
	return b.ConsumeBatch(ctx, g, d.handle)
}

// batchDecoder stands between a BatchHandler and one of values.
type batchDecoder[T any] struct {
	topic Topic[T]
	fn    func(ctx context.Context, items []Item[T]) []error
	order Order     // Unordered: nothing waits for what cannot be decoded
	items sync.Pool // of *[]Item[T]
}

func (b *batchDecoder[T]) handle(ctx context.Context, ds []*Delivery) []error {
	kept, _ := b.items.Get().(*[]Item[T])
	if kept == nil {
		kept = new([]Item[T])
	}
	items, failures := b.decode((*kept)[:0], ds)
	var errs []error
	if len(items) > 0 {
		errs = b.fn(ctx, items)
	}
	n := len(items)
	clear(items)
	*kept = items
	b.items.Put(kept)
	if failures == nil {
		return errs
	}
	return merge(failures, errs, n)
}

// decode appends to items what can be decoded and may be worked on. failures is nil if that is all; else it has an entry for each of ds, nil for those that became items.
func (b *batchDecoder[T]) decode(items []Item[T], ds []*Delivery) (_ []Item[T], failures []error) {
	var refused map[lane]bool
	for i, d := range ds {
		v, err := b.topic.decodeRecord(&d.Record, true)
		l, ordered := lane{}, false
		if err != nil || refused != nil {
			l, ordered = b.order.laneOf(&d.Record)
		}
		switch {
		case err != nil:
			if failures == nil {
				failures = make([]error, len(ds))
			}
			failures[i] = d.refuse(err)
			if ordered && refused == nil {
				refused = make(map[lane]bool)
			}
			if ordered {
				refused[l] = true
			}
		case ordered && refused[l]:
			failures[i] = errHeld
		default:
			items = append(items, Item[T]{d, v})
		}
	}
	return items, failures
}

// merge puts what a batch handler returned for its n items where failures has nil.
func merge(failures, errs []error, n int) []error {
	if errs != nil && len(errs) != n {
		wrong := fmt.Errorf("queue: the batch handler returned %d errors for %d messages", len(errs), n)
		errs = make([]error, n)
		fail(errs, wrong)
	}
	if errs == nil {
		return failures
	}
	next := 0
	for i := range failures {
		if failures[i] == nil {
			failures[i] = errs[next]
			next++
		}
	}
	return failures
}

// Leased is a message that is held, with its value.
type Leased[T any] struct {
	*Lease
	Data T
}

// Deliveries is Broker.Deliveries of the topic, whose name g.Topics must not say again. A message that cannot be decoded goes where exhausted ones go, and the loop does not see
// it.
func (t Topic[T]) Deliveries(ctx context.Context, b *Broker, g Group) iter.Seq2[Leased[T], error] {
	return func(yield func(Leased[T], error) bool) {
		g, err := t.group(g, true)
		if err != nil {
			yield(Leased[T]{}, err)
			return
		}
		for l, err := range b.Deliveries(ctx, g) {
			if err != nil {
				yield(Leased[T]{}, err)
				return
			}
			v, err := t.decodeRecord(&l.Record, true)
			if err != nil {
				l.refuse(err)
				continue
			}
			if !yield(Leased[T]{l, v}, nil) {
				return
			}
		}
	}
}

// refuse ends the lease of a message that cannot be decoded. If its dead letter cannot be stored it comes again.
func (l *Lease) refuse(err error) {
	l.Delivery.refuse(err)
	ctx := context.Background()
	if l.endFailed(ctx, l.lender.c.exhaust(&l.handover, l.Attempt, err), err) != nil {
		l.settle(ctx, Settlement{Outcome: SettleRelease, After: uncommittedDelay})
	}
}
