package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
)

func testWatch(t *testing.T, s *suite) {
	st := s.open()
	topic := s.topic(st, "t", 3, storage.SyncAlways)
	w := storage.NewWatcher()
	var unwatch []func()
	for i := range 2 {
		f, err := st.Watch(topic.Partition(i), w)
		if err != nil {
			t.Fatal(err)
		}
		unwatch = append(unwatch, f)
	}
	s.append(st, topic.Partition(2), values("unwatched")...)
	if got := w.Take(nil); len(got) > 0 {
		t.Errorf("notice of %v, which nobody watches", got)
	}
	for round := range 5 {
		for i := range 2 {
			s.append(st, topic.Partition(i), values("x", "y")...)
		}
		<-w.C()
		got := w.Take(nil)
		slices.Sort(got)
		if !slices.Equal(got, []storage.PartitionID{topic.First, topic.Partition(1)}) {
			t.Errorf("round %d: notice of %v", round, got)
		}
	}
	unwatch[0]()
	unwatch[0]()
	for i := range 2 {
		s.append(st, topic.Partition(i), values("z")...)
	}
	if got := w.Take(nil); !slices.Equal(got, []storage.PartitionID{topic.Partition(1)}) {
		t.Errorf("notice of %v; only partition %d is watched still", got, topic.Partition(1))
	}
	unwatch[1]()
}

// testMemory appends much more than fits in memory. A store that has nothing else refuses what does not fit, and takes it when
// what every group finished makes room.
func testMemory(t *testing.T, s *suite) {
	st, err := s.Small()
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	p := s.topic(st, "t", 1, storage.SyncOS).First
	g := s.group(st, "g")
	const size = 64 << 10
	n, refused := int64(0), false
	for ; (n+1)*size < 2*s.MemoryBytes; n++ {
		rs := []storage.Record{{Value: mark{entry: uint64(n)}.value(size)}}
		_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: rs}}})
		if held := st.Stats().MemoryBytes; held > s.MemoryBytes {
			t.Fatalf("after %d records %d bytes are held, the bound is %d", n, held, s.MemoryBytes)
		}
		if refused = errors.Is(err, storage.ErrFull); refused {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if refused != s.Volatile {
		t.Fatalf("after %d records of %d bytes with %d bytes of memory: refused %v", n, size, s.MemoryBytes, refused)
	}
	rs := s.read(st, p)
	if int64(len(rs)) != n {
		t.Fatalf("%d records, %d were appended", len(rs), n)
	}
	for i := range rs {
		if string(rs[i].Value) != string(mark{entry: uint64(i)}.value(size)) {
			t.Fatalf("record %d is another", i)
		}
	}
	if !s.Volatile {
		return
	}
	if n < s.MemoryBytes/size/4 {
		t.Errorf("only %d records of %d bytes fit %d bytes", n, size, s.MemoryBytes)
	}
	done := storage.Cursor{Group: g, Partition: p, Floor: rs[n/2].Offset, Passed: n / 2}
	if _, err := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{done}}); err != nil {
		t.Fatalf("a cursor, while the memory is full: %v", err)
	}
	s.append(st, p, storage.Record{Value: make([]byte, size)})
	b, err := st.Bounds(p)
	if err != nil || b.First > done.Floor || b.Records != n+1 {
		t.Errorf("bounds %+v, %v; the group has finished what is below %d, %d records were appended", b, err, done.Floor, n+1)
	}
	left := s.read(st, p)
	if at := slices.IndexFunc(left, func(r storage.Record) bool { return r.Offset == done.Floor }); at < 0 {
		t.Errorf("offset %d, which the group has not finished, is gone", done.Floor)
	}
	if o, err := st.Ordinal(p, done.Floor); err != nil || o != n/2 {
		t.Errorf("ordinal of %d is %d, %v; want %d", done.Floor, o, err, n/2)
	}
}

// testConcurrentAppends has many goroutines append to the same partitions: what one of them appends appears in the order of its calls, and an
// append returns only when it and all before it can be read.
func testConcurrentAppends(t *testing.T, s *suite) {
	st := s.open()
	topic := s.topic(st, "t", 3, storage.SyncOS)
	synced := s.topic(st, "synced", 1, storage.SyncAlways).First
	parts := []storage.PartitionID{topic.First, topic.Partition(1), topic.Partition(2), synced}
	const writers, each = 8, 40
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			rng := newRand(uint64(w))
			for i := range each {
				e := &storage.Entry{}
				for _, at := range rng.Perm(len(parts))[:1+rng.IntN(2)] {
					e.Batches = append(e.Batches, storage.Batch{Partition: parts[at], Records: values(fmt.Sprintf("%d %d a", w, i), fmt.Sprintf("%d %d b", w, i))})
				}
				if _, err := st.Append(t.Context(), e); err != nil {
					t.Error(err)
					return
				}
				for _, b := range e.Batches {
					rs, _, err := st.Read(nil, b.Partition, b.Records[1].Offset, 1)
					if err != nil || len(rs) == 0 || string(rs[0].Value) != string(b.Records[1].Value) {
						t.Errorf("an appended record is not there: %q, %v", valuesOf(rs), err)
					}
				}
			}
		})
	}
	all.Wait()
	total := 0
	for _, p := range parts {
		last := map[int]int{}
		rs := s.read(st, p)
		total += len(rs)
		for i := range rs {
			var w, n int
			var part string
			if _, err := fmt.Sscan(string(rs[i].Value), &w, &n, &part); err != nil {
				t.Fatalf("%q: %v", rs[i].Value, err)
			}
			at := 2*n + 1
			if part == "b" {
				at++
			}
			if at <= last[w] {
				t.Errorf("partition %d: %q after a later one of the same writer", p, rs[i].Value)
			}
			last[w] = at
			if i > 0 && rs[i].Offset <= rs[i-1].Offset {
				t.Errorf("partition %d: offset %d after %d", p, rs[i].Offset, rs[i-1].Offset)
			}
		}
	}
	if got := st.Stats(); got.Appended != int64(total) || got.Partitions != 4 {
		t.Errorf("stats %+v; %d records were appended to 4 partitions", got, total)
	}
}

