package queuetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
)

func backlogCases() []testCase {
	needs := []queue.Feature{queue.CanLimit}
	return []testCase{
		{name: "FullTopicRefuses", needs: needs, run: fullRefuses},
		{name: "FullTopicBlocks", needs: needs, run: fullBlocks},
		{name: "FullTopicDropsTheNew", needs: needs, run: fullDropsNew},
		{name: "FullTopicDropsTheOldest", needs: needs, run: fullDropsOldest},
		{name: "GroupsThatDoNotCountHoldNobodyUp", needs: needs, run: uncounted},
		{name: "RateOfATopic", needs: needs, run: rateOfTopic, asks: asksBubble},
	}
}

// behind has topic "t" of a limit of 5 and that policy, and group "g", which works on a first message and is not done with it.
func (s *stage) behind(p backpressure.Policy) (h *held, got *collector) {
	s.Helper()
	c := queue.TopicConfig{Limit: queue.Limit{Messages: 5, WhenFull: p}}
	if err := s.broker.EnsureTopic(s.within(), "t", c); err != nil {
		s.Fatal(err)
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1}
	h, got = s.hold(), &collector{group: g}
	got.running = s.consume(g, func(ctx context.Context, d *queue.Delivery) error {
		got.keep(d)
		return h.handle(ctx, d)
	})
	s.Cleanup(h.free)
	s.fill("t", 1, 0)
	await(s, h.arrived, "the first message")
	return h, got
}

func (s *stage) wantFull(err error) {
	s.Helper()
	if !errors.Is(err, queue.ErrFull) {
		s.Errorf("publishing to a full topic: %v, want ErrFull", err)
	}
}

func fullRefuses(s *stage) {
	h, got := s.behind(backpressure.Reject)
	for range 4 {
		s.publish(queue.Message{Topic: "t"})
	}
	for range 3 {
		_, err := s.broker.Publish(s.within(), queue.Message{Topic: "t"})
		s.wantFull(err)
	}
	h.free()
	s.idle("g")
	for range 5 {
		s.publish(queue.Message{Topic: "t"})
		s.idle("g")
	}
	if n := len(got.got()); n != 10 {
		s.Errorf("%d messages were delivered, want the 10 that were let in", n)
	}
}

func fullBlocks(s *stage) {
	h, got := s.behind(backpressure.Block)
	for range 4 {
		s.publish(queue.Message{Topic: "t"})
	}
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := s.broker.Publish(ctx, queue.Message{Topic: "t"})
	s.wantFull(err)
	if !errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("a wait that ended: %v, want the context's error too", err)
	}
	b, outcome := s.broker, make(chan error, 1)
	within := s.within()
	go func() {
		_, err := b.Publish(within, queue.Message{Topic: "t"})
		outcome <- err
	}()
	s.quiet()
	select {
	case err := <-outcome:
		s.Errorf("a publish did not wait for room: %v", err)
	default:
	}
	h.free()
	if err := await(s, outcome, "a publish for which there is room"); err != nil {
		s.Error(err)
	}
	s.idle("g")
	if n := len(got.got()); n != 6 {
		s.Errorf("%d messages were delivered, want 6", n)
	}
}

func fullDropsNew(s *stage) {
	h, got := s.behind(backpressure.DropNew)
	for i := range 10 {
		r := s.publish(queue.Message{Topic: "t"})[0]
		if r.Dropped != (i >= 4) || r.Position.IsZero() != r.Dropped {
			s.Errorf("publish %d: %+v", i, r)
		}
	}
	h.free()
	s.idle("g")
	if n := len(got.got()); n != 5 {
		s.Errorf("%d messages were delivered, want the 5 that were not dropped", n)
	}
}

func fullDropsOldest(s *stage) {
	h, got := s.behind(backpressure.DropOldest)
	for i := range 20 {
		s.publish(queue.Message{Topic: "t", Value: []byte{byte(i)}})
	}
	h.free()
	s.idle("g")
	vs := values(got.got())
	slices.Sort(vs[1:])
	if len(vs) != 5 || !slices.Equal(vs[1:], []string{"\x10", "\x11", "\x12", "\x13"}) {
		s.Errorf("delivered were %q, want the one in work and the newest 4", vs)
	}
	if g := groupOf(s.broker.Stats(), "g"); g.Missed != 16 && g.Name != "" {
		s.Errorf("%+v, want 16 missed", g)
	}
}

func groupOf(s queue.Stats, name string) (g queue.GroupStats) {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			g = s.Groups[i]
		}
	}
	return g
}

func uncounted(s *stage) {
	c := queue.TopicConfig{Limit: queue.Limit{Messages: 1, WhenFull: backpressure.Reject}}
	if err := s.broker.EnsureTopic(s.within(), "t", c); err != nil {
		s.Fatal(err)
	}
	h := s.hold()
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, Uncounted: true}
	s.consumeHeld(g, h)
	s.fill("t", 1, 0)
	await(s, h.arrived, "the first message")
	s.fill("t", 1, 0)
	s.publish(queue.Message{Topic: "t"}, queue.Message{Topic: "t"})
	g.Uncounted = false
	s.wantFault("a member that counts", s.consume(g, finish).result(), "Uncounted")
	h.free()
	s.idle("g")
}

func rateOfTopic(s *stage) {
	c := queue.TopicConfig{Limit: queue.Limit{Rate: 10, Burst: 1}}
	if err := s.broker.EnsureTopic(s.within(), "t", c); err != nil {
		s.Fatal(err)
	}
	began := time.Now()
	for range 11 {
		s.publish(queue.Message{Topic: "t"})
	}
	if took := time.Since(began); took < 990*time.Millisecond {
		s.Errorf("11 messages of 10 a second took %v", took)
	}
	ctx, cancel := context.WithTimeout(s.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.broker.Publish(ctx, queue.Message{Topic: "t"}); !errors.Is(err, queue.ErrRateLimited) || !errors.Is(err, queue.ErrFull) {
		s.Errorf("no time to wait: %v, want ErrRateLimited, which is ErrFull", err)
	}
}
