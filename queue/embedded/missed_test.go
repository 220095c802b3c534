package embedded

import (
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

// holey is a store in memory whose records can be made to vanish, at the front or anywhere.
type holey struct {
	*mem.Store

	mu     sync.Mutex
	first  int64          // guarded by mu
	hidden map[int64]bool // guarded by mu
	atRead func()         // called once, at the next read; guarded by mu
}

func openHoley(t *testing.T, cleanup storage.CleanupPolicy) (*holey, *queue.Broker) {
	t.Helper()
	m, err := mem.Open(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &holey{Store: m, hidden: map[int64]bool{}}
	b, err := open(s, inMemory, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	kept, err := encodeSettings(queue.TopicConfig{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	made := storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Cleanup: cleanup}, Settings: kept}
	if _, err := s.CreateTopic(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	return s, b
}

func (s *holey) trim(first int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = first
}

func (s *holey) hide(offsets ...int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range offsets {
		s.hidden[o] = true
	}
}

// before has f called before the next read, after what comes before it.
func (s *holey) before(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atRead = f
}

func (s *holey) Bounds(p storage.PartitionID) (storage.Bounds, error) {
	b, err := s.Store.Bounds(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	b.First = max(b.First, s.first)
	return b, err
}

func (s *holey) Ordinal(p storage.PartitionID, offset int64) (int64, error) {
	s.mu.Lock()
	offset = max(offset, s.first) // what is gone cannot be counted any more
	s.mu.Unlock()
	return s.Store.Ordinal(p, offset)
}

func (s *holey) Read(dst []storage.Record, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	s.mu.Lock()
	f := s.atRead
	s.atRead = nil
	s.mu.Unlock()
	if f != nil {
		f()
	}
	for {
		rs, next, err := s.Store.Read(nil, p, from, maxBytes)
		if err != nil || len(rs) == 0 {
			return dst, next, err
		}
		s.mu.Lock()
		rs = slices.DeleteFunc(rs, func(r storage.Record) bool { return r.Offset < s.first || s.hidden[r.Offset] })
		s.mu.Unlock()
		if len(rs) > 0 {
			return append(dst, rs...), next, nil
		}
		from = next
	}
}

// store appends n messages, each in a batch of its own.
func store(t *testing.T, b *queue.Broker, n int) {
	t.Helper()
	for range n {
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
}

func groupStats(b *queue.Broker, name string) queue.GroupStats {
	for _, g := range b.Stats().Groups {
		if g.Name == name {
			return g
		}
	}
	return queue.GroupStats{}
}

func wantTold(t *testing.T, m *testMember, want ...string) {
	t.Helper()
	var got []string
	for _, note := range m.told() {
		if strings.HasPrefix(note, "missed") {
			got = append(got, note)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func wantIdle(t *testing.T, b *queue.Broker) {
	t.Helper()
	ctx, cancel := contextFor(t, time.Minute)
	defer cancel()
	if err := b.WaitIdle(ctx, "g"); err != nil {
		t.Error(err)
	}
}

// TestMissedBeforeRead: what was removed before a group read it is counted, told and passed, whether it has members or not.
func TestMissedBeforeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openHoley(t, storage.CleanupPolicy{})
		m := join(t, b, queue.Group{})
		store(t, b, 10)
		m.ack(m.one()) // and the others are read
		store(t, b, 20)
		s.trim(25)
		if got := groupStats(b, "g"); got.Ready != 9+5 {
			t.Errorf("%+v: nine were read, and of the others five are left", got)
		}
		if got := m.drain(); len(got) != 9+5 {
			t.Errorf("%d messages, want the nine that were read and five", len(got))
		}
		wantTold(t, m, "missed 15 from 10 to 25 of t/0")
		if got := groupStats(b, "g"); got.Ready != 0 || got.Missed != 15 || got.Done != 15 {
			t.Errorf("%+v", got)
		}
		m.leave()
		store(t, b, 10)
		s.trim(38)
		if got := groupStats(b, "g"); got.Ready != 2 {
			t.Errorf("%+v: without members, of ten messages two are left", got)
		}
		s.trim(40)
		wantIdle(t, b) // though nobody comes to see that they are gone
		store(t, b, 1)
		m = join(t, b, queue.Group{})
		if got := m.drain(); len(got) != 1 {
			t.Errorf("%d messages", len(got))
		}
		wantTold(t, m, "missed 10 from 30 to 40 of t/0")
		wantIdle(t, b)
	})
}

// TestMissedAtStart: records are removed under a cursor with holes, while the group is not known to this process.
func TestMissedAtStart(t *testing.T) {
	for _, c := range []struct {
		first  int64
		left   int    // that come
		missed string // from the floor at 1
	}{
		{1, 15, ""},
		{3, 13, "missed 2 from 1 to 3 of t/0"}, // 1 and 2
		{8, 10, "missed 5 from 1 to 8 of t/0"}, // and 3, 4 and 7; 5, 6, 8 and 9 are done
		{10, 10, "missed 5 from 1 to 10 of t/0"},
		{20, 0, "missed 15 from 1 to 20 of t/0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, b := openHoley(t, storage.CleanupPolicy{})
			store(t, b, 20)
			m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 20})
			hs := m.receive(20, queue.ReceiveLimits{})
			for len(hs) < 20 {
				hs = append(hs, m.one())
			}
			m.ack(hs[0], hs[5], hs[6], hs[8], hs[9])
			m.leave()
			if got := groupStats(b, "g"); got.Ready != 15 {
				t.Errorf("%+v: five of twenty are done", got)
			}
			s.trim(c.first)
			again := newEngine(s, inMemory) // as after a restart, which a store in memory does not survive
			again.start()
			if got := again.Stats().Groups[0]; got.Ready != int64(c.left) {
				t.Errorf("first %d: %+v before anybody joined, want %d ready", c.first, got, c.left)
			}
			member := joinEngine(t, again)
			if got := len(member.drain()); got != c.left {
				t.Errorf("first %d: %d messages, want %d", c.first, got, c.left)
			}
			if c.missed == "" {
				wantTold(t, member)
			} else {
				wantTold(t, member, c.missed)
			}
			if got := again.Stats().Groups[0]; got.Ready != 0 || got.InFlight != 0 {
				t.Errorf("first %d: %+v at the end", c.first, got)
			}
			member.leave()
			var cursor storage.Cursor
			for _, topic := range s.Topics() {
				cursor, _ = s.Cursor(again.existing("g").id, topic.First)
			}
			if cursor.Floor != 20 || cursor.Passed != 20 {
				t.Errorf("first %d: %+v was written at the end", c.first, cursor)
			}
			again.flusher.giveUp()
			close(again.closed)
			again.running.Wait()
		})
	}
}

// joinEngine makes a member of group "g" of topic "t" at an engine without a broker.
func joinEngine(t *testing.T, e *engine) *testMember {
	t.Helper()
	m := &testMember{t: t}
	ms := m.membership(queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Concurrency: 20, InFlightBytes: 1 << 20})
	member, err := e.Join(t.Context(), ms)
	if err != nil {
		t.Fatal(err)
	}
	m.Member = member
	return m
}

// TestMissedInFlight: what is in flight or waits when it is removed may be finished; what has to be read again for another attempt is missed.
func TestMissedInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openHoley(t, storage.CleanupPolicy{})
		store(t, b, 6)
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 6})
		hs := m.receive(6, queue.ReceiveLimits{})
		for len(hs) < 4 {
			hs = append(hs, m.one())
		}
		s.trim(6)
		m.ack(hs[0])
		if err := m.settle(hs[1], queue.SettleRetry, time.Second); err != nil {
			t.Error(err)
		}
		if err := m.settle(hs[2], queue.SettleRelease, 0); err != nil {
			t.Error(err)
		}
		store(t, b, 1)
		rest := m.drain()
		if len(rest) != 6-len(hs)+1 {
			t.Errorf("%d messages, want %d that were read and were not in flight, and one", len(rest), 6-len(hs))
		}
		time.Sleep(2 * time.Second)
		m.nothing(time.Second)
		m.ack(hs[3:]...)
		wantTold(t, m, "missed 1 from 2 to 3 of t/0", "missed 1 from 1 to 2 of t/0")
		wantIdle(t, b)
		if got := groupStats(b, "g"); got.Missed != 2 || got.Done != 5 || got.Ready+got.InFlight+got.Waiting != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestMissedBesideWhatIsInFlight: what is in flight when the group passes over what is gone is not missed.
func TestMissedBesideWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openHoley(t, storage.CleanupPolicy{})
		store(t, b, 1)
		m := join(t, b, queue.Group{Concurrency: 2})
		h := m.one()
		store(t, b, 9)
		s.trim(8)
		if got := groupStats(b, "g"); got.Ready != 2 || got.InFlight != 1 {
			t.Errorf("%+v, want two that are ready and one in flight", got)
		}
		if got := m.drain(); len(got) != 2 {
			t.Errorf("%d messages, want 2", len(got))
		}
		wantTold(t, m, "missed 7 from 1 to 8 of t/0")
		m.ack(h)
		wantIdle(t, b)
		if got := groupStats(b, "g"); got.Done != 3 || got.Missed != 7 {
			t.Errorf("%+v", got)
		}
	})
}

// TestIdleWhenAllIsRemoved: who waits for a group without members finds out that nothing is left for it, though nobody says so.
func TestIdleWhenAllIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openHoley(t, storage.CleanupPolicy{})
		join(t, b, queue.Group{}).leave()
		store(t, b, 10)
		time.AfterFunc(10*time.Second, func() { s.trim(10) })
		began := time.Now()
		wantIdle(t, b)
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("idle after %v", took)
		}
	})
}

// TestMissedWhileReading: records are removed between two calls of the store.
func TestMissedWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openHoley(t, storage.CleanupPolicy{})
		m := join(t, b, queue.Group{})
		store(t, b, 10)
		s.before(func() {
			s.trim(4)
			s.before(func() { s.trim(7) })
		})
		if got := m.drain(); len(got) != 3 {
			t.Errorf("%d messages, want 3", len(got))
		}
		wantTold(t, m, "missed 4 from 0 to 4 of t/0", "missed 3 from 4 to 7 of t/0")
		wantIdle(t, b)
	})
}

