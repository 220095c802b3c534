package queuetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/leatmq/leat/queue"
)

func orderCases() []testCase {
	key, partition, share := []queue.Feature{queue.CanOrderByKey}, []queue.Feature{queue.CanOrderByPartition}, []queue.Feature{queue.CanShare}
	return []testCase{
		{name: "ByKeyHoldsItsOrder", needs: key, run: func(s *stage) { holdsOrder(s, queue.ByKey) }},
		{name: "ByPartitionHoldsItsOrder", needs: partition, run: func(s *stage) { holdsOrder(s, queue.ByPartition) }},
		{name: "UnorderedGivesEachOnce", needs: share, run: func(s *stage) { holdsOrder(s, queue.Unordered) }},
		{name: "ByKeyRunsKeysInParallel", needs: key, run: func(s *stage) {
			var none queue.Message // without a key: it waits for nothing
			inParallel(s, queue.ByKey, queue.Message{Key: []byte("a")}, queue.Message{Key: []byte("b")}, queue.Message{Key: []byte{}}, none, none)
		}},
		{name: "ByPartitionRunsPartitionsInParallel", needs: partition, run: func(s *stage) {
			first, second, third := queue.PinTo(0), queue.PinTo(1), queue.PinTo(2)
			inParallel(s, queue.ByPartition, queue.Message{Partition: first}, queue.Message{Partition: second}, queue.Message{Partition: third})
		}},
		{name: "UnorderedRunsAllInParallel", needs: share, run: func(s *stage) {
			inParallel(s, queue.Unordered, queue.Message{Key: []byte("a")}, queue.Message{Key: []byte("a")}, queue.Message{Key: []byte("a")})
		}},
	}
}

// holdsOrder has many workers on few keys, and handlers that fail now and then.
func holdsOrder(s *stage, o queue.Order) {
	const before, during, keys = 200, 200, 12
	s.topic("t", 3)
	s.fill("t", before, keys)
	chance, d := s.dice(), s.detect(o)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 16}
	s.consume(g, d.watch(func(_ context.Context, x *queue.Delivery) error {
		if x.Attempt == 1 && chance.n(40) == 0 {
			return errAgain
		}
		return nil
	}))
	for i := range during {
		m := queue.Message{Topic: "t", Value: fmt.Append(nil, before+i), Key: keyOf(i % keys)}
		if i%10 == 0 {
			m.Key = nil
		}
		s.publish(m)
	}
	s.idle("g")
	if got := d.doneCount(); got != before+during {
		s.Errorf("%d messages are done, want %d", got, before+during)
	}
}

// inParallel wants all of ms in handlers at the same time.
func inParallel(s *stage, o queue.Order, ms ...queue.Message) {
	s.topic("t", 3)
	for i := range ms {
		ms[i].Topic = "t"
		if _, pinned := ms[i].Partition.N(); !pinned {
			ms[i].Partition = queue.PinTo(1)
		}
	}
	s.publish(ms...)
	arrived, open := make(chan struct{}, len(ms)), make(chan struct{})
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: len(ms)}
	s.consume(g, s.detect(o).watch(func(context.Context, *queue.Delivery) error {
		arrived <- struct{}{}
		<-open
		return nil
	}))
	s.Cleanup(sync.OnceFunc(func() { close(open) }))
	for i := range ms {
		await(s, arrived, fmt.Sprintf("handler %d of %d that run at the same time", i+1, len(ms)))
	}
}
