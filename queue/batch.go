package queue

import (
	"context"
	"errors"
	"fmt"
)

// BatchHandler works on several messages in one call. It returns nil if all are done, else one entry for each, in the order
// they were given, nil for done; any other length, a panic and runtime.Goexit mean that all failed. In ordered groups
// a failure fails the later messages of its lane in the batch: they come again behind it, those that were done
// without counting the attempt. ctx is as a Handler's. ds must not be kept after the return.
type BatchHandler func(ctx context.Context, ds []*Delivery) []error

// ConsumeBatch is Consume with up to g.Batch.Messages messages a call.
func (b *Broker) ConsumeBatch(ctx context.Context, g Group, h BatchHandler) error {
	if err := b.validGroup(g, byBatch, h != nil); err != nil {
		return err
	}
	g = g.withDefaults(byBatch)
	return b.consume(ctx, &consumer{
		b: b, group: g, batch: h, size: g.Batch.Messages,
		limits: ReceiveLimits{Bytes: g.Batch.Bytes, Linger: g.Batch.Wait},
	})
}

// FailAll returns err for each of ds.
func FailAll(ds []*Delivery, err error) []error {
	errs := make([]error, len(ds))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// errHeld stands for the failure of a message that was done, behind one of its lane that failed.
var errHeld = errors.New("queue: an earlier message of the lane failed")

// judge fills failures, one entry for each message in hand and nil at first, from what a batch handler returned.
func judge(failures, errs []error) {
	switch {
	case errs == nil:
	case len(errs) == len(failures):
		copy(failures, errs)
	default:
		fail(failures, fmt.Errorf("queue: the batch handler returned %d errors for %d messages", len(errs), len(failures)))
	}
}

func fail(failures []error, err error) {
	for i := range failures {
		failures[i] = err
	}
}

// lane is what keeps an order within a group.
type lane struct {
	topic     string
	partition int
	key       string
}

// laneOf returns the lane of a record, and false if it waits for nothing.
func (o Order) laneOf(r *Record) (lane, bool) {
	l := lane{topic: r.Position.Topic(), partition: r.Position.Partition()}
	switch o {
	case ByPartition:
		return l, true
	case ByKey:
		l.key = string(r.Key)
		return l, r.Key != nil
	}
	return lane{}, false
}

// holdLanes fails what was done behind a failure of its lane.
func holdLanes(o Order, hs []Handover, failures []error) {
	if o == Unordered {
		return
	}
	var failed map[lane]bool
	for i := range hs {
		if failures[i] == nil && failed == nil {
			continue
		}
		l, ok := o.laneOf(&hs[i].Record)
		switch {
		case !ok:
		case failures[i] == nil && failed[l]:
			failures[i] = errHeld
		case failures[i] != nil:
			if failed == nil {
				failed = make(map[lane]bool)
			}
			failed[l] = true
		}
	}
}
