package storagetest

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
)

// testGrowTopic gives a topic more partitions, twice with those of another in between, and deletes it.
func testGrowTopic(t *testing.T, s *suite) {
	for _, level := range allLevels {
		t.Run(level.String(), func(t *testing.T) {
			s := &suite{T: t, Harness: s.fresh(), fresh: s.fresh}
			g := &growing{suite: s, lives: !s.Volatile && level != storage.MemoryOnly}
			g.run(storage.Strategy{Level: level})
		})
	}
}

type growing struct {
	*suite
	st    storage.Store
	group storage.GroupID
	other storage.GroupID
	topic storage.Topic
	lives bool // what is appended is there after a reopen
	all   map[int][]string
}

func (g *growing) run(strategy storage.Strategy) {
	g.st, g.all = g.open(), map[int][]string{}
	g.topic = g.strategic(g.st, "t", 2, strategy)
	g.group, g.other = g.suite.group(g.st, "g"), g.suite.group(g.st, "other")
	g.publish("before")
	g.cursor(g.st, storage.Cursor{Group: g.group, Partition: g.topic.Partition(1), Floor: 1, Passed: 1})
	g.grow(5)
	other := g.suite.topic(g.st, "between", 3, storage.SyncOS)
	g.publish("between")
	g.grow(6)
	g.grow(9)
	for n := range other.Partitions {
		if i, ok := g.topic.Index(other.Partition(n)); ok {
			g.Errorf("partition %d of another topic is %d of this", n, i)
		}
	}
	g.publish("after")
	g.check()
	g.refuse()
	strategy.Cleanup.MaxRecords = 100
	if err := g.st.AlterTopic(g.Context(), "t", strategy, []byte("other")); err != nil {
		g.Fatal(err)
	}
	g.topic.Strategy, g.topic.Settings = strategy, []byte("other")
	g.check()
	g.end()
}

// grow gives the topic more partitions: those before keep their IDs, and the group that has come to the topic is at the beginning of each new one.
func (g *growing) grow(total int) {
	g.Helper()
	was := g.topic
	got, err := g.st.GrowTopic(g.Context(), "t", total)
	if err != nil || got.Partitions != total || got.First != was.First || got.Incarnation != was.Incarnation {
		g.Fatalf("%+v, given %d partitions, is %+v, %v", was, total, got, err)
	}
	for n := range total {
		id := got.Partition(n)
		if i, ok := got.Index(id); !ok || i != n || n < was.Partitions && id != was.Partition(n) {
			g.Fatalf("partition %d is %d, was %d; found as %d, %v", n, id, was.Partition(n), i, ok)
		}
		if _, had := was.Index(id); had != (n < was.Partitions) {
			g.Fatalf("partition %d, which is %d, was there before: %v", n, id, had)
		}
		if n < was.Partitions {
			continue
		}
		if c, ok := g.st.Cursor(g.group, id); !ok || !sameCursor(&c, &storage.Cursor{Group: g.group, Partition: id}) {
			g.Errorf("the cursor on the new partition %d is %+v, %v", n, c, ok)
		}
		if _, ok := g.st.Cursor(g.other, id); ok {
			g.Errorf("a group that never came to the topic has a cursor on the new partition %d", n)
		}
	}
	g.topic = got
}

func (g *growing) publish(value string) {
	g.Helper()
	e := &storage.Entry{}
	for n := range g.topic.Partitions {
		e.Batches = append(e.Batches, storage.Batch{Partition: g.topic.Partition(n), Records: values(value)})
		g.all[n] = append(g.all[n], value)
	}
	if _, err := g.st.Append(g.Context(), e); err != nil {
		g.Fatal(err)
	}
}

// check looks at everything, and once more in a store that was opened anew.
func (g *growing) check() {
	g.Helper()
	for range 2 {
		checkGrown(g.T, g.st, g.topic, g.lives)
		for n := range g.topic.Partitions {
			if got := valuesOf(g.read(g.st, g.topic.Partition(n))); !slices.Equal(got, g.all[n]) {
				g.Errorf("partition %d holds %q, want %q", n, got, g.all[n])
			}
		}
		if !g.lives {
			return
		}
		g.close(g.st)
		g.st = g.open()
	}
}

func checkGrown(t *testing.T, st storage.Store, want storage.Topic, durable bool) {
	t.Helper()
	got, ok := st.Topic(want.Name)
	if !durable {
		want.Incarnation = got.Incarnation
	}
	if !ok || got.Partitions != want.Partitions || got.Incarnation != want.Incarnation || !slices.Equal(got.Added, want.Added) || string(got.Settings) != string(want.Settings) || got.Strategy != want.Strategy {
		t.Fatalf("the topic is %+v, want %+v", got, want)
	}
}

func (g *growing) refuse() {
	for what, total := range map[string]int{"no partitions": 0, "negative": -1, "too many": storage.MaxPartitions + 1} {
		_, err := g.st.GrowTopic(g.Context(), "t", total)
		wantLimit(g.T, err, what)
	}
	if _, err := g.st.GrowTopic(g.Context(), "t", 8); !errors.Is(err, storage.ErrShrink) {
		g.Errorf("fewer: %v", err)
	}
	if got, err := g.st.GrowTopic(g.Context(), "t", 9); err != nil || got.Partitions != 9 {
		g.Errorf("as many as there are: %+v, %v", got, err)
	}
	if _, err := g.st.GrowTopic(g.Context(), "none", 9); !errors.Is(err, storage.ErrNotFound) {
		g.Errorf("no topic: %v", err)
	}
	checkGrown(g.T, g.st, g.topic, true)
}

