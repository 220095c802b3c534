package queuetest

import (
	"context"

	"github.com/leatmq/leat/queue"
)

func statsCases() []testCase {
	return []testCase{
		{name: "StatsCountWhatIsThere", run: statsCount},
		{name: "StatsCountLagByRecords", run: statsLag},
		{name: "StatsOfWaitingMessages", run: statsWaiting},
		{name: "StatsAfterARestart", run: statsRestarted, asks: asksRestart},
	}
}

// figures returns those of topic "t" and group "g", and false if the engine counts nothing.
func (s *stage) figures() (t queue.TopicStats, g queue.GroupStats, ok bool) {
	s.Helper()
	if _, ok := s.broker.Engine().(queue.EngineStats); !ok {
		s.Log("not asserted: the engine counts nothing")
		return t, g, false
	}
	all := s.broker.Stats()
	for _, x := range all.Topics {
		if x.Name == "t" {
			t = x
		}
	}
	for _, x := range all.Groups {
		if x.Name == "g" {
			g = x
		}
	}
	return t, g, true
}

func (s *stage) wantTopic(what string, want queue.TopicStats) {
	s.Helper()
	want.Name = "t"
	if got, _, ok := s.figures(); ok && got != want {
		s.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// wantGroup compares all but Idle, which is told if something waits and nothing runs.
func (s *stage) wantGroup(what string, want queue.GroupStats) {
	s.Helper()
	want.Name = "g"
	_, got, ok := s.figures()
	idle := got.Idle
	got.Idle = ""
	if ok && got != want {
		s.Errorf("%s: %+v, want %+v", what, got, want)
	}
	if lag := got.Ready + got.InFlight + got.Waiting; ok && lag == 0 && idle != "" {
		s.Errorf("%s: idle because %q, with nothing to do", what, idle)
	}
}

func statsCount(s *stage) {
	s.topic("t", 2)
	m := queue.Message{Topic: "t", Key: []byte("key"), Value: []byte("value"), Headers: queue.Headers{}.With("a", "bc")}
	s.publish(m, m, m, m)
	s.wantTopic("after publishing", queue.TopicStats{Partitions: 2, Records: 4, Published: 4, PublishedBytes: 4 * 11})
	h := s.hold()
	r := s.consumeHeld(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 2}, h)
	await(s, h.arrived, "a handler") // and no other: the messages have one key, in one partition
	s.quiet()
	if s.someOrder() != queue.Unordered {
		s.wantGroup("with a handler running", queue.GroupStats{Members: 1, Ready: 3, InFlight: 1, Delivered: 1})
		if got := s.broker.Stats().Handlers; got != 1 {
			s.Errorf("%d handlers are said to run, want 1", got)
		}
	}
	h.free()
	s.idle("g")
	s.wantGroup("when all is done", queue.GroupStats{Members: 1, Delivered: 4, Done: 4})
	r.stop()
	s.wantGroup("without members", queue.GroupStats{Delivered: 4, Done: 4})
	if got := s.broker.Stats(); got.Handlers != 0 || got.Panics != 0 || got.Late != 0 {
		s.Errorf("handlers %d, panics %d, late %d, want none", got.Handlers, got.Panics, got.Late)
	}
	s.fill("t", 5, 0)
	s.wantGroup("with a backlog", queue.GroupStats{Ready: 5, Delivered: 4, Done: 4})
	if _, g, ok := s.figures(); ok && g.Idle == "" {
		s.Error("nothing says why a group without members does nothing")
	}
}

// statsLag has the last message of a partition done long before the first.
func statsLag(s *stage) {
	s.topic("t", 1)
	s.fill("t", 30, 0)
	o := s.someOrder()
	if o == queue.ByPartition {
		return // nothing overtakes
	}
	h := s.hold()
	others := make(chan struct{}, 100)
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 2}, func(ctx context.Context, d *queue.Delivery) error {
		if string(d.Value) == "0" {
			return h.handle(ctx, d)
		}
		defer func() { others <- struct{}{} }()
		return nil
	})
	s.Cleanup(h.free)
	for range 29 {
		await(s, others, "the messages behind one that takes long")
	}
	s.idleBut("g", 1)
	s.wantGroup("with the first in work", queue.GroupStats{Members: 1, InFlight: 1, Delivered: 30, Done: 29})
	h.free()
	s.idle("g")
	s.wantGroup("when all is done", queue.GroupStats{Members: 1, Delivered: 30, Done: 30})
}

// idleBut waits until nothing of the group but so many messages is in flight, which WaitIdle cannot.
func (s *stage) idleBut(group string, inFlight int64) {
	ctx := s.within()
	for {
		if _, g, ok := s.figures(); !ok || g.InFlight == inFlight {
			return
		}
		if ctx.Err() != nil {
			s.Fatalf("group %q never has %d in flight: %+v", group, inFlight, s.broker.Stats())
		}
		s.notIdle(group) // some milliseconds, unless it is idle
	}
}

func statsWaiting(s *stage) {
	s.topic("t", 1)
	s.fill("t", 3, 1)
	if s.someOrder() == queue.Unordered {
		return // all three would fail
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, Failure: endless}
	s.consume(g, FailFirst(1, errAgain, finish))
	s.wantBusy("g", "retry") // each of the three waits 100 ms after its failure
	if _, g, ok := s.figures(); ok && g.Ready+g.InFlight+g.Waiting+g.Done != 3 {
		s.Errorf("%+v: of three messages", g)
	}
	s.idle("g")
	s.wantGroup("when all is done", queue.GroupStats{Members: 1, Delivered: 6, Done: 3, Failed: 3})
}

func statsRestarted(s *stage) {
	s.topic("t", 2)
	s.fill("t", 10, 3)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	c.stop()
	s.fill("t", 7, 3)
	s.restart()
	s.wantTopic("after a restart", queue.TopicStats{Partitions: 2, Records: 17})
	s.wantGroup("after a restart", queue.GroupStats{Ready: 7})
	c = s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	s.wantGroup("at the end", queue.GroupStats{Members: 1, Delivered: 7, Done: 7})
	c.stop()
}
