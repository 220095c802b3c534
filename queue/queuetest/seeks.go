package queuetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func seekCases() []testCase {
	seek := []queue.Feature{queue.CanSeek}
	with := func(fs ...queue.Feature) []queue.Feature { return append(fs, seek...) }
	return []testCase{
		{name: "SeekWithoutMembers", run: seeks, asks: asksGroups, needs: seek},
		{name: "SeekSinceATime", run: seekSince, asks: asksGroups, needs: with(queue.CanRead)},
		{name: "SeekFencesWhatIsInFlight", run: seekFences, asks: asksGroups, needs: with(queue.CanLease)},
		{name: "SeekUnderLoadByKey", run: func(s *stage) { seekLoad(s, queue.ByKey) }, asks: asksGroups, needs: with(queue.CanOrderByKey)},
		{name: "SeekUnderLoadByPartition", run: func(s *stage) { seekLoad(s, queue.ByPartition) }, asks: asksGroups, needs: with(queue.CanOrderByPartition)},
		{name: "SeekUnderLoadUnordered", run: func(s *stage) { seekLoad(s, queue.Unordered) }, asks: asksGroups, needs: with(queue.CanShare)},
		{name: "SeekWhileOutputsCommit", run: seekCommits, asks: asksGroups, needs: with(queue.CanCommit, queue.CanRead)},
		{name: "SeekIsDurable", run: seekRestarted, asks: asksGroups | asksRestart, needs: seek},
		{name: "SeekFaultsAreRefused", run: seekFaults, asks: asksGroups, needs: seek},
	}
}

func (s *stage) seek(group string, to queue.Start) {
	s.Helper()
	if err := s.broker.Admin().Seek(s.within(), group, to); err != nil {
		s.Fatal(err)
	}
}

// seeks moves a group that has members only between its moves.
func seeks(s *stage) {
	s.topic("t", 2)
	var at [2][]queue.Position
	for i := range 20 {
		r := s.publish(queue.Message{Topic: "t", Value: fmt.Append(nil, i), Partition: queue.PinTo(i % 2)})[0]
		at[i%2] = append(at[i%2], r.Position)
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	s.create(g)
	wants := func(what string, to queue.Start, n int) {
		s.Helper()
		s.seek("g", to)
		if info := s.groupInfo("g"); info.Ready != int64(n) {
			s.Errorf("%s: %+v, want %d ready", what, info, n)
		}
		c := s.collect(g)
		c.awaitCount(n)
		s.idle("g")
		c.stop()
		got := c.got()
		if len(got) != n {
			s.Errorf("%s: %d messages, want %d", what, len(got), n)
		}
		for _, d := range got {
			if d.Attempt != 1 {
				s.Errorf("%s: %s comes at attempt %d", what, d.Position, d.Attempt)
			}
		}
	}
	wants("Latest of a group that has done nothing", queue.Latest(), 0)
	wants("Earliest", queue.Earliest(), 20)
	wants("Earliest again", queue.Earliest(), 20)
	wants("From a position of one partition", queue.From(at[0][4]), 6)
	wants("After a position of one partition", queue.After(at[1][4]), 5)
	wants("From both partitions", queue.From(at[0][9], at[1][0]), 11)
	wants("Latest", queue.Latest(), 0)
	s.seek("g", queue.Earliest())
	wants("From one partition, with all of the other before it", queue.From(at[0][9]), 11)
}

func seekSince(s *stage) {
	s.topic("t", 2)
	times := []func() int{}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	s.create(g)
	for range 3 {
		since := s.later()
		times = append(times, func() int {
			s.seek("g", queue.Since(since))
			want := 0
			for _, r := range s.records("t") {
				if !r.Appended.Before(since) {
					want++
				}
			}
			return want
		})
	}
	for _, seek := range times {
		want := seek()
		c := s.collect(g)
		c.awaitCount(want)
		s.idle("g")
		c.stop()
		if got := len(c.got()); got != want {
			s.Errorf("%d messages, want %d", got, want)
		}
	}
}

// seekFences has messages in flight, done and waiting when the group is moved to its beginning.
func seekFences(s *stage) {
	s.topic("t", 2)
	s.spreadOut(10, 2, 5)
	b := s.borrow(queue.Group{Concurrency: 2, Lease: time.Hour}) // the loop has none in hand beside the two that are held
	s.ack(b.next())
	held := []*queue.Lease{b.next(), b.next()}
	s.seek("g", queue.Earliest())
	for _, l := range held {
		s.over(l) // its context has ended, too
	}
	seen := map[queue.Position]int{}
	for range 10 {
		l := b.next()
		seen[l.Position]++
		if l.Attempt != 1 {
			s.Errorf("%s comes at attempt %d", l.Position, l.Attempt)
		}
		s.ack(l)
	}
	s.idle("g")
	if len(seen) != 10 {
		s.Errorf("%d of 10 messages came after the move: %v", len(seen), seen)
	}
	if _, failed := s.log.told(); len(failed) > 0 {
		s.Errorf("told of failures: %v", failed)
	}
	s.fill("t", 4, 2)
	last := b.next()
	s.seek("g", queue.Latest())
	s.idle("g") // what is in flight is not the group's any more
	s.wantError("Ack of what was left behind", last.Ack(s.within()), queue.ErrLeaseLost)
	s.idle("g")
}

// seekLoad moves the group again and again while messages flow and members come and go. From the last move on everything comes, in order.
func seekLoad(s *stage, o queue.Order) {
	const partitions, keys = 3, 7
	s.topic("t", partitions)
	chance := s.dice()
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 3}
	var mu sync.Mutex
	var d *detector // since the last move
	early := sync.WaitGroup{}
	handle := func(ctx context.Context, x *queue.Delivery) error {
		mu.Lock()
		now := d
		mu.Unlock()
		early.Add(1)
		defer early.Done()
		return now.watch(func(context.Context, *queue.Delivery) error {
			s.dawdle(chance)
			if x.Attempt == 1 && chance.n(50) == 0 {
				return errAgain
			}
			return nil
		})(ctx, x)
	}
	silent := func() *detector { // handlers that were fenced run beside those that came later
		x := s.detect(o)
		x.error = func(string, ...any) {}
		return x
	}
	d = silent()
	members := []*running{s.consume(g, handle)}
	s.fill("t", 30, keys)
	s.idle("g")
	total := 30
	for range s.sized(15, 60, 300) {
		s.fill("t", 20, keys)
		total += 20
		switch chance.n(4) {
		case 0:
			members = append(members, s.consume(g, handle))
		case 1:
			if len(members) > 1 {
				members[0].stop()
				members = members[1:]
			}
		}
		s.seek("g", []queue.Start{queue.Earliest(), queue.Latest(), queue.Earliest()}[chance.n(3)])
	}
	// From here on the detector sees everything, so no handler of before may run.
	s.pause("g")
	s.idleBut("g", 0)
	early.Wait()
	mu.Lock()
	d = s.detect(o)
	mu.Unlock()
	s.seek("g", queue.Earliest())
	s.unpause("g")
	s.idle("g")
	if got := d.doneCount(); got != total {
		s.Errorf("%d messages are done since the last move, want all %d", got, total)
	}
	for _, m := range members {
		m.stop()
	}
}

