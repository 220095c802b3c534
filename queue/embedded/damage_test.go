package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// rotten is a store in memory of which some offsets of a partition cannot be read.
type rotten struct {
	*mem.Store
	mu    sync.Mutex
	holes map[storage.PartitionID]hole // guarded by mu
	given bool                         // guarded by mu; an operator gave them up
	err   error                        // guarded by mu; why they cannot be read, if it is not damage
	found func()                       // guarded by mu; called once, when damage was found and nobody knows; nil: nothing is
	met   bool                         // guarded by mu; it was called
	front bool                         // guarded by mu; damage is said to begin with the first record, which can be read
}

// hole is the offsets from one on and below another.
type hole [2]int64

func (h hole) damage(p storage.PartitionID) *storage.DamageError {
	return &storage.DamageError{File: "x", From: 1, To: 2, Partition: p, First: h[0], Next: h[1], Reason: "checksum"}
}

// rot ruins offsets from one on, and below another, of a partition.
func (s *rotten) rot(p storage.PartitionID, from, below int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holes[p] = hole{from, below}
}

// fails has reads of what is ruined fail for another reason.
func (s *rotten) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// clear has all be well again, and tells nobody.
func (s *rotten) clear() (ds []*storage.DamageError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, hole := range s.holes {
		ds = append(ds, hole.damage(p))
	}
	clear(s.holes)
	return ds
}

// mend has all be well again, and tells the engine.
func (s *rotten) mend(t *testing.T, b *queue.Broker) {
	t.Helper()
	if err := From(b).engine.unbreak(t.Context(), s.clear()...); err != nil {
		t.Error(err)
	}
}

// mendWhenFound has all be well again as soon as a read has found what is ruined, before anybody else knows.
func (s *rotten) mendWhenFound(t *testing.T, b *queue.Broker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = func() { s.mend(t, b) }
}

// wasFound tells whether that has happened.
func (s *rotten) wasFound() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.met
}

// skip gives up what is ruined, and tells the engine.
func (s *rotten) skip(t *testing.T, b *queue.Broker) {
	t.Helper()
	s.mu.Lock()
	var ds []*storage.DamageError
	for p, hole := range s.holes {
		ds = append(ds, hole.damage(p))
	}
	s.given = true
	s.mu.Unlock()
	if err := From(b).engine.unbreak(t.Context(), ds...); err != nil {
		t.Error(err)
	}
}

func (s *rotten) Read(dst []storage.Record, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	s.mu.Lock()
	rot, ok := s.holes[p]
	given, failure := s.given, s.err
	s.mu.Unlock()
	if ok && from >= rot[0] && from < rot[1] {
		switch {
		case failure != nil:
			return dst, from, failure
		case !given:
			s.mu.Lock()
			found := s.found
			s.found, s.met = nil, s.met || found != nil
			if s.front {
				rot[0] = 0
			}
			s.mu.Unlock()
			if found != nil {
				found()
			}
			return dst, from, rot.damage(p)
		}
		from = rot[1]
	}
	if !ok || from >= rot[1] {
		return s.Store.Read(dst, p, from, maxBytes)
	}
	rs, next, err := s.Store.Read(dst, p, from, maxBytes)
	if n := slices.IndexFunc(rs, func(r storage.Record) bool { return r.Offset >= rot[0] }); n >= 0 {
		return rs[:n], rot[0], err
	}
	return rs, next, err
}

func openRotten(t *testing.T, o Options) (*rotten, *queue.Broker) {
	t.Helper()
	m, err := mem.Open(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &rotten{Store: m, holes: map[storage.PartitionID]hole{}}
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
				s.rot(topic.Partition(1), 4, math.MaxInt64)
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
			if done != [3]int{20, 4, 20} {
				t.Errorf("%v: %v were done, want all of the sound partitions and what is before the damage of the other", order, done)
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
			s.mend(t, b)
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

// TestDamageMendedWhileItIsFound: who mends it when a read has found it, and the group does not know yet, has the group go on all the same.
func TestDamageMendedWhileItIsFound(t *testing.T) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		for _, rule := range []queue.KeyRule{queue.BlockKey, queue.ParkKey} {
			if order != queue.ByKey && rule == queue.ParkKey {
				continue
			}
			for _, retried := range []bool{false, true} { // found when it is read for the first time, or for the next attempt
				t.Run(fmt.Sprint(order, " ", rule, " ", retried), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { mendedWhileItIsFound(t, order, rule, retried) })
				})
			}
		}
	}
}

func mendedWhileItIsFound(t *testing.T, order queue.Order, rule queue.KeyRule, retried bool) {
	told := 0
	s, b := openRotten(t, Options{Broker: queue.Options{Events: queue.Events{Damaged: func(queue.DamagedEvent) { told++ }}}})
	topic, _ := s.Topic("t")
	rot := func() {
		s.rot(topic.Partition(1), 4, math.MaxInt64)
		s.mendWhenFound(t, b)
	}
	var mu sync.Mutex
	done, failed := map[queue.Position]int{}, map[queue.Position]bool{}
	handle := func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if offset, _ := d.Position.Offset(); retried && d.Position.Partition() == 1 && offset == 5 && !failed[d.Position] {
			failed[d.Position] = true
			rot()
			return errFlaky
		}
		done[d.Position]++
		return nil
	}
	if !retried {
		rot()
	}
	fill(t, b, 3, 10, 2)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: order, Concurrency: 2, Failure: queue.Failure{WhileRetry: rule}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Consume(ctx, g, handle) }()
	time.Sleep(time.Minute)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !s.wasFound() || told != 0 {
		t.Errorf("found: %v, told of it %d times; want it mended before anybody is told", s.wasFound(), told)
	}
	if len(done) != 30 {
		t.Errorf("%d messages done, want 30", len(done))
	}
}

// TestDamageThatIsFoundAgainIsBelieved: where a look finds nothing, and the next read the same damage again, the group is told, and does not go on looking.
func TestDamageThatIsFoundAgainIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openRotten(t, Options{})
		topic := mustTopic(t, s, "t")
		s.rot(topic.Partition(1), 4, math.MaxInt64)
		s.front = true
		fill(t, b, 3, 10, 2)
		m := join(t, b, queue.Group{Concurrency: 4})
		if got := m.drainFor(time.Minute); len(got) != 24 {
			t.Errorf("%d messages, want 24, all that can be read", len(got))
		}
		if told := slices.DeleteFunc(m.told(), func(note string) bool { return note[0] == '+' }); !slices.Equal(told, []string{"damaged t/1"}) {
			t.Errorf("told %q, want of the damage, once", told)
		}
	})
}

// TestDamageUnderAReader: a read without a group ends with what is damaged.
func TestDamageUnderAReader(t *testing.T) {
	s, b := openRotten(t, Options{})
	fill(t, b, 3, 10, 0)
	for _, topic := range s.Topics() {
		s.rot(topic.Partition(1), 4, math.MaxInt64)
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
