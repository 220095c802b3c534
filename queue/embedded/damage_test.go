package embedded

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/mem"
)

// rotten is a store in memory of which offsets from so many on, of one partition, cannot be read.
type rotten struct {
	*mem.Store
	mu        sync.Mutex
	partition storage.PartitionID // guarded by mu
	from      int64               // guarded by mu; negative: all is well
}

func (s *rotten) rot(p storage.PartitionID, from int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partition, s.from = p, from
}

func (s *rotten) Read(dst []storage.Record, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	s.mu.Lock()
	partition, rot := s.partition, s.from
	s.mu.Unlock()
	if rot < 0 || p != partition {
		return s.Store.Read(dst, p, from, maxBytes)
	}
	if from >= rot {
		return dst, from, &storage.DamageError{File: "x", From: 1, To: 2, Partition: p, First: rot, Next: rot + 1, Reason: "checksum"}
	}
	rs, next, err := s.Store.Read(dst, p, from, maxBytes)
	if n := slices.IndexFunc(rs, func(r storage.Record) bool { return r.Offset >= rot }); n >= 0 {
		return rs[:n], rot, err
	}
	return rs, next, err
}

func openRotten(t *testing.T, o Options) (*rotten, *queue.Broker) {
	t.Helper()
	m, err := mem.Open(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &rotten{Store: m, from: -1}
	b, err := open(s, inMemory, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	ensure(t, b, "t", 3)
	return s, b
}

// TestDamageStopsOnlyItsPartition: the others go on, the group is told once, and a new Consume goes on where it stopped when all is well again.
func TestDamageStopsOnlyItsPartition(t *testing.T) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var told []queue.DamagedEvent
			s, b := openRotten(t, Options{Broker: queue.Options{Events: queue.Events{Damaged: func(e queue.DamagedEvent) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, e)
			}}}})
			fill(t, b, 3, 10, 2)
			for _, topic := range s.Topics() {
				s.rot(topic.Partition(1), 4)
			}
			var done [3]int
			handle := func(_ context.Context, d *queue.Delivery) error {
				mu.Lock()
				defer mu.Unlock()
				done[d.Position.Partition()]++
				return nil
			}
			ctx, cancel := context.WithCancel(t.Context())
			var consuming sync.WaitGroup
			ended := make(chan error, 2)
			g := queue.Group{Name: "g", Topics: []string{"t"}, Order: order, Concurrency: 2}
			for range 2 {
				consuming.Go(func() { ended <- b.Consume(ctx, g, handle) })
			}
			time.Sleep(time.Minute)
			fill(t, b, 3, 10, 2)
			time.Sleep(time.Minute)
			mu.Lock()
			if done[0] != 20 || done[1] > 4 || done[2] != 20 {
				t.Errorf("%v: %v were done, want all of the sound partitions and at most 4 of the damaged one: what was read of it and not handed out by then waits, too", order, done)
			}
			left := int64(20 - done[1])
			var damage *storage.DamageError
			if len(told) != 1 || told[0].Partition != 1 || told[0].Topic != "t" || told[0].Group != "g" || !errors.As(told[0].Err, &damage) {
				t.Errorf("%v: told %+v", order, told)
			}
			mu.Unlock()
			if got := groupStats(b, "g"); got.Ready != left || !strings.Contains(got.Idle, "checksum") {
				t.Errorf("%v: %+v", order, got)
			}
			cancel()
			consuming.Wait()
			for range 2 {
				if err := <-ended; err != nil {
					t.Errorf("%v: Consume, of a group with sound partitions: %v", order, err)
				}
			}
			s.rot(0, -1)
			ctx, cancel = context.WithCancel(t.Context())
			consuming.Go(func() { ended <- b.Consume(ctx, g, handle) })
			wantIdle(t, b)
			cancel()
			consuming.Wait()
			if done != [3]int{20, 20, 20} {
				t.Errorf("%v: when all was well again: %v", order, done)
			}
		})
	}
}

// TestDamageUnderAReader: a read without a group ends with what is damaged.
func TestDamageUnderAReader(t *testing.T) {
	s, b := openRotten(t, Options{})
	fill(t, b, 3, 10, 0)
	for _, topic := range s.Topics() {
		s.rot(topic.Partition(1), 4)
	}
	n := 0
	var last error
	for _, err := range b.Read(t.Context(), queue.Range{Topic: "t", Partitions: []int{1}}) {
		if last = err; err == nil {
			n++
		}
	}
	var damage *storage.DamageError
	if !errors.As(last, &damage) || n != 4 || !strings.Contains(last.Error(), "t/1") {
		t.Errorf("%d records, then %v", n, last)
	}
}
