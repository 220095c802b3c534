package queuetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/leatmq/leat/queue"
)

func rebalanceCases() []testCase {
	return []testCase{
		{name: "MembersComeAndGoByKey", run: func(s *stage) { comeAndGo(s, queue.ByKey) }, needs: []queue.Feature{queue.CanOrderByKey}},
		{name: "MembersComeAndGoByPartition", run: func(s *stage) { comeAndGo(s, queue.ByPartition) }, needs: []queue.Feature{queue.CanOrderByPartition}},
		{name: "MembersComeAndGoUnordered", run: func(s *stage) { comeAndGo(s, queue.Unordered) }, needs: []queue.Feature{queue.CanShare}},
		{name: "PartitionMovesWhenItsMessageIsSettled", run: moveWaits, needs: []queue.Feature{queue.CanOrderByPartition}},
	}
}

// comeAndGo has members join and leave while messages flow. Nothing is lost, nothing repeated, and no order broken.
func comeAndGo(s *stage, o queue.Order) {
	const keys, changes = 20, 12
	each := s.sized(60, 200, 1000)
	s.topic("t", 5)
	d, chance := s.detect(o), s.dice()
	handler := d.watch(func(_ context.Context, x *queue.Delivery) error {
		s.dawdle(chance)
		if x.Attempt == 1 && chance.n(100) == 0 {
			return errAgain
		}
		return nil
	})
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 3}
	members := []*running{s.consume(g, handler)}
	var producer sync.WaitGroup
	for range changes {
		producer.Go(func() {
			ms := make([]queue.Message, each)
			for i := range ms {
				ms[i] = queue.Message{Topic: "t", Key: keyOf(chance.n(keys)), Value: fmt.Append(nil, i)}
			}
			s.trickle(ms)
		})
		if n := chance.n(len(members) + 1); n < len(members) && len(members) > 1 {
			members[n].stop()
			members = append(members[:n], members[n+1:]...)
		} else {
			members = append(members, s.consume(g, handler))
		}
		producer.Wait()
	}
	s.idle("g")
	for _, m := range members {
		m.stop()
	}
	if got := d.doneCount(); got != changes*each {
		s.Errorf("%d messages are done, want %d", got, changes*each)
	}
	if o != queue.Unordered {
		s.wantMoves("g", 5)
	}
}

// trickle stores ms in pieces. It may be called in any goroutine.
func (s *stage) trickle(ms []queue.Message) {
	for len(ms) > 0 {
		n := min(10, len(ms))
		if !s.can(queue.CanBatch) {
			n = 1
		}
		if _, err := s.broker.PublishBatch(s.Context(), ms[:n]...); err != nil {
			s.Error(err)
			return
		}
		ms = ms[n:]
	}
}

// moveWaits wants a partition to stay with its member while a message of it is in work, and the next message to go to whoever gets the
// partition then.
func moveWaits(s *stage) {
	s.topic("t", 2)
	s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(0)}, queue.Message{Topic: "t", Partition: queue.PinTo(1)})
	s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(0)}, queue.Message{Topic: "t", Partition: queue.PinTo(1)})
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByPartition, Concurrency: 2}
	d := s.detect(queue.ByPartition)
	arrived, open := make(chan struct{}, 4), make(chan struct{})
	s.consume(g, d.watch(func(context.Context, *queue.Delivery) error {
		arrived <- struct{}{}
		<-open
		return nil
	}))
	free := sync.OnceFunc(func() { close(open) })
	s.Cleanup(free)
	await(s, arrived, "the first message of a partition")
	await(s, arrived, "the first message of the other partition")
	other := make(chan struct{}, 4)
	s.consume(g, d.watch(func(context.Context, *queue.Delivery) error {
		other <- struct{}{}
		return nil
	}))
	s.wantBusy("g", "g") // meanwhile the newcomer joins
	moves, _ := s.log.told()
	for _, m := range moves {
		if !m.gained {
			s.Errorf("%s/%d was taken from its member while its message was in work", m.Topic, m.Partition)
		}
	}
	if len(other) > 0 {
		s.Error("a partition went to another member while its message was in work")
	}
	free()
	await(s, other, "the newcomer's share")
	s.idle("g")
}
