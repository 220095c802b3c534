package queuetest

import (
	"github.com/leatmq/leat/queue"
)

func deleteCases() []testCase {
	return []testCase{
		{name: "DeletedTopicIsNotFound", run: deletedTopic, asks: asksTopics},
		{name: "DeletedGroupIsNotFound", run: deletedGroup, asks: asksGroups},
		{name: "DeletedTopicAfterARestart", run: deletedRestarted, asks: asksTopics | asksRestart},
	}
}

func (s *stage) deleteTopic(name string) {
	s.Helper()
	if err := s.broker.Admin().DeleteTopic(s.within(), name); err != nil {
		s.Fatal(err)
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
	s.deleteTopic("t")
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
	s.deleteTopic("t")
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

// deletedGroup: its members end, and one of the same name begins where it says.
func deletedGroup(s *stage) {
	s.topic("t", 2)
	s.fill("t", 20, 3)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	r := s.consume(g, finish)
	other := s.consume(queue.Group{Name: "other", Topics: []string{"t"}, Order: s.someOrder()}, finish)
	s.idle("g", "other")
	a := s.broker.Admin()
	if err := a.DeleteGroup(s.within(), "g"); err != nil {
		s.Fatal(err)
	}
	s.wantError("Consume", r.result(), queue.ErrNotFound)
	s.wantError("DeleteGroup again", a.DeleteGroup(s.within(), "g"), queue.ErrNotFound)
	_, err := a.Group(s.within(), "g")
	s.wantError("Group", err, queue.ErrNotFound)
	s.fill("t", 10, 3)
	s.idle("other")
	c := s.collect(g)
	s.idle("g")
	if got := len(c.got()); got != 30 {
		s.Errorf("the group made anew got %d messages, want all 30", got)
	}
	other.stop()
}