// testConcurrentReads follows a partition while it is written: a reader sees every record once, in order, and never less than before.
func testConcurrentReads(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncOS).First
	const n = 400
	var all sync.WaitGroup
	for range 3 {
		w := storage.NewWatcher()
		unwatch, err := st.Watch(p, w)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer unwatch()
			from, seen := int64(0), 0
			var rs []storage.Record
			for seen < n {
				b, err := st.Bounds(p)
				if err != nil || b.Next < from {
					t.Errorf("bounds %+v, %v; records up to %d were read", b, err, from)
					return
				}
				if rs, from, err = st.Read(rs[:0], p, from, 3000); err != nil {
					t.Error(err)
					return
				}
				for i := range rs {
					if string(rs[i].Value) != string(mark{entry: uint64(seen)}.value(200)) {
						t.Errorf("record %d is another", seen)
						return
					}
					seen++
				}
				if len(rs) == 0 {
					<-w.C()
					w.Take(nil)
				}
			}
		})
	}
	for i := range n {
		s.append(st, p, storage.Record{Value: mark{entry: uint64(i)}.value(200)})
	}
	all.Wait()
}

func testClose(t *testing.T, s *suite) {
	st := s.open()
	topic := s.topic(st, "t", 1, storage.SyncOS)
	p := topic.First
	g := s.group(st, "g")
	s.append(st, p, values("x")...)
	select {
	case <-st.Stopped():
		t.Errorf("stopped: %v", st.StopCause())
	default:
	}
	if err := st.StopCause(); err != nil {
		t.Errorf("stop cause of a healthy store: %v", err)
	}
	for range 3 {
		s.close(st)
	}
	_, _, readErr := st.Read(nil, p, 0, 1)
	_, boundsErr := st.Bounds(p)
	_, offsetErr := st.OffsetAt(p, time.Now())
	_, ordinalErr := st.Ordinal(p, 0)
	_, watchErr := st.Watch(p, storage.NewWatcher())
	_, appendErr := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: values("x")}}})
	_, topicErr := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "u", Partitions: 1})
	_, groupErr := st.CreateGroup(t.Context(), "h")
	for i, err := range []error{readErr, boundsErr, offsetErr, ordinalErr, watchErr, appendErr, topicErr, groupErr} {
		if !errors.Is(err, storage.ErrClosed) {
			t.Errorf("call %d after Close: %v, want ErrClosed", i, err)
		}
	}
	if got := st.Topics(); len(got) != 1 || got[0].Name != "t" {
		t.Errorf("topics after Close: %+v", got)
	}
	if got := st.Groups(); len(got) != 1 || got[0].ID != g {
		t.Errorf("groups after Close: %+v", got)
	}
	if got := st.Stats(); got.Topics != 1 || got.Appended != 1 {
		t.Errorf("stats after Close: %+v", got)
	}
}

// testCloseRace closes while others append: each append is acknowledged, and there afterwards, or refused, or unknown.
func testCloseRace(t *testing.T, s *suite) {
	st := s.open()
	h := Continue(st, 0)
	topic, err := h.CreateTopic(func(spec storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(t.Context(), spec) },
		storage.TopicSpec{Name: "t", Partitions: 2, Strategy: storage.Strategy{Sync: storage.SyncOS}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Volatile {
		h.volatile = true
	}
	closing := make(chan struct{})
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() {
			for n := 0; ; n++ {
				if w == 0 && n == 20 {
					close(closing)
				}
				a := h.Begin(Plan{Batches: []PlanBatch{{topic.Partition(n % 2), []int{100, 200}}}})
				d, err := st.Append(t.Context(), a.Entry)
				if bad := h.End(a, d, err); bad != nil {
					t.Error(bad)
				}
				if err != nil {
					if !errors.Is(err, storage.ErrClosed) && !errors.Is(err, storage.ErrIndeterminate) {
						t.Errorf("an append racing with Close: %v", err)
					}
					return
				}
			}
		})
	}
	<-closing
	for range 3 {
		all.Go(func() {
			if err := st.Close(context.Background()); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	all.Wait()
	if s.Volatile {
		return
	}
	st = s.open()
	if v := h.Check(st, Died, 1); v.Bad() {
		t.Error(v.Problems)
	}
}

func testReopen(t *testing.T, s *suite) {
	st := s.open()
	if r := st.Report(); !r.New {
		t.Errorf("report of a new store: %+v", r)
	}
	if s.Volatile {
		return
	}
	h := NewHistory()
	for life := range uint64(4) {
		w := NewWorkload(h, st, life)
		for range 40 {
			if err := w.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.close(st)
		st = s.open()
		r := st.Report()
		if r.New || !r.Clean || r.CutBytes != 0 || len(r.Foreign)+len(r.Raised)+r.Leftovers > 0 {
			t.Errorf("report after a close: %+v", r)
		}
		if v := h.Check(st, Died, life); v.Bad() {
			t.Fatal(v.Problems)
		}
	}
}