// seekCommits moves a group whose handlers hand on: a message that is done has one output each time, and one whose outcome came too late has none.
func seekCommits(s *stage) {
	s.topic("t", 3)
	s.topic("out", 2)
	chance := s.dice()
	var members []*running
	for range 2 {
		members = append(members, s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error {
			s.dawdle(chance)
			return handOn(d)
		}))
	}
	s.fill("t", 50, 7)
	s.idle("g")
	for range s.sized(15, 60, 300) {
		s.fill("t", 10, 7)
		s.seek("g", []queue.Start{queue.Earliest(), queue.Latest()}[chance.n(2)])
		s.dawdle(chance)
	}
	s.seek("g", queue.Earliest())
	s.idle("g")
	for _, r := range members {
		r.stop()
	}
	_, g, ok := s.figures()
	if got := int64(len(s.records("out"))); ok && got != g.Done {
		s.Errorf("%d outputs of %d messages that were done", got, g.Done)
	}
}

func seekRestarted(s *stage) {
	s.topic("t", 2)
	s.fill("t", 20, 3)
	g := queue.Group{Name: "g", Topics: []string{"t"}}
	c := s.collect(g)
	s.idle("g")
	s.seek("g", queue.Latest())
	c.stop()
	for _, to := range []queue.Start{queue.Earliest(), queue.Latest()} {
		s.fill("t", 5, 2)
		s.seek("g", to)
		want := s.groupInfo("g").Ready
		s.restart()
		if info := s.groupInfo("g"); info.Ready != want {
			s.Errorf("%d are ready after a restart, and were %d", info.Ready, want)
		}
		c := s.collect(g)
		c.awaitCount(int(want))
		s.idle("g")
		c.stop()
		if got := len(c.got()); got != int(want) {
			s.Errorf("%d messages after a restart, want %d", got, want)
		}
	}
}

func seekFaults(s *stage) {
	s.topic("t", 2)
	s.topic("u", 1)
	at := s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(0)})[0].Position
	other := s.publish(queue.Message{Topic: "u"})[0].Position
	s.wantError("a group that is not there", s.broker.Admin().Seek(s.within(), "g", queue.Earliest()), queue.ErrNotFound)
	s.create(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()})
	offset, _ := at.Offset()
	for what, p := range map[string]queue.Position{
		"another incarnation":      queue.NewPosition("t", 0, at.Incarnation()+1, offset),
		"an unknown partition":     queue.PositionAt("t", 2, 0),
		"an unknown topic":         queue.PositionAt("none", 0, 0),
		"a topic that is not read": other,
		"a place beyond the end":   queue.PositionAt("t", 0, offset+1000),
	} {
		s.wantError("a position of "+what, s.broker.Admin().Seek(s.within(), "g", queue.From(p)), queue.ErrNotFound)
	}
	s.wantFault("two positions of a partition", s.broker.Admin().Seek(s.within(), "g", queue.From(at, at)), "to")
	s.wantFault("no position", s.broker.Admin().Seek(s.within(), "g", queue.From(queue.Position{})), "to")
	if info := s.groupInfo("g"); info.Ready != 1 || !slices.Equal(info.Topics, []string{"t"}) {
		s.Errorf("moved, though all was refused: %+v", info)
	}
	if !s.can(queue.CanResume) {
		return
	}
	resumed := make(chan struct{}, 2)
	s.consume(queue.Group{Name: "r", Topics: []string{"t"}, Order: queue.ByPartition,
		Resume: func(context.Context, string, int) (queue.Position, error) {
			resumed <- struct{}{}
			return queue.Position{}, nil
		}}, finish)
	await(s, resumed, "a member that resumes")
	s.wantFault("members that resume", s.broker.Admin().Seek(s.within(), "r", queue.Earliest()), "Resume")
}
