package queuetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func publishCases() []testCase {
	return []testCase{
		{name: "ReceiptsSayWhereAndHowDurable", run: receipts},
		{name: "PublishesOfOneGoroutineKeepTheirOrder", run: publishOrder},
		{name: "MessagesComeBackWhole", run: wholeMessages},
		{name: "TimestampIsFilled", run: timestamps},
		{name: "AppendedNeverGoesBack", run: appendedGrows, needs: []queue.Feature{queue.CanRead}},
		{name: "PublishWithoutTimeIsErrFull", run: publishCancelled},
	}
}

func receipts(s *stage) {
	for _, want := range []queue.Durability{queue.OS, queue.Interval, queue.Synced} {
		topic := "t-" + want.String()
		if err := s.broker.EnsureTopic(s.within(), topic, queue.TopicConfig{Partitions: 2, Durability: want}); err != nil {
			s.Fatal(err)
		}
		last := queue.Position{}
		for range 5 {
			r := s.publish(queue.Message{Topic: topic, Partition: queue.PinTo(1)})[0]
			if r.Position.Topic() != topic || r.Position.Partition() != 1 || r.Position == last || last.Covers(r.Position) {
				s.Errorf("position %q after %q, want one further on in %s/1", r.Position, last, topic)
			}
			last = r.Position
			switch kept := s.harness.Restart != nil; {
			case kept && r.Durability < want:
				s.Errorf("the receipt says %v, the topic is %v", r.Durability, want)
			case !kept && r.Durability != queue.Memory:
				s.Errorf("the receipt says %v, and the engine keeps nothing", r.Durability)
			}
		}
	}
}

func publishOrder(s *stage) {
	const goroutines, each, partitions = 8, 60, 3
	s.topic("t", partitions)
	at := make([][]queue.Position, goroutines)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				m := queue.Message{Topic: "t", Value: fmt.Appendf(nil, "%d/%d", g, i), Partition: queue.PinTo(i % partitions)}
				r, err := s.broker.Publish(s.Context(), m)
				if err != nil {
					s.Error(err)
					return
				}
				at[g] = append(at[g], r.Position)
			}
		})
	}
	all.Wait()
	stored := map[queue.Position]string{}
	for _, d := range s.delivered("t") {
		if before, twice := stored[d.Position]; twice {
			s.Errorf("%s holds %q and %q", d.Position, before, d.Value)
		}
		stored[d.Position] = string(d.Value)
	}
	if len(stored) != goroutines*each {
		s.Errorf("%d positions for %d messages", len(stored), goroutines*each)
	}
	for g := range at {
		last := map[int]queue.Position{}
		for i, p := range at[g] {
			if want := fmt.Sprintf("%d/%d", g, i); stored[p] != want {
				s.Errorf("%s holds %q, the receipt was for %q", p, stored[p], want)
			}
			if last[p.Partition()].Covers(p) {
				s.Errorf("goroutine %d: %s was published after %s", g, p, last[p.Partition()])
			}
			last[p.Partition()] = p
		}
	}
}

func wholeMessages(s *stage) {
	s.topic("t", 1)
	at := time.Unix(1_700_000_000, 123_456_789)
	repeated := queue.Headers{}.With("a", "1").With("b", "").With("a", "2").With("ä", "\x00\xff")
	for i, m := range []queue.Message{
		{},
		{Value: []byte("v")},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("k"), Value: []byte("v"), Headers: repeated, Timestamp: at},
		{Key: []byte{0, 255}, Value: make([]byte, 100_000), Timestamp: at},
		{Headers: queue.Headers{}.With("only", "this")},
		{ID: "an ID"},
		{ID: "another", Key: []byte("k"), Headers: repeated},
	} {
		if m.ID != "" && !s.can(queue.CanDedup) {
			continue
		}
		m.Topic = "t"
		r := s.publish(m)[0]
		ds := s.delivered("t")
		d := ds[len(ds)-1]
		s.wantSame(fmt.Sprintf("message %d", i), d.Message, m)
		if d.Position != r.Position {
			s.Errorf("message %d is delivered at %s, the receipt says %s", i, d.Position, r.Position)
		}
		if _, pinned := d.Partition.N(); pinned {
			s.Errorf("message %d names a partition when it is delivered", i)
		}
		if d.Attempt != 1 || d.Appended.IsZero() {
			s.Errorf("message %d: attempt %d, appended at %v", i, d.Attempt, d.Appended)
		}
	}
}

func timestamps(s *stage) {
	s.topic("t", 1)
	before := time.Now()
	s.publish(queue.Message{Topic: "t"})
	after := time.Now()
	d := s.delivered("t")[0]
	const coarse = time.Second // what an engine's clock may be off
	for what, at := range map[string]time.Time{"timestamp": d.Timestamp, "time of storing": d.Appended} {
		if at.Before(before.Add(-coarse)) || at.After(after.Add(coarse)) {
			s.Errorf("%s %v of a message that was published between %v and %v", what, at, before, after)
		}
	}
}

func appendedGrows(s *stage) {
	s.topic("t", 2)
	ancient := time.Unix(1, 0)
	for i := range 50 {
		s.publish(queue.Message{Topic: "t", Timestamp: ancient.Add(time.Duration(-i) * time.Hour)})
	}
	last := map[int]time.Time{}
	for _, r := range s.records("t") {
		n := r.Position.Partition()
		if r.Appended.Before(last[n]) || r.Appended.Before(ancient.Add(time.Hour)) {
			s.Errorf("%s was stored at %v, the one before at %v; the application's time has nothing to do with it", r.Position, r.Appended, last[n])
		}
		last[n] = r.Appended
	}
}

func publishCancelled(s *stage) {
	s.topic("t", 1)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.broker.Publish(ctx, queue.Message{Topic: "t"})
	s.wantError("Publish", err, queue.ErrFull)
	s.wantError("Publish", err, context.Canceled)
	_, err = s.broker.PublishBatch(ctx, queue.Message{Topic: "t"})
	s.wantError("PublishBatch", err, queue.ErrFull)
	if got := s.delivered("t"); len(got) != 0 {
		s.Errorf("%d messages were stored", len(got))
	}
}
