package queuetest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
)

func idleCases() []testCase {
	return []testCase{
		{name: "WaitIdleWaitsForNewGroups", run: idleNewGroup},
		{name: "WaitIdleSaysWhyNot", run: idleReasons},
		{name: "WaitIdleSeesSeveralGroupsAtOnce", run: idleChain},
		{name: "WaitIdleOfNothingIsRefused", run: idleNothing},
	}
}

func idleNewGroup(s *stage) {
	s.topic("t", 1)
	s.fill("t", 10, 3)
	for i := range 10 {
		s.idleNewGroup(fmt.Sprint("g-", i))
	}
}

func (s *stage) idleNewGroup(name string) {
	b := s.broker
	var handled atomic.Int32
	r := s.start(func(context.Context) error {
		err := b.WaitIdle(s.within(), name)
		if got := handled.Load(); got != 10 {
			s.Errorf("WaitIdle of a new group returned %v after %d of 10 messages", err, got)
		}
		return err
	})
	s.wantBusy(name, "not exist") // and the other waits too, by then
	s.consume(queue.Group{Name: name, Topics: []string{"t"}, Order: s.someOrder()}, func(context.Context, *queue.Delivery) error {
		handled.Add(1)
		return nil
	})
	if err := r.result(); err != nil {
		s.Error(err)
	}
}

func idleReasons(s *stage) {
	s.topic("t", 1)
	s.wantBusy("nobody", `"nobody"`, "not exist")
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1}
	s.fill("t", 3, 0)
	h := s.hold()
	r := s.consumeHeld(g, h)
	await(s, h.arrived, "a handler")
	s.wantBusy("g", `"g"`, "in flight")
	h.free()
	s.idle("g")
	r.stop()
	s.idle("g") // without members, and nothing to do
	s.fill("t", 1, 0)
	s.wantBusy("g", `"g"`, "no members")
	g.Failure = endless
	s.consume(g, func(context.Context, *queue.Delivery) error { return errAgain })
	s.wantBusy("g", `"g"`)
}

// idleChain has one group give work to another, and that to the first again.
func idleChain(s *stage) {
	const hops = 20
	s.topic("t", 2)
	s.topic("u", 2)
	var ends atomic.Int32
	pass := func(to string) queue.Handler {
		return func(ctx context.Context, d *queue.Delivery) error {
			if len(d.Value) == hops {
				ends.Add(1)
				return nil
			}
			_, err := s.broker.Publish(ctx, queue.Message{Topic: to, Value: append(d.Value, '.'), Key: d.Key})
			return err
		}
	}
	s.consume(queue.Group{Name: "a", Topics: []string{"t"}, Order: s.someOrder()}, pass("u"))
	s.consume(queue.Group{Name: "b", Topics: []string{"u"}, Order: s.someOrder()}, pass("t"))
	for i := range 10 {
		s.publish(queue.Message{Topic: "t", Key: keyOf(i)})
		s.idle("b", "a", "b")
		if got := int(ends.Load()); got != i+1 {
			s.Fatalf("idle after %d of %d messages had gone all their way", got, i+1)
		}
	}
}

func idleNothing(s *stage) {
	s.wantFault("no groups", s.broker.WaitIdle(s.within()), "groups")
	s.wantFault("a bad name", s.broker.WaitIdle(s.within(), "a/b"), "groups")
}