// end deletes the topic: nothing is left of its partitions, their IDs are not used again, and those of the other topic stay.
func (g *growing) end() {
	if err := g.st.DeleteTopic(g.Context(), "t"); err != nil {
		g.Fatal(err)
	}
	between, _ := g.st.Topic("between")
	g.append(g.st, between.Partition(2), values("still")...)
	for n := range g.topic.Partitions {
		id := g.topic.Partition(n)
		if _, err := g.st.Bounds(id); !errors.Is(err, storage.ErrNotFound) {
			g.Errorf("bounds of partition %d of the deleted topic: %v", n, err)
		}
		if _, ok := g.st.Cursor(g.group, id); ok {
			g.Errorf("a cursor on partition %d of the deleted topic", n)
		}
	}
	again := g.suite.topic(g.st, "t", 4, storage.SyncOS)
	for n := range again.Partitions {
		if _, ok := g.topic.Index(again.Partition(n)); ok {
			g.Errorf("the ID of partition %d is used again", n)
		}
	}
}

// testGrowRace grows a topic under appends and changes of it, by two who race.
func testGrowRace(t *testing.T, s *suite) {
	st := s.open()
	topic := s.topic(st, "t", 1, storage.SyncOS)
	const total, each = 24, 60
	var busy sync.WaitGroup
	counts := make([]int, total) // by partition; each of one goroutine
	appends := func(topic storage.Topic, n int) {
		for ; counts[n] < each; counts[n]++ {
			e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.Partition(n), Records: numbered(counts[n], counts[n]+1)}}}
			if _, err := st.Append(t.Context(), e); err != nil {
				t.Errorf("partition %d: %v", n, err)
				return
			}
		}
	}
	busy.Go(func() { appends(topic, 0) })
	var begun sync.Map
	for racer := range 2 {
		busy.Go(func() {
			for want := 2 + racer; want <= total; want++ {
				got, err := st.GrowTopic(t.Context(), "t", want)
				if errors.Is(err, storage.ErrShrink) { // the other was faster
					continue
				}
				if err != nil || got.Partitions < want {
					t.Errorf("to %d partitions: %+v, %v", want, got, err)
					return
				}
				for n := 1; n < got.Partitions; n++ {
					if _, twice := begun.LoadOrStore(n, true); !twice {
						busy.Go(func() { appends(got, n) })
					}
				}
				if err := st.AlterTopic(t.Context(), "t", storage.Strategy{Sync: storage.SyncOS}, []byte{byte(want)}); err != nil {
					t.Errorf("alter: %v", err)
				}
			}
		})
	}
	busy.Wait()
	if !s.Volatile {
		s.close(st)
		st = s.open()
	}
	now, _ := st.Topic("t")
	if now.Partitions != total {
		t.Fatalf("%d partitions, want %d", now.Partitions, total)
	}
	for n := range total {
		if rs := s.read(st, now.Partition(n)); len(rs) != each || counts[n] != each {
			t.Errorf("partition %d holds %d records, %d were appended", n, len(rs), counts[n])
		}
	}
}

// testGrowMemory checks that a topic in memory keeps its bound when it has more partitions, and drops what is oldest of all of them.
func testGrowMemory(t *testing.T, s *suite) {
	st := s.open()
	topic := s.bounded(st, "t", 1, storage.DropOldest)
	record := func() storage.Record { return storage.Record{Value: make([]byte, 4<<10)} }
	s.append(st, topic.First, record())
	topic, err := st.GrowTopic(t.Context(), "t", 3)
	if err != nil {
		t.Fatal(err)
	}
	s.append(st, topic.Partition(2), record(), record())
	for range 2 * memoryBound / (4 << 10) {
		s.append(st, topic.Partition(1), record())
	}
	for n, want := range []int{0, memoryBound / (4 << 10) * 9 / 10, 0} {
		if got := len(s.read(st, topic.Partition(n))); got < want || want == 0 && got > 0 || got > memoryBound/(4<<10) {
			t.Errorf("partition %d has %d records, want %d", n, got, want)
		}
	}
}

// testGrowHolds checks that a group that has come to a topic holds what is in new partitions, and that nothing is removed there as done before it has come.
func testGrowHolds(t *testing.T, s *suite) {
	st := s.open()
	topic := s.strategic(st, "t", 1, storage.Strategy{Cleanup: storage.CleanupPolicy{WhenDone: true}})
	slow, fast := s.group(st, "slow"), s.group(st, "fast")
	s.cursor(st, storage.Cursor{Group: slow, Partition: topic.First})
	topic, err := st.GrowTopic(t.Context(), "t", 2)
	if err != nil {
		t.Fatal(err)
	}
	p := topic.Partition(1)
	rs := s.append(st, p, numbered(0, 5)...)
	s.cursor(st, storage.Cursor{Group: fast, Partition: p, Floor: rs[4].Offset + 1, Passed: 5})
	if err := st.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantFirst(st, p, 0, 5)
	s.cursor(st, storage.Cursor{Group: slow, Partition: p, Floor: rs[4].Offset + 1, Passed: 5})
	if err := st.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := len(s.read(st, p)); left != 0 {
		t.Errorf("%d records are left that all groups have done", left)
	}
}
