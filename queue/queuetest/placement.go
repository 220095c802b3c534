package queuetest

import (
	"fmt"

	"github.com/leatmq/leat/queue"
)

func placementCases() []testCase {
	return []testCase{
		{name: "KeysArePlacedAsByKafka", run: keyPlacement},
		{name: "KeylessMessagesSpread", run: keylessSpread},
		{name: "PinnedMessages", run: pinned},
	}
}

// keyPlacement has the hashes that Kafka's own tests have.
func keyPlacement(s *stage) {
	hashes := map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	}
	for _, partitions := range []int{1, 2, 7, 100} {
		topic := fmt.Sprintf("t-%d", partitions)
		s.topic(topic, partitions)
		for key, hash := range hashes {
			want := int(hash&0x7fffffff) % partitions
			for range 2 {
				r := s.publish(queue.Message{Topic: topic, Key: []byte(key)})[0]
				if got := r.Position.Partition(); got != want {
					s.Errorf("key %q of %d partitions is in %d, want %d", key, partitions, got, want)
				}
			}
		}
	}
}

func keylessSpread(s *stage) {
	const partitions, messages, size = 4, 2000, 1000
	s.topic("t", partitions)
	var counts [partitions]int
	turns, last := 0, -1
	for range messages / 50 {
		ms := make([]queue.Message, 50)
		for i := range ms {
			ms[i] = queue.Message{Topic: "t", Value: make([]byte, size)}
		}
		rs, err := s.broker.PublishBatch(s.within(), ms...)
		if err != nil && !s.can(queue.CanBatch) {
			rs, err = s.publish(ms...), nil
		}
		if err != nil {
			s.Fatal(err)
		}
		for _, r := range rs {
			n := r.Position.Partition()
			counts[n]++
			if n != last {
				turns++
			}
			last = n
		}
	}
	for n, got := range counts {
		if got < messages/partitions/2 || got > messages/partitions*2 {
			s.Errorf("partition %d has %d of %d messages, want about a quarter", n, got, messages)
		}
	}
	if turns > messages/5 {
		s.Errorf("%d messages in %d turns; those that are published together lie together", messages, turns)
	}
}

func pinned(s *stage) {
	s.topic("t", 3)
	for n := range 3 {
		for _, key := range [][]byte{nil, []byte("foobar")} {
			r := s.publish(queue.Message{Topic: "t", Key: key, Partition: queue.PinTo(n)})[0]
			if got := r.Position.Partition(); got != n {
				s.Errorf("a message with key %q for partition %d is in %d", key, n, got)
			}
		}
	}
	_, err := s.broker.Publish(s.within(), queue.Message{Topic: "t", Partition: queue.PinTo(3)})
	s.wantError("partition 3 of 3", err, queue.ErrNotFound)
	_, err = s.broker.Publish(s.within(), queue.Message{Topic: "t", Partition: queue.PinTo(-1)})
	s.wantFault("partition -1", err, "Partition")
	if got := len(s.delivered("t")); got != 6 {
		s.Errorf("%d messages are stored, want 6", got)
	}
}
