package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

func borrowCases() []testCase {
	return []testCase{
		{name: "BorrowedDeliveriesAreRight", run: func(s *stage) { borrowedDeliveries(s, s.topic) }},
		{name: "BorrowedDeliveriesInMemoryAreRight", needs: []queue.Feature{queue.CanStoreInMemory},
			run: func(s *stage) { borrowedDeliveries(s, func(name string, _ int) { s.inMemory(name) }) }},
		{name: "BorrowedByAStuckHandler", run: func(s *stage) { borrowedByStuck(s, s.topic) }},
		{name: "BorrowedInMemoryByAStuckHandler", needs: []queue.Feature{queue.CanStoreInMemory},
			run: func(s *stage) { borrowedByStuck(s, func(name string, _ int) { s.inMemory(name) }) }},
		{name: "BorrowedIsNotForLeases", run: borrowedLeases, needs: []queue.Feature{queue.CanLease}},
	}
}

// lent is the i-th message of topic "t", of a size of its own, some without headers.
func lent(i int) queue.Message {
	m := queue.Message{Topic: "t", Key: keyOf(i % 7), Value: fmt.Appendf(nil, "%d %0*d", i, i*37%1500, i)}
	if i%3 == 0 {
		m.Headers = queue.Headers{}.With("a", fmt.Sprint(i))
	}
	return m
}

// wantLent fails if the message is not what lent made, and returns which it is.
func (s *stage) wantLent(who string, m queue.Message) (i int) {
	s.Helper()
	if _, err := fmt.Sscan(string(m.Value), &i); err != nil {
		s.Errorf("%s: a value is %.50q", who, m.Value)
		return 0
	}
	s.wantSame(who, m, lent(i))
	return i
}

// borrowedDeliveries has members that borrow and one that does not, which writes over all that it is given, share a group, while messages fail, pass and are given up: each is right as long as its handler has it, and so
// are dead letters, and what others read.
func borrowedDeliveries(s *stage, topic func(name string, partitions int)) {
	const messages, bad = 1200, 50
	topic("t", 4)
	errFirst, order := errors.New("first attempt"), s.someOrder()
	again := queue.Failure{Retry: retry.Constant(time.Millisecond)}
	var done sync.Map
	handle := func(who string, d *queue.Delivery) error {
		i := s.wantLent(who, d.Message)
		switch {
		case i%bad == 1:
			return retry.Permanent(fmt.Errorf("bad: %.10q", d.Value))
		case i%11 == 0 && d.Attempt == 1:
			return errFirst
		}
		done.Store(i, true)
		return nil
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: order, Failure: again, Concurrency: 2}
	lends, owns, batches := g, g, g
	lends.Borrowed, batches.Borrowed = true, true
	s.consume(lends, func(_ context.Context, d *queue.Delivery) error { return handle("a borrower", d) })
	s.consume(owns, func(_ context.Context, d *queue.Delivery) error {
		defer scribble(&d.Message)
		return handle("an owner", d)
	})
	s.consumeBatch(batches, func(_ context.Context, ds []*queue.Delivery) []error {
		errs := make([]error, len(ds))
		for i, d := range ds {
			errs[i] = handle("a borrower of batches", d)
		}
		for _, d := range ds { // still
			s.wantLent("the end of a batch", d.Message)
		}
		return errs
	})
	for from := 0; from < messages; from += 100 {
		ms := make([]queue.Message, 100)
		for i := range ms {
			ms[i] = lent(from + i)
		}
		s.store(ms...)
	}
	s.idle("g")
	letters := 0
	if s.can(queue.CanRead) {
		for _, r := range s.records("t.dead") {
			var i int
			if _, err := fmt.Sscan(string(r.Value), &i); err != nil || string(r.Value) != string(lent(i).Value) || i%bad != 1 {
				s.Errorf("a dead letter is %.50q", r.Value)
			}
			letters++
		}
		if letters != messages/bad {
			s.Errorf("%d dead letters, want %d", letters, messages/bad)
		}
	}
	for i := range messages {
		if _, ok := done.Load(i); !ok && i%bad != 1 {
			s.Errorf("message %d is not done", i)
		}
	}
	all := s.delivered("t")
	for _, d := range all {
		s.wantLent("a group of later", d.Message)
	}
	if len(all) != messages {
		s.Errorf("another group has %d messages, want %d", len(all), messages)
	}
}

// borrowedByStuck has a handler keep what it borrowed since it does not return, while thousands of messages come and go.
func borrowedByStuck(s *stage, topic func(name string, partitions int)) {
	const messages = 3000
	topic("t", 1)
	open, began, found := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	free := sync.OnceFunc(func() { close(open) })
	var calls, done atomic.Int32
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 2, HandlerTimeout: 50 * time.Millisecond, Borrowed: true}
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		if calls.Add(1) > 1 {
			s.wantLent("a handler that returns", d.Message)
			done.Add(1)
			return nil
		}
		value, key := d.Value, d.Key
		want := string(value)
		close(began)
		<-open
		if string(value) != want || string(key) != string(lent(0).Key) {
			found <- fmt.Errorf("what was %.50q is %.50q", want, value)
		}
		close(found)
		return nil
	})
	s.Cleanup(free)
	s.publish(lent(0))
	<-began
	for from := 1; from < messages; from += 100 {
		ms := make([]queue.Message, 0, 100)
		for i := from; i < min(from+100, messages); i++ {
			ms = append(ms, lent(i))
		}
		s.store(ms...)
	}
	s.idle("g")
	if n := done.Load(); n != messages {
		s.Errorf("%d messages are done, want %d", n, messages)
	}
	free()
	if err := <-found; err != nil {
		s.Errorf("while a handler was stuck: %v", err)
	}
}

// borrowedLeases: a lease may be held when its message is somebody else's.
func borrowedLeases(s *stage) {
	s.topic("t", 1)
	for _, err := range s.broker.Deliveries(s.within(), queue.Group{Name: "g", Topics: []string{"t"}, Borrowed: true}) {
		s.wantFault("Deliveries", err, "Borrowed")
		break
	}
}
