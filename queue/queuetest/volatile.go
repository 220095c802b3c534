package queuetest

import (
	"errors"

	"github.com/leatmq/leat/queue"
)

func volatileCases() []testCase {
	needs := []queue.Feature{queue.CanStoreInMemory}
	return []testCase{
		{name: "TopicsInMemory", run: volatileTopics, needs: needs},
		{name: "BatchesOfMixedDurability", run: volatileBatches, needs: []queue.Feature{queue.CanStoreInMemory, queue.CanBatch}},
		{name: "TopicsInMemoryAfterARestart", run: volatileRestarted, needs: needs, asks: asksRestart},
	}
}

func (s *stage) inMemory(topic string) {
	s.Helper()
	if err := s.broker.EnsureTopic(s.within(), topic, queue.TopicConfig{Durability: queue.Memory, Partitions: 2}); err != nil {
		s.Fatal(err)
	}
}

func volatileTopics(s *stage) {
	s.inMemory("t")
	for _, r := range s.publish(queue.Message{Topic: "t", Key: keyOf(1)}, queue.Message{Topic: "t", Key: keyOf(2)}) {
		if r.Durability != queue.Memory || r.Position.IsZero() {
			s.Errorf("%+v, want a position, and durability Memory", r)
		}
	}
	s.fill("t", 100, 7)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	c.awaitCount(102)
	s.idle("g")
	s.wantFault("another durability", s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Partitions: 2}), "Durability")
	s.inMemory("t")
	c.stop()
}

func volatileBatches(s *stage) {
	s.inMemory("t")
	s.inMemory("t2")
	s.topic("u", 1)
	ctx := s.within()
	for _, ms := range [][]queue.Message{
		{{Topic: "t"}, {Topic: "u"}},
		{{Topic: "u"}, {Topic: "u"}, {Topic: "t"}},
		{{Topic: "t"}, {Topic: "t2"}, {Topic: "u"}},
	} {
		if rs, err := s.broker.PublishBatch(ctx, ms...); !errors.Is(err, queue.ErrMixedDurability) || rs != nil {
			s.Errorf("a batch of %d: %+v, %v, want ErrMixedDurability", len(ms), rs, err)
		}
	}
	if _, err := s.broker.PublishBatch(ctx, queue.Message{Topic: "t"}, queue.Message{Topic: "t2"}); err != nil {
		s.Errorf("a batch all in memory: %v", err)
	}
	for topic, want := range map[string]int{"t": 1, "t2": 1, "u": 0} {
		if got := len(s.delivered(topic)); got != want {
			s.Errorf("topic %q has %d messages, want %d: a batch that is refused leaves nothing", topic, got, want)
		}
	}
}

// volatileRestarted: the topic is there, what was in it is not, and no position is used again.
func volatileRestarted(s *stage) {
	s.inMemory("t")
	s.topic("u", 1)
	s.fill("u", 5, 0)
	before := map[queue.Position]bool{}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t", "u"}})
	for range 20 {
		before[s.publish(queue.Message{Topic: "t"})[0].Position] = true
	}
	c.awaitCount(25)
	s.idle("g")
	c.stop()
	s.restart()
	s.inMemory("t")
	s.wantGroup("after a restart", queue.GroupStats{})
	c = s.collect(queue.Group{Name: "g", Topics: []string{"t", "u"}})
	for i := range 40 {
		r := s.publish(queue.Message{Topic: "t"})[0]
		if before[r.Position] {
			s.Fatalf("message %d has position %s, which another had before the restart", i, r.Position)
		}
	}
	c.awaitCount(40)
	s.idle("g")
	if got := len(c.got()); got != 40 {
		s.Errorf("%d messages after the restart, want the 40 that were published since", got)
	}
	s.wantMissed("g", 0)
	c.stop()
}
