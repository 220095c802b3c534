package queuetest

import (
	"fmt"
	"sync"

	"github.com/leatmq/leat/queue"
)

func batchCases() []testCase {
	needs := []queue.Feature{queue.CanBatch}
	return []testCase{
		{name: "PublishBatchOverTopicsAndPartitions", run: batchOverTopics, needs: needs},
		{name: "PublishBatchAllOrNone", run: batchAllOrNone, needs: needs},
		{name: "PublishBatchesAtOnceKeepTheirOrder", run: batchesAtOnce, needs: needs},
		{name: "PublishBatchOfNothing", run: emptyBatch},
	}
}

func batchOverTopics(s *stage) {
	s.topic("a", 3)
	s.topic("b", 1)
	var ms []queue.Message
	for i := range 60 {
		ms = append(ms, queue.Message{Topic: []string{"a", "b"}[i%2], Value: fmt.Append(nil, i), Partition: queue.PinTo(i % 2 * 0)})
		if i%2 == 0 {
			ms[i].Partition = queue.PinTo(i / 2 % 3)
		}
	}
	rs, err := s.broker.PublishBatch(s.within(), ms...)
	if err != nil || len(rs) != len(ms) {
		s.Fatalf("%d receipts, %v", len(rs), err)
	}
	stored := map[queue.Position]string{}
	for _, topic := range []string{"a", "b"} {
		for _, d := range s.delivered(topic) {
			stored[d.Position] = string(d.Value)
		}
	}
	last := map[string]queue.Position{}
	for i, r := range rs {
		if want := fmt.Sprint(i); stored[r.Position] != want {
			s.Errorf("receipt %d names %s, which holds %q", i, r.Position, stored[r.Position])
		}
		lane := fmt.Sprint(r.Position.Topic(), r.Position.Partition())
		if n, _ := ms[i].Partition.N(); r.Position.Topic() != ms[i].Topic || r.Position.Partition() != n || last[lane].Covers(r.Position) {
			s.Errorf("message %d for %s/%d is at %s, after %s", i, ms[i].Topic, n, r.Position, last[lane])
		}
		last[lane] = r.Position
	}
	if len(stored) != len(ms) {
		s.Errorf("%d messages are stored, want %d", len(stored), len(ms))
	}
}

func batchAllOrNone(s *stage) {
	s.topic("a", 2)
	s.topic("b", 1)
	good := func(n int) []queue.Message {
		var ms []queue.Message
		for i := range n {
			ms = append(ms, queue.Message{Topic: []string{"a", "b"}[i%2]})
		}
		return ms
	}
	for name, bad := range map[string]queue.Message{
		"unknown topic":     {Topic: "c"},
		"unknown partition": {Topic: "a", Partition: queue.PinTo(2)},
		"too large":         {Topic: "b", Value: make([]byte, 2<<20)},
		"bad header":        {Topic: "b", Headers: queue.Headers{}.With("", "")},
	} {
		for at := range 3 {
			ms := good(3)
			ms[at] = bad
			if rs, err := s.broker.PublishBatch(s.within(), ms...); err == nil || rs != nil {
				s.Errorf("%s as message %d: %v, %v", name, at, rs, err)
			}
		}
	}
	for _, topic := range []string{"a", "b"} {
		if got := len(s.delivered(topic)); got != 0 {
			s.Errorf("%d messages of refused batches are in %q", got, topic)
		}
	}
}

func batchesAtOnce(s *stage) {
	const goroutines, batches, size = 6, 15, 10
	s.topic("t", 2)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range batches {
				ms := make([]queue.Message, size)
				for j := range ms {
					ms[j] = queue.Message{Topic: "t", Value: fmt.Appendf(nil, "%d %d", g, i*size+j), Partition: queue.PinTo(j % 2)}
				}
				if _, err := s.broker.PublishBatch(s.Context(), ms...); err != nil {
					s.Error(err)
				}
			}
		})
	}
	all.Wait()
	last := map[string]int{}
	ds := s.delivered("t")
	for _, d := range ds {
		var g, n int
		if _, err := fmt.Sscan(string(d.Value), &g, &n); err != nil {
			s.Fatal(err)
		}
		from := fmt.Sprint(g, d.Position.Partition())
		if before, ok := last[from]; ok && n <= before {
			s.Errorf("goroutine %d: message %d comes after %d in partition %d", g, n, before, d.Position.Partition())
		}
		last[from] = n
	}
	if len(ds) != goroutines*batches*size {
		s.Errorf("%d messages, want %d", len(ds), goroutines*batches*size)
	}
}

func emptyBatch(s *stage) {
	if rs, err := s.broker.PublishBatch(s.within()); rs != nil || err != nil {
		s.Errorf("%v, %v; want nothing and no error", rs, err)
	}
}
