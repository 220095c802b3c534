package queuetest

import (
	"slices"
	"strconv"
	"time"

	"github.com/leatmq/leat/queue"
)

func startCases() []testCase {
	return []testCase{
		{name: "StartEarliestAndLatest", run: startEnds},
		{name: "StartSinceATime", run: startSince, needs: []queue.Feature{queue.CanRead}},
		{name: "StartFromAndAfterPositions", run: startPositions},
		{name: "StartAtAPositionThatIsNotThere", run: startNowhere},
		{name: "StartIsForNewGroups", run: startOnce},
	}
}

// began starts a group at start, publishes n more messages to "t", and returns how many came in all.
func (s *stage) began(start queue.Start, n int) int {
	s.Helper()
	c := s.collect(queue.Group{Topics: []string{"t"}, StartIfNew: start})
	s.idle(c.group.Name)
	s.fill("t", n, 3)
	s.idle(c.group.Name)
	c.stop()
	return len(c.got())
}

func startEnds(s *stage) {
	s.topic("t", 3)
	s.fill("t", 30, 5)
	if got := s.began(queue.Earliest(), 10); got != 40 {
		s.Errorf("Earliest: %d messages, want 40", got)
	}
	if got := s.began(queue.Latest(), 10); got != 10 {
		s.Errorf("Latest: %d messages, want the 10 that came later", got)
	}
	if got := s.began(queue.Start{}, 0); got != 50 {
		s.Errorf("zero: %d messages, want all 50", got)
	}
}

// later publishes messages until one was stored at a later time than all before, and returns that.
func (s *stage) later() time.Time {
	var before time.Time
	for {
		s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(0)}, queue.Message{Topic: "t", Partition: queue.PinTo(1)})
		rs := s.records("t")
		at := slices.MaxFunc(rs, func(a, b *queue.Record) int { return a.Appended.Compare(b.Appended) }).Appended
		if !before.IsZero() && at.After(before) {
			return at
		}
		before = at
		if s.harness.Bubble {
			time.Sleep(time.Second)
		}
	}
}

func startSince(s *stage) {
	s.topic("t", 2)
	var times []time.Time
	for range 3 {
		times = append(times, s.later())
	}
	for _, t := range append(times, time.Time{}, time.Unix(0, 0), times[2].Add(1000*time.Hour)) {
		want := 0
		for _, r := range s.records("t") {
			if !r.Appended.Before(t) {
				want++
			}
		}
		if got := s.began(queue.Since(t), 0); got != want {
			s.Errorf("a group since %v got %d messages, want %d", t, got, want)
		}
		got := 0
		for _, err := range s.broker.Read(s.within(), queue.Range{Topic: "t", From: queue.Since(t)}) {
			if err != nil {
				s.Fatal(err)
			}
			got++
		}
		if got != want {
			s.Errorf("Read since %v has %d messages, want %d", t, got, want)
		}
	}
}

func startPositions(s *stage) {
	s.topic("t", 2)
	var at [2][]queue.Position
	for i := range 20 {
		r := s.publish(queue.Message{Topic: "t", Value: []byte(strconv.Itoa(i)), Partition: queue.PinTo(i % 2)})[0]
		at[i%2] = append(at[i%2], r.Position)
	}
	if got := s.began(queue.From(at[0][4]), 0); got != 6+10 {
		s.Errorf("From the fifth of ten: %d messages, want 6, and 10 of the partition that is not named", got)
	}
	if got := s.began(queue.After(at[0][4], at[1][9]), 0); got != 5+0 {
		s.Errorf("After the fifth and after the last of ten: %d messages, want 5", got)
	}
	offset, _ := at[1][7].Offset()
	if got := s.began(queue.From(queue.PositionAt("t", 1, offset)), 0); got != 3+10 {
		s.Errorf("From a position made by hand: %d messages, want 13", got)
	}
}

func startNowhere(s *stage) {
	s.topic("t", 2)
	p := s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(0)})[0].Position
	offset, _ := p.Offset()
	for name, at := range map[string]queue.Position{
		"another incarnation": queue.NewPosition("t", 0, p.Incarnation()+1, offset),
		"unknown partition":   queue.PositionAt("t", 2, 0),
		"beyond the end":      queue.PositionAt("t", 0, offset+1000),
	} {
		g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), StartIfNew: queue.From(at)}
		r := s.consume(g, finish)
		s.wantError("a group from "+name, r.result(), queue.ErrNotFound)
		if s.can(queue.CanRead) {
			var err error
			for _, err = range s.broker.Read(s.within(), queue.Range{Topic: "t", From: queue.From(at)}) {
			}
			s.wantError("Read from "+name, err, queue.ErrNotFound)
		}
	}
}

func startOnce(s *stage) {
	s.topic("t", 2)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	c.stop()
	s.fill("t", 20, 3)
	c = s.collect(queue.Group{Name: "g", Topics: []string{"t"}, StartIfNew: queue.Latest()})
	s.idle("g")
	if got := len(c.got()); got != 20 {
		s.Errorf("%d messages of the 20 that came while a group that exists had no members", got)
	}
}
