package queuetest

import (
	"github.com/leatmq/leat/queue"
)

func purgeCases() []testCase {
	return []testCase{
		{name: "PurgeRemovesWhatIsThere", run: purges, asks: asksTopics},
		{name: "PurgedMessagesAreMissed", run: purgeMissed, asks: asksTopics},
		{name: "PurgeAfterARestart", run: purgeRestarted, asks: asksTopics | asksRestart},
	}
}

func (s *stage) purge(topic string, want int64) {
	s.Helper()
	got, err := s.broker.Admin().Purge(s.within(), topic)
	if err != nil || got != want {
		s.Errorf("Purge: %d, %v, want %d", got, err, want)
	}
}

func purges(s *stage) {
	s.topic("t", 3)
	s.topic("u", 1)
	s.fill("t", 100, 7)
	s.fill("u", 10, 0)
	s.purge("t", 100)
	s.purge("t", 0)
	if got := len(s.delivered("t")); got != 0 {
		s.Errorf("%d messages came out of a topic that was purged", got)
	}
	if got := len(s.delivered("u")); got != 10 {
		s.Errorf("the other topic has %d messages, want 10", got)
	}
	s.fill("t", 5, 2)
	if got := len(s.delivered("t")); got != 5 {
		s.Errorf("%d messages, want the 5 that came later", got)
	}
	s.purge("t", 5)
	_, err := s.broker.Admin().Purge(s.within(), "none")
	s.wantError("Purge of a topic that is not there", err, queue.ErrNotFound)
}

// purgeMissed has a group with some of its messages done and one in work.
func purgeMissed(s *stage) {
	s.topic("t", 1)
	s.fill("t", 10, 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1}
	c := s.collect(g)
	s.idle("g")
	c.stop()
	s.fill("t", 20, 1)
	s.purge("t", 30)
	s.wantGroup("with its backlog purged", queue.GroupStats{Delivered: 10, Done: 10})
	s.idle("g")
	s.fill("t", 3, 1)
	c = s.collect(g)
	c.awaitCount(3)
	s.idle("g")
	s.wantMissed("g", 20)
	s.wantGroup("at the end", queue.GroupStats{Members: 1, Delivered: 13, Done: 13, Missed: 20})
}

func purgeRestarted(s *stage) {
	s.topic("t", 2)
	s.fill("t", 50, 3)
	s.purge("t", 50)
	s.fill("t", 7, 3)
	s.restart()
	if got := len(s.delivered("t")); got != 7 {
		s.Errorf("%d messages after a restart, want the 7 that were stored after the purge", got)
	}
}
