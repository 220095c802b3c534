package queuetest

import (
	"context"
	"slices"

	"github.com/leatmq/leat/queue"
)

func pauseCases() []testCase {
	pause := []queue.Feature{queue.CanPause}
	return []testCase{
		{name: "PausedGroupHandsOutNothing", run: paused, asks: asksGroups, needs: pause},
		{name: "PausedUnderLoad", run: pausedUnderLoad, asks: asksGroups, needs: pause},
		{name: "PausedGroupStaysSoAfterARestart", run: pausedRestarted, asks: asksGroups | asksRestart, needs: pause},
		{name: "CreatedGroupAccumulates", run: created, asks: asksGroups},
		{name: "CreatedGroupIsListedAfterARestart", run: createdRestarted, asks: asksGroups | asksRestart},
		{name: "CreateGroupFaultsAreRefused", run: createFaults, asks: asksGroups},
	}
}

func (s *stage) pause(group string) {
	s.Helper()
	if err := s.broker.Admin().Pause(s.within(), group); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) unpause(group string) {
	s.Helper()
	if err := s.broker.Admin().Resume(s.within(), group); err != nil {
		s.Fatal(err)
	}
}

// paused pauses a group with a message in work, one that waits for its retry, and a backlog.
func paused(s *stage) {
	s.topic("t", 3)
	s.spreadOut(30, 3, 5)
	o := s.someOrder()
	d, h := s.detect(o), s.hold()
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 2}
	first := make(chan struct{}, 1)
	s.consume(g, d.watch(func(ctx context.Context, x *queue.Delivery) error {
		select {
		case first <- struct{}{}:
			return errAgain
		default:
		}
		return h.handle(ctx, x)
	}))
	s.Cleanup(h.free)
	await(s, h.arrived, "a handler")
	s.pause("g")
	s.pause("g")
	more := s.collectWatched(g, d)
	h.free()
	s.wantBusy("g", `"g"`, "paused")
	s.idleBut("g", 0)
	done := d.doneCount()
	s.spreadOut(9, 3, 5)
	s.quiet()
	info := s.groupInfo("g")
	if !info.Paused || info.Idle != "paused" || info.InFlight != 0 || info.Ready+info.Waiting != int64(39-done) {
		s.Errorf("%d of 39 are done: %+v", done, info)
	}
	if _, g, ok := s.figures(); ok && g.Idle != "paused" {
		s.Errorf("stats say %+v", g)
	}
	if now := d.doneCount(); now != done || len(more.got()) > 0 {
		s.Errorf("a paused group finished %d messages, %d of them of a member that came later", now-done, len(more.got()))
	}
	s.unpause("g")
	s.unpause("g")
	s.idle("g")
	if got := d.doneCount(); got != 39 {
		s.Errorf("%d messages are done, want 39", got)
	}
	if info := s.groupInfo("g"); info.Paused || info.Idle != "" {
		s.Errorf("after Resume: %+v", info)
	}
	s.pause("g")
	s.idle("g") // it has nothing to do
	s.wantError("a group that is not there", s.broker.Admin().Pause(s.within(), "none"), queue.ErrNotFound)
}

// collectWatched starts a member that finishes everything, under the eyes of d.
func (s *stage) collectWatched(g queue.Group, d *detector) *collector {
	c := &collector{group: g}
	c.running = s.consume(g, d.watch(func(_ context.Context, x *queue.Delivery) error {
		c.keep(x)
		return nil
	}))
	return c
}

// pausedUnderLoad pauses and resumes again and again while messages flow and members come and go.
func pausedUnderLoad(s *stage) {
	s.topic("t", 3)
	o := s.someOrder()
	d, chance := s.detect(o), s.dice()
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 3}
	members := []*collector{s.collectWatched(g, d)}
	s.fill("t", 1, 1)
	s.idle("g")
	total := 1
	for range s.sized(20, 100, 500) {
		n := 1 + chance.n(30)
		total += n
		s.fill("t", n, 7)
		s.pause("g")
		switch chance.n(3) {
		case 0:
			members = append(members, s.collectWatched(g, d))
		case 1:
			if len(members) > 1 {
				members[0].stop()
				members = members[1:]
			}
		}
		s.idleBut("g", 0)
		done := d.doneCount()
		s.dawdle(chance)
		if now := d.doneCount(); now != done {
			s.Fatalf("a paused group finished %d messages", now-done)
		}
		s.unpause("g")
	}
	s.idle("g")
	if got := d.doneCount(); got != total {
		s.Errorf("%d messages are done, want %d", got, total)
	}
}

