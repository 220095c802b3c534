package queuetest

import (
	"fmt"
	"time"

	"github.com/leatmq/leat/queue"
)

// grownIDs publishes IDs with keys that move.
func grownIDs(s *stage) {
	s.topic("t", 2)
	const n = 30
	keyed := func(i int) queue.Message {
		m := s.identified(fmt.Sprint("id ", i))
		m.Key = keyOf(i)
		return m
	}
	var firsts []queue.Receipt
	for i := range n {
		firsts = append(firsts, s.wantStored(keyed(i)))
	}
	s.grow("t", 9)
	for i := range n {
		s.wantDuplicate(keyed(i), firsts[i])
	}
	for i := n; i < 2*n; i++ {
		firsts = append(firsts, s.wantStored(keyed(i)))
	}
	for i := range 2 * n {
		s.wantDuplicate(keyed(i), firsts[i])
	}
	s.wantCount("t", 2*n)
}

func grownIDsRestarted(s *stage) {
	s.topic("t", 1)
	firsts := map[string]queue.Receipt{}
	more := func(prefix string, total int) {
		for i := range 10 {
			m := s.identified(fmt.Sprint(prefix, i))
			m.Partition = queue.PinTo(i % total)
			firsts[m.ID] = s.wantStored(m)
		}
	}
	check := func() {
		s.Helper()
		for id, first := range firsts {
			m := s.identified(id)
			m.Key = []byte(id)
			s.wantDuplicate(m, first)
		}
	}
	more("a", 1)
	s.grow("t", 4)
	more("b", 4)
	s.restart()
	check()
	s.grow("t", 6)
	more("c", 6)
	s.restart()
	check()
	s.restart()
	more("d", 6)
	check()
	s.wantCount("t", len(firsts))
}

// grownDelayed has messages wait for their time while their topic is given partitions.
func grownDelayed(s *stage) {
	s.topic("t", 2)
	s.topic("wide", 5)
	want := map[string]int{}
	var waits []queue.Receipt
	wait := func(m queue.Message, partition int) {
		m.Topic, m.NotBefore = "t", time.Now().Add(time.Hour)
		waits = append(waits, s.publish(m)[0])
		want[string(m.Value)] = partition
	}
	for i := range 10 {
		at := s.publish(queue.Message{Topic: "wide", Key: keyOf(i)})[0].Position
		wait(queue.Message{Key: keyOf(i), Value: fmt.Append(nil, i)}, at.Partition())
	}
	wait(queue.Message{Partition: queue.PinTo(1), Value: []byte("pinned")}, 1)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.grow("t", 5)
	wait(queue.Message{Partition: queue.PinTo(4), Value: []byte("last")}, 4)
	for _, r := range waits {
		s.reschedule(r, time.Now())
	}
	c.awaitCount(12)
	for _, d := range c.got() {
		if n := d.Position.Partition(); n != want[string(d.Value)] {
			s.Errorf("%s came to partition %d, want %d", d.Value, n, want[string(d.Value)])
		}
	}
}

// grownDelayedIDs has messages with IDs wait while their topic is given partitions, and come to these.
func grownDelayedIDs(s *stage) {
	s.topic("t", 1)
	s.wantWaiting(s.inAnHour("hour"))
	m := s.soon("a")
	m.Key = keyOf(1)
	waits := s.wantWaiting(m)
	s.grow("t", 6)
	s.wantWaiting(s.inAnHour("two hours"))
	s.arrives("t", "a", waits)
	for _, id := range []string{"hour", "two hours"} {
		if r := s.publish(s.identified(id))[0]; !r.Duplicate || r.Timer == "" {
			s.Errorf("ID %q of a message that waits: %+v", id, r)
		}
	}
	if s.harness.Restart == nil {
		return
	}
	s.restart()
	for _, id := range []string{"a", "hour", "two hours"} {
		if r := s.publish(s.identified(id))[0]; !r.Duplicate {
			s.Errorf("ID %q after a restart: %+v", id, r)
		}
	}
}
