package queuetest

import (
	"context"
	"errors"
	"time"

	"github.com/leatmq/leat/queue"
)

// ackPublishes has what a lease publishes be stored with its Ack, once, and not with another outcome.
func ackPublishes(s *stage) {
	s.topic("t", 1)
	s.topic("u", 1)
	s.fill("t", 1, 0)
	b := s.borrow(queue.Group{Concurrency: 1})
	publish := func(l *queue.Lease, value string) {
		if err := l.Publish(queue.Message{Topic: "u", Value: []byte(value)}); err != nil {
			s.Fatal("Publish: ", err)
		}
	}
	l := b.next()
	publish(l, "of a nack")
	if err := l.NackAfter(s.Context(), 0, errAgain); err != nil {
		s.Fatal("NackAfter: ", err)
	}
	l = b.next()
	if l.LastError != errAgain.Error() {
		s.Errorf("the last error is %q", l.LastError)
	}
	publish(l, "1")
	publish(l, "2")
	s.ack(l)
	s.wantError("another Ack", l.Ack(s.Context()), queue.ErrLeaseLost)
	s.idle("g")
	b.stop()
	if got := values(s.delivered("u")); len(got) != 2 || got[0] != "1" || got[1] != "2" {
		s.Errorf("published %q, want 1 and 2", got)
	}
}

// ackRefused has an Ack fail that cannot be stored: the lease goes on, and may be settled in another way.
func ackRefused(s *stage) {
	s.topic("t", 1)
	s.topic("u", 1)
	s.fill("t", 1, 0)
	b := s.borrow(queue.Group{})
	l := b.next()
	if err := l.Publish(queue.Message{Topic: "u"}); err != nil {
		s.Fatal("Publish: ", err)
	}
	if err := s.broker.Admin().DeleteTopic(s.within(), "u"); err != nil {
		s.Fatal(err)
	}
	for range 2 {
		s.wantError("Ack", l.Ack(s.within()), queue.ErrNotFound)
	}
	if err := l.Context().Err(); err != nil {
		s.Errorf("the lease is over: %v", err)
	}
	if err := l.Extend(s.Context(), time.Minute); err != nil {
		s.Errorf("Extend: %v", err)
	}
	if err := l.NackAfter(s.Context(), 0, errAgain); err != nil {
		s.Errorf("NackAfter: %v", err)
	}
	if l = b.next(); l.Attempt != 2 {
		s.Errorf("attempt %d after a failed Ack and a Nack", l.Attempt)
	}
	s.ack(l)
	s.idle("g")
}

// ackDurable closes the broker in a hurry after an Ack. What it survives beyond that is for crash sweeps.
func ackDurable(s *stage) {
	s.topic("t", 1)
	s.fill("t", 2, 0)
	b := s.borrow(queue.Group{Concurrency: 2})
	first := b.next()
	s.ack(first)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.broker.Shutdown(gone); err != nil && !errors.Is(err, context.Canceled) {
		s.Fatal("Shutdown: ", err)
	}
	s.wantError("the loop", b.result(), queue.ErrClosed)
	before := s.broker
	s.broker = watched(s, func() *queue.Broker { return s.harness.Restart(s, before, s.options(0)) })
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	for _, d := range c.got() {
		if d.Position == first.Position {
			s.Errorf("%s came again after its Ack", d.Position)
		}
	}
}

// outcomesAfterClose has the outcomes of leases that a close cut off fail, each in its way to settle: none is taken for one that counts.
func outcomesAfterClose(s *stage) {
	s.topic("t", 1)
	s.fill("t", 5, 5)
	b := s.borrow(queue.Group{Concurrency: 5, Order: queue.Unordered})
	var held []*queue.Lease
	for range 5 {
		held = append(held, b.next())
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.broker.Shutdown(gone); err != nil && !errors.Is(err, context.Canceled) {
		s.Fatal("Shutdown: ", err)
	}
	s.wantError("the loop", b.result(), queue.ErrClosed)
	for i, settle := range []func(*queue.Lease) error{
		func(l *queue.Lease) error { return l.Ack(s.Context()) },
		func(l *queue.Lease) error { return l.Nack(s.Context(), errAgain) },
		func(l *queue.Lease) error { return l.NackAfter(s.Context(), 0, errAgain) },
		func(l *queue.Lease) error { return l.Extend(s.Context(), time.Minute) },
		func(l *queue.Lease) error { return l.Reject(s.Context(), errAgain) },
	} {
		if err := settle(held[i]); !errors.Is(err, queue.ErrLeaseLost) && !errors.Is(err, queue.ErrClosed) {
			s.Errorf("way %d to settle a lease after Close: %v, want ErrLeaseLost or ErrClosed", i, err)
		}
	}
	before := s.broker
	s.broker = watched(s, func() *queue.Broker { return s.harness.Restart(s, before, s.options(0)) })
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered})
	s.idle("g")
	got := c.got()
	for _, d := range got {
		if d.Attempt != 1 {
			s.Errorf("%s came at attempt %d, after outcomes that failed", d.Position, d.Attempt)
		}
	}
	if len(got) != 5 {
		s.Errorf("%d of 5 messages came again", len(got))
	}
}

// leasesAtMostOnce wants what was handed out never to come again, whatever becomes of it.
func leasesAtMostOnce(s *stage) {
	s.topic("t", 1)
	s.fill("t", 4, 1)
	b := s.borrow(queue.Group{Guarantee: queue.AtMostOnce})
	for i, settle := range []func(l *queue.Lease){
		func(l *queue.Lease) { s.over(l) },
		func(l *queue.Lease) { l.Nack(s.Context(), errAgain) },
		s.ack,
		func(*queue.Lease) { b.end() },
	} {
		l := b.next()
		if want := string(rune('0' + i)); string(l.Value) != want || l.Attempt != 1 {
			s.Errorf("message %s came at attempt %d, want message %s at the first", l.Value, l.Attempt, want)
		}
		settle(l)
	}
	if err := b.result(); err != nil {
		s.Errorf("the loop ended with %v", err)
	}
	s.idle("g")
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := c.got(); len(got) > 0 {
		s.Errorf("%d messages came again", len(got))
	}
}