func pausedRestarted(s *stage) {
	s.topic("t", 2)
	s.fill("t", 20, 3)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	c := s.collect(g)
	s.idle("g")
	s.pause("g")
	c.stop()
	s.fill("t", 10, 3)
	s.restart()
	if info := s.groupInfo("g"); !info.Paused || info.Idle != "paused" || info.Ready != 10 || info.Order != g.Order {
		s.Errorf("after a restart: %+v", info)
	}
	s.wantBusy("g", "paused")
	c = s.collect(g)
	s.quiet()
	s.wantBusy("g", "paused")
	if got := len(c.got()); got != 0 {
		s.Errorf("%d messages came out of a paused group", got)
	}
	s.unpause("g")
	s.idle("g")
	if got := len(c.got()); got != 10 {
		s.Errorf("%d messages after Resume, want 10", got)
	}
	c.stop()
	s.restart()
	if info := s.groupInfo("g"); info.Paused {
		s.Errorf("it was resumed before the restart: %+v", info)
	}
}

func (s *stage) create(g queue.Group) {
	s.Helper()
	if err := s.broker.Admin().CreateGroup(s.within(), g); err != nil {
		s.Fatal(err)
	}
}

func created(s *stage) {
	s.topic("t", 2)
	s.topic("u", 1)
	s.fill("t", 10, 3)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), StartIfNew: queue.Latest()}
	s.create(g)
	if info := s.groupInfo("g"); info.Ready != 0 || info.Members != 0 || info.Order != g.Order || !slices.Equal(info.Topics, g.Topics) {
		s.Errorf("just made: %+v", info)
	}
	s.idle("g")
	s.fill("t", 5, 2)
	s.wantBusy("g", "no members")
	s.wantParts(s.groupInfo("g"), 2)
	g.StartIfNew = queue.Earliest()
	s.create(g) // it is there
	c := s.collect(g)
	c.awaitCount(5)
	s.idle("g")
	if got := len(c.got()); got != 5 {
		s.Errorf("%d messages, want the 5 that came since it was made", got)
	}
	s.create(g) // as its member has it
	g.Topics = []string{"t", "u"}
	s.wantFault("topics that the members do not have", s.broker.Admin().CreateGroup(s.within(), g), "Topics")
	c.stop()
	s.fill("u", 3, 0)
	s.create(g)
	if info := s.groupInfo("g"); info.Ready != 3 || !slices.Equal(info.Topics, g.Topics) {
		s.Errorf("with another topic: %+v", info)
	}
}

func createdRestarted(s *stage) {
	s.topic("t", 2)
	s.fill("t", 10, 3)
	o := s.someOrder()
	s.create(queue.Group{Name: "g", Topics: []string{"t"}, Order: o, StartIfNew: queue.Latest()})
	s.create(queue.Group{Name: "gone", Topics: []string{"t"}, Order: o})
	if err := s.broker.Admin().DeleteGroup(s.within(), "gone"); err != nil {
		s.Fatal(err)
	}
	s.fill("t", 4, 3)
	s.restart()
	all, err := s.broker.Admin().Groups(s.within())
	if err != nil || len(all) != 1 || all[0].Name != "g" || all[0].Order != o || all[0].Ready != 4 || !slices.Equal(all[0].Topics, []string{"t"}) {
		s.Errorf("groups after a restart: %+v, %v", all, err)
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	c.awaitCount(4)
	s.idle("g")
	if got := len(c.got()); got != 4 {
		s.Errorf("%d messages, want 4", got)
	}
}

func createFaults(s *stage) {
	s.topic("t", 1)
	a, ctx := s.broker.Admin(), s.within()
	fine := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	for field, change := range map[string]func(*queue.Group){
		"Name":          func(g *queue.Group) { g.Name = "a/b" },
		"Topics":        func(g *queue.Group) { g.Topics = nil },
		"Concurrency":   func(g *queue.Group) { g.Concurrency = 1 },
		"InFlightBytes": func(g *queue.Group) { g.InFlightBytes = 1 },
		"Batch":         func(g *queue.Group) { g.Batch.Messages = 1 },
		"ExpireAfter":   func(g *queue.Group) { g.ExpireAfter = -1 },
		"Resume": func(g *queue.Group) {
			g.Resume = func(context.Context, string, int) (queue.Position, error) { return queue.Position{}, nil }
		},
	} {
		g := fine
		change(&g)
		s.wantFault("bad "+field, a.CreateGroup(ctx, g), field)
	}
	other := fine
	other.Topics = []string{"t", "none"}
	s.wantError("a topic that is not there", a.CreateGroup(ctx, other), queue.ErrNotFound)
	other = fine
	other.StartIfNew = queue.From(queue.PositionAt("t", 7, 0))
	s.wantError("a partition that is not there", a.CreateGroup(ctx, other), queue.ErrNotFound)
	if all, err := a.Groups(ctx); err != nil || len(all) != 0 {
		s.Errorf("groups %+v, %v, after all were refused", all, err)
	}
}
