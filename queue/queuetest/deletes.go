package queuetest

import (
	"github.com/leatmq/leat/queue"
)

func deleteCases() []testCase {
	return []testCase{
		{name: "DeletedTopicIsNotFound", run: deletedTopic, asks: asksDelete},
		{name: "DeletedTopicAfterARestart", run: deletedRestarted, asks: asksDelete | asksRestart},
	}
}

// deletedTopic: whoever uses the topic gets ErrNotFound, others do not notice.
func deletedTopic(s *stage) {
	s.topic("t", 2)
	s.topic("u", 2)
	s.fill("t", 20, 3)
	reads := s.consume(queue.Group{Name: "reads", Topics: []string{"t"}, Order: s.someOrder()}, finish)
	both := s.consume(queue.Group{Name: "both", Topics: []string{"t", "u"}, Order: s.someOrder()}, finish)
	other := s.collect(queue.Group{Name: "other", Topics: []string{"u"}})
	s.idle("reads", "both", "other")
	old := s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(0)})[0].Position
	s.harness.Delete(s, s.broker, "t")
	s.wantError("Consume of the topic", reads.result(), queue.ErrNotFound)
	s.wantError("Consume of the topic and another", both.result(), queue.ErrNotFound)
	_, err := s.broker.Publish(s.within(), queue.Message{Topic: "t"})
	s.wantError("Publish", err, queue.ErrNotFound)
	for _, topic := range s.broker.Stats().Topics {
		if topic.Name == "t" {
			s.Errorf("it is still counted: %+v", topic)
		}
	}
	s.fill("u", 10, 3)
	other.awaitCount(10)
	other.stop()

	s.topic("t", 1) // another of the same name
	r := s.publish(queue.Message{Topic: "t", Value: []byte("new")})[0]
	if r.Position == old {
		s.Errorf("position %s was another message's", old)
	}
	if got := values(s.delivered("t")); len(got) != 1 || got[0] != "new" {
		s.Errorf("the topic made anew holds %q", got)
	}
	c := s.collect(queue.Group{Name: "reads", Topics: []string{"t"}})
	c.awaitCount(1)
	c.stop()
	g := queue.Group{Name: "late", Topics: []string{"t"}, Order: s.someOrder(), StartIfNew: queue.From(old)}
	s.wantError("a position of the deleted topic", s.consume(g, finish).result(), queue.ErrNotFound)
}

func deletedRestarted(s *stage) {
	s.topic("t", 2)
	s.topic("u", 1)
	s.fill("t", 100, 3)
	s.fill("u", 10, 3)
	s.harness.Delete(s, s.broker, "t")
	s.restart()
	_, err := s.broker.Publish(s.within(), queue.Message{Topic: "t"})
	s.wantError("Publish", err, queue.ErrNotFound)
	if got := len(s.delivered("u")); got != 10 {
		s.Errorf("the other topic has %d messages, want 10", got)
	}
	s.topic("t", 3)
	s.fill("t", 7, 3)
	if got := len(s.delivered("t")); got != 7 {
		s.Errorf("the topic made anew has %d messages, want 7", got)
	}
}
