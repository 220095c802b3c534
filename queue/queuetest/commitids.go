package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
)

func commitIDCases() []testCase {
	needs := []queue.Feature{queue.CanCommit, queue.CanDedup, queue.CanRead}
	return []testCase{
		{name: "OutputsThatAreDuplicatesAreLeftOut", needs: needs, run: outputsDuplicates},
		{name: "OutputsWithOneIDInAUnitAreRefused", needs: needs, run: outputsConflict},
		{name: "OutputsWithOneIDOfManyAtOnce", needs: append(needs, queue.CanShare), run: outputsSameID},
		{name: "OutputsWithOneIDInABatch", needs: needs, run: outputsSameIDInBatch},
		{name: "OutputsWithIDsAfterARestart", needs: needs, run: outputsIDsRestart, asks: asksRestart},
	}
}

// outputsDuplicates: what was published before, by whomever, is not published again, and what is published with it is; the message is done.
func outputsDuplicates(s *stage) {
	const n = 30
	s.topic("t", 3)
	s.topic("out", 2)
	s.topic("log", 1)
	s.fill("t", n, 5)
	for i := 0; i < n; i += 3 {
		s.publish(queue.Message{Topic: "out", ID: fmt.Sprint(i), Value: fmt.Append(nil, i)})
	}
	var failed atomic.Int64
	r := s.consume(s.exactly(), func(ctx context.Context, d *queue.Delivery) error {
		out := queue.Message{Topic: "out", ID: string(d.Value), Value: d.Value}
		if d.Attempt == 1 && d.Value[0]%2 == 0 { // on its own: it stays though the attempt fails
			failed.Add(1)
			if _, err := s.broker.Publish(ctx, out); err != nil {
				s.Error(err)
			}
			return errors.New("after a publish")
		}
		return d.Publish(out, queue.Message{Topic: "log", Value: d.Value})
	})
	s.idle("g")
	r.stop()
	if failed.Load() == 0 {
		s.Error("no attempt failed")
	}
	s.wantEach("out", n)
	s.wantEach("log", n)
}

func outputsConflict(s *stage) {
	s.topic("t", 1)
	s.topic("out", 2)
	s.deduping("names", queue.Dedup{Off: true})
	s.publish(queue.Message{Topic: "t"})
	a, b := queue.Message{Topic: "out", ID: "a", Value: []byte("0")}, queue.Message{Topic: "out", ID: "b", Value: []byte("1")}
	r := s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error {
		s.wantError("two in one call", d.Publish(b, a, b), queue.ErrConflict)
		if err := d.Publish(a); err != nil {
			return err
		}
		s.wantError("one of an earlier call", d.Publish(b, a), queue.ErrConflict)
		name := queue.Message{Topic: "names", ID: "a"}
		if err := errors.Join(d.Publish(b), d.Publish(name), d.Publish(name, name)); err != nil {
			return fmt.Errorf("IDs of another topic, and those that are names: %w", err)
		}
		return nil
	})
	s.idle("g")
	r.stop()
	s.wantEach("out", 2)
	if got := len(s.records("names")); got != 3 {
		s.Errorf("%d messages in a topic without dedup, want 3", got)
	}
}

// outputsSameID: messages that are worked on at once, and publish the same, have it published once, and all are done.
func outputsSameID(s *stage) {
	const n, same = 60, 6
	s.topic("t", 2)
	s.topic("out", 2)
	s.topic("log", 1)
	s.fill("t", n, 0)
	g := s.exactly()
	g.Order, g.Concurrency = queue.Unordered, 12
	r := s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		var i int
		if _, err := fmt.Sscan(string(d.Value), &i); err != nil {
			return err
		}
		one := queue.Message{Topic: "out", ID: fmt.Sprint(i % same), Value: fmt.Append(nil, i%same)}
		two := queue.Message{Topic: "out", ID: fmt.Sprint(same + i%same), Value: fmt.Append(nil, same+i%same)}
		if i%2 == 0 {
			one, two = two, one
		}
		return d.Publish(one, two, queue.Message{Topic: "log", Value: d.Value})
	})
	s.idle("g")
	r.stop()
	s.wantEach("out", 2*same)
	s.wantEach("log", n)
}