// TestSupersededIsNotMissed: a topic that keeps the latest of each key loses records in the middle, and they are not missed; elsewhere they are.
func TestSupersededIsNotMissed(t *testing.T) {
	for _, compacted := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s, b := openHoley(t, storage.CleanupPolicy{LatestByKey: compacted})
			store(t, b, 10)
			m := join(t, b, queue.Group{})
			h := m.one()
			m.settle(h, queue.SettleRetry, 9*time.Second) // what waits longer is parked
			m.drain()
			store(t, b, 10)
			s.hide(0, 12, 13, 19)
			if got := m.drain(); len(got) != 7 {
				t.Errorf("%d messages, want 7", len(got))
			}
			time.Sleep(10 * time.Second)
			m.nothing(time.Second)
			wantIdle(t, b)
			if compacted {
				wantTold(t, m)
			} else {
				wantTold(t, m, "missed 3 from 10 to 20 of t/0", "missed 1 from 0 to 1 of t/0")
			}
			got := groupStats(b, "g")
			if want := int64(4); !compacted && got.Missed != want || compacted && got.Missed != 0 || got.Ready != 0 {
				t.Errorf("latest by key %v: %+v", compacted, got)
			}
			m.leave()
			store(t, b, 1)
			if got := groupStats(b, "g"); got.Ready != 1 {
				t.Errorf("latest by key %v, one more: %+v", compacted, got)
			}
		})
	}
}
