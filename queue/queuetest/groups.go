package queuetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/leatmq/leat/queue"
)

func groupCases() []testCase {
	return []testCase{
		{name: "GroupsReadIndependently", run: twoGroups},
		{name: "GroupGoesOnWhereItStopped", run: groupGoesOn},
		{name: "GroupOfSeveralTopics", run: severalTopics},
		{name: "GroupFaultsAreRefused", run: groupFaults},
		{name: "MembersComeAndGo", run: leaveEmpty},
	}
}

func twoGroups(s *stage) {
	s.topic("t", 3)
	s.fill("t", 100, 7)
	a := s.collect(queue.Group{Name: "a", Topics: []string{"t"}})
	s.idle("a")
	a.stop()
	s.fill("t", 50, 0)
	b := s.collect(queue.Group{Name: "b", Topics: []string{"t"}})
	s.idle("b")
	if a, b := len(a.got()), len(b.got()); a != 100 || b != 150 {
		s.Errorf("the groups got %d and %d messages, want 100 and 150", a, b)
	}
	a = s.collect(queue.Group{Name: "a", Topics: []string{"t"}})
	s.idle("a")
	if got := len(a.got()); got != 50 {
		s.Errorf("the first group got %d of the 50 that came while it was away", got)
	}
}

func groupGoesOn(s *stage) {
	s.topic("t", 2)
	seen := map[string]int{}
	for i := range 5 {
		s.fill("t", 20, 3)
		c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}, StartIfNew: queue.Earliest()})
		s.idle("g")
		c.stop()
		for _, d := range c.got() {
			seen[d.Position.String()]++
			if d.Attempt != 1 {
				s.Errorf("run %d: %s is attempt %d", i, d.Position, d.Attempt)
			}
		}
		if len(c.got()) != 20 {
			s.Errorf("run %d got %d messages, want the 20 new ones", i, len(c.got()))
		}
	}
	if len(seen) != 100 {
		s.Errorf("%d of 100 messages came", len(seen))
	}
}

func severalTopics(s *stage) {
	topics := []string{"c", "a", "b"}
	for i, name := range topics {
		s.topic(name, i+1)
		s.fill(name, 30, 5)
	}
	c := s.collect(queue.Group{Topics: topics})
	s.idle(c.group.Name)
	counts := map[string]int{}
	for _, d := range c.got() {
		counts[d.Topic]++
		if d.Topic != d.Position.Topic() || d.Group != c.group.Name {
			s.Errorf("%s says topic %q, group %q", d.Position, d.Topic, d.Group)
		}
	}
	if fmt.Sprint(counts) != "map[a:30 b:30 c:30]" {
		s.Errorf("got %v, want 30 of each topic", counts)
	}
}

func groupFaults(s *stage) {
	s.topic("t", 1)
	fine := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	nothing := func(context.Context, *queue.Delivery) error { return nil }
	resume := func(context.Context, string, int) (queue.Position, error) { return queue.Position{}, nil }
	for field, change := range map[string]func(*queue.Group){
		"Name":          func(g *queue.Group) { g.Name = "" },
		"Topics":        func(g *queue.Group) { g.Topics = nil },
		"Order":         func(g *queue.Group) { g.Order = 9 },
		"StartIfNew":    func(g *queue.Group) { g.StartIfNew = queue.From(queue.PositionAt("other", 0, 0)) },
		"Resume":        func(g *queue.Group) { g.Order, g.Resume = queue.ByKey, resume },
		"Concurrency":   func(g *queue.Group) { g.Concurrency = -1 },
		"InFlightBytes": func(g *queue.Group) { g.InFlightBytes = -1 },
		"Batch":         func(g *queue.Group) { g.Batch.Messages = 1 },
	} {
		g := fine
		g.Topics = slices.Clone(fine.Topics)
		change(&g)
		s.wantFault("bad "+field, s.broker.Consume(s.within(), g, nothing), field)
	}
	s.wantFault("no handler", s.broker.Consume(s.within(), fine, nil), "handler")
}

// leaveEmpty has members come and go that never get anything: they leave no trace but the group.
func leaveEmpty(s *stage) {
	s.topic("t", 2)
	for range 10 {
		c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
		c.stop()
		if got := len(c.got()); got != 0 {
			s.Errorf("%d messages from an empty topic", got)
		}
	}
	s.fill("t", 10, 2)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := len(c.got()); got != 10 {
		s.Errorf("%d messages, want 10", got)
	}
}