// outputsSameIDInBatch: two messages of a batch that publish the same cannot be one commit, and are done all the same.
func outputsSameIDInBatch(s *stage) {
	const n = 40
	s.topic("t", 1)
	s.topic("out", 1)
	s.topic("log", 1)
	s.fill("t", n, 0)
	g := s.exactly()
	r := s.consumeBatch(g, func(_ context.Context, ds []*queue.Delivery) []error {
		errs := make([]error, len(ds))
		for i, d := range ds {
			errs[i] = d.Publish(queue.Message{Topic: "out", ID: "same", Value: []byte("0")}, queue.Message{Topic: "log", Value: d.Value})
		}
		return errs
	})
	s.idle("g")
	r.stop()
	s.wantEach("out", 1)
	s.wantEach("log", n)
}

func outputsIDsRestart(s *stage) {
	const n = 20
	s.topic("t", 1)
	s.topic("out", 2)
	for round := range 3 {
		s.fill("t", n, 3)
		r := s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error {
			return d.Publish(queue.Message{Topic: "out", ID: string(d.Value), Value: d.Value})
		})
		s.idle("g")
		r.stop()
		for i := range n {
			r := s.publish(queue.Message{Topic: "out", ID: fmt.Sprint(i)})[0]
			if !r.Duplicate {
				s.Errorf("round %d: %d was published by a handler, and is no duplicate: %+v", round, i, r)
			}
		}
		s.restart()
	}
	s.wantEach("out", n)
}

func commitMarkCases() []testCase {
	needs := []queue.Feature{queue.CanCommit, queue.CanMark, queue.CanRead}
	return []testCase{
		{name: "DeliveriesMarkOnce", needs: needs, run: deliveryMarks},
		{name: "DeliveriesThatFailMarkNothing", needs: needs, run: deliveryMarksFail},
		{name: "DeliveriesOfABatchMark", needs: needs, run: deliveryMarksBatch},
		{name: "LeasesMark", needs: append(needs, queue.CanLease), run: leaseMarks},
		{name: "DeliveriesMarkAcrossARestart", needs: needs, run: deliveryMarksRestart, asks: asksRestart},
	}
}

// markAndHandOn publishes what d is about unless that was done for its key already.
func markAndHandOn(ctx context.Context, d *queue.Delivery, key string) (first bool, err error) {
	if first, err = d.Mark(ctx, "s", key); err != nil || !first {
		return first, err
	}
	return true, d.Publish(queue.Message{Topic: "out", Value: []byte(key)})
}

// deliveryMarks: of messages that are about the same, worked on at once, one is handed on, and all are done.
func deliveryMarks(s *stage) {
	const n, keys = 80, 9
	s.topic("t", 3)
	s.topic("out", 2)
	s.fill("t", n, 0)
	var firsts atomic.Int64
	g := s.exactly()
	g.Concurrency = 8
	r := s.consume(g, func(ctx context.Context, d *queue.Delivery) error {
		var i int
		if _, err := fmt.Sscan(string(d.Value), &i); err != nil {
			return err
		}
		first, err := markAndHandOn(ctx, d, fmt.Sprint(i%keys))
		if first && err == nil {
			firsts.Add(1)
		}
		return err
	})
	s.idle("g")
	r.stop()
	s.wantEach("out", keys)
	if got := firsts.Load(); got != keys {
		s.Errorf("%d were the first of %d keys", got, keys)
	}
	var fault *queue.ConfigError
	if _, err := queue.NewDelivery(queue.Record{}).Mark(s.Context(), "no/scope", ""); !errors.As(err, &fault) || len(fault.Faults) != 2 {
		s.Errorf("a scope and a key that cannot be: %v", err)
	}
}

