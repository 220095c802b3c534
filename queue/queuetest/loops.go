package queuetest

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/leatmq/leat/queue"
)

func loopCases() []testCase {
	lease := []queue.Feature{queue.CanLease}
	return []testCase{
		{name: "LeavingALoopGivesBack", run: loopLeft, needs: lease},
		{name: "PanickingInALoopGivesBack", run: loopPanics, needs: lease},
		{name: "LoopsRefuseWhatTheyCannotUse", run: loopRefuses, needs: lease},
		{name: "StopCutsOffLeasesAfterTheDrainTime", run: loopDrained, needs: lease},
		{name: "ClosingEndsLoops", run: loopClosed, needs: lease},
	}
}

// loop ranges over Deliveries until body is false, and returns the error of the last pair.
func (s *stage) loop(ctx context.Context, body func(*queue.Lease) bool) error {
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 2}
	for l, err := range s.broker.Deliveries(ctx, g) {
		if err != nil {
			if l != nil {
				s.Error("an error comes with a lease")
			}
			return err
		}
		if !body(l) {
			return nil
		}
	}
	return nil
}

func loopLeft(s *stage) {
	s.topic("t", 2)
	s.spreadOut(10, 2, 10)
	var held *queue.Lease
	for range 3 {
		err := s.loop(s.within(), func(l *queue.Lease) bool {
			if l.Attempt != 1 {
				s.Errorf("%s is at attempt %d: leaving a loop costs none", l.Position, l.Attempt)
			}
			held = l
			return false
		})
		if err != nil {
			s.Fatal(err)
		}
		s.over(held)
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := c.got(); len(got) != 10 {
		s.Errorf("%d messages came to the next member, want 10", len(got))
	}
	if _, failed := s.log.told(); len(failed)+len(s.log.expiries()) > 0 {
		s.Errorf("told of failures %v and expired leases %v", failed, s.log.expiries())
	}
}

func loopPanics(s *stage) {
	s.topic("t", 1)
	s.fill("t", 2, 0)
	for _, end := range []func(){func() { panic(errAgain) }, runtime.Goexit} {
		ended := make(chan any)
		go func() {
			defer close(ended)
			defer func() { recover() }()
			s.loop(s.within(), func(*queue.Lease) bool { end(); return true })
			s.Error("the loop went on")
		}()
		await(s, ended, "the end of a loop whose body panicked")
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := c.got(); len(got) != 2 || got[0].Attempt != 1 || got[1].Attempt != 1 {
		s.Errorf("%d messages came to the next member, want 2 at their first attempt", len(got))
	}
}

func loopRefuses(s *stage) {
	try := func(g queue.Group) error {
		for _, err := range s.broker.Deliveries(s.within(), g) {
			return err
		}
		return nil
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	s.wantError("a topic that is not there", try(g), queue.ErrNotFound)
	g.Batch.Messages = 1
	s.wantFault("Batch with Deliveries", try(g), "Batch")
	g.Batch.Messages, g.Lease = 0, -1
	s.wantFault("a negative Lease", try(g), "Lease")
	g.Lease = time.Second
	s.wantFault("Lease with Consume", s.broker.Consume(s.within(), g, finish), "Lease")
}

func loopDrained(s *stage) {
	s.broker = s.open(20 * time.Millisecond)
	s.topic("t", 1)
	s.fill("t", 1, 0)
	for range 3 {
		b := s.borrow(queue.Group{})
		l := b.next()
		if l.Attempt != 1 {
			s.Errorf("attempt %d after our own stops", l.Attempt)
		}
		b.end()
		await(s, l.Context().Done(), "the end of a lease after the drain time")
		if err := l.Nack(s.Context(), l.Context().Err()); err != nil && !errors.Is(err, queue.ErrLeaseLost) {
			s.Errorf("Nack of what our own stop cut off: %v", err)
		}
		if err := b.result(); err != nil {
			s.Errorf("the loop ended with %v, want nil", err)
		}
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := c.got(); len(got) != 1 || got[0].Attempt != 1 {
		s.Errorf("%d messages came to the next member, want 1 at its first attempt", len(got))
	}
	if _, failed := s.log.told(); len(failed) > 0 {
		s.Errorf("told of failures that our own stop caused: %v", failed)
	}
}

func loopClosed(s *stage) {
	s.topic("t", 1)
	s.fill("t", 2, 0)
	b := s.borrow(queue.Group{Concurrency: 2})
	l := b.next()
	closed := make(chan error, 1)
	broker := s.broker
	go func() { closed <- broker.Close() }()
	s.quiet()
	select {
	case err := <-closed:
		s.Fatalf("Close returned %v while a lease was held", err)
	default:
	}
	s.ack(l)
	for range 2 { // the other, if it was handed out
		select {
		case l := <-b.leases:
			s.ack(l)
		case err := <-closed:
			closed <- err
		}
	}
	if err := await(s, closed, "Close"); err != nil {
		s.Errorf("Close: %v", err)
	}
	s.wantError("the loop", b.result(), queue.ErrClosed)
	s.wantError("a loop over a closed broker", s.loop(s.within(), func(*queue.Lease) bool { return true }), queue.ErrClosed)
}