func deliveryMarksFail(s *stage) {
	const n = 20
	s.topic("t", 2)
	s.topic("out", 1)
	s.fill("t", n, 0)
	r := s.consume(s.exactly(), func(ctx context.Context, d *queue.Delivery) error {
		first, err := markAndHandOn(ctx, d, string(d.Value))
		if !first || err != nil {
			s.Errorf("attempt %d at %s: %v, %v, though those before failed", d.Attempt, d.Value, first, err)
		}
		switch d.Attempt {
		case 1:
			return errors.New("after the mark")
		case 2:
			panic("after the mark")
		}
		return nil
	})
	s.idle("g")
	r.stop()
	s.wantEach("out", n)

	g := s.exactly() // what is done since it failed for good has marked nothing either
	g.Name, g.Failure = "discards", queue.Failure{MaxAttempts: 1, Exhausted: queue.Discard}
	r = s.consume(g, func(ctx context.Context, d *queue.Delivery) error {
		if first, err := d.Mark(ctx, "s", "discarded "+string(d.Value)); !first || err != nil {
			s.Errorf("%s: %v, %v", d.Value, first, err)
		}
		return errors.New("after the mark")
	})
	s.idle("discards")
	r.stop()
	for i := range n {
		s.wantMarkable("s", fmt.Sprint("discarded ", i))
	}
}

// wantMarkable wants that nobody has marked a key.
func (s *stage) wantMarkable(scope, key string) {
	s.Helper()
	gone := errors.New("only to see")
	_, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error {
		if first, err := tx.Mark(s.Context(), scope, key); err != nil || !first {
			return fmt.Errorf("first: %v, %w", first, err)
		}
		return gone
	})
	if err != gone {
		s.Errorf("key %q in %q: %v", key, scope, err)
	}
}

func deliveryMarksBatch(s *stage) {
	const n, keys = 60, 4
	s.topic("t", 1)
	s.topic("out", 1)
	s.fill("t", n, 0)
	g := s.exactly()
	g.Concurrency = 2
	r := s.consumeBatch(g, func(ctx context.Context, ds []*queue.Delivery) []error {
		errs := make([]error, len(ds))
		for i, d := range ds {
			var k int
			if _, err := fmt.Sscan(string(d.Value), &k); err != nil {
				errs[i] = err
				continue
			}
			if _, errs[i] = markAndHandOn(ctx, d, fmt.Sprint(k%keys)); errs[i] != nil && !errors.Is(errs[i], queue.ErrConflict) {
				s.Error(errs[i])
			}
		}
		return errs
	})
	s.idle("g")
	r.stop()
	s.wantEach("out", keys)
}

func leaseMarks(s *stage) {
	s.topic("t", 1)
	s.topic("out", 1)
	s.publish(queue.Message{Topic: "t"}, queue.Message{Topic: "t"}, queue.Message{Topic: "t"})
	ctx, cancel := context.WithCancel(s.within())
	defer cancel()
	settled := 0
	for l, err := range s.broker.Deliveries(ctx, queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1}) {
		if err != nil {
			s.Fatal(err)
		}
		first, err := markAndHandOn(ctx, l.Delivery, "0")
		if err != nil || first != (settled < 2) { // the first one fails
			s.Errorf("lease %d: %v, %v", settled, first, err)
		}
		if settled == 0 {
			err = l.NackAfter(ctx, 0, errors.New("after the mark"))
		} else {
			err = l.Ack(ctx)
		}
		if err != nil {
			s.Fatal(err)
		}
		_, err = l.Mark(ctx, "s", "late")
		s.wantError("a mark after the end of the lease", err, queue.ErrLeaseLost)
		if settled++; settled == 4 {
			cancel()
		}
	}
	s.wantEach("out", 1)
}

func deliveryMarksRestart(s *stage) {
	const n = 15
	s.topic("t", 1)
	s.topic("out", 1)
	for round := range 3 {
		s.fill("t", n, 0)
		r := s.consume(s.exactly(), func(ctx context.Context, d *queue.Delivery) error {
			first, err := markAndHandOn(ctx, d, string(d.Value))
			if first != (round == 0) || err != nil {
				s.Errorf("round %d, %s: %v, %v", round, d.Value, first, err)
			}
			return err
		})
		s.idle("g")
		r.stop()
		s.restart()
	}
	s.wantEach("out", n)
}
