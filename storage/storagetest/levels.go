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

var allLevels = []storage.Level{storage.MemoryAndDisk, storage.MemoryOnly, storage.DiskOnly, storage.Compressed}

// testLevels checks that a topic of any level is a log like every other.
func testLevels(t *testing.T, s *suite) {
	st := s.open()
	g := s.group(st, "g")
	for _, level := range allLevels {
		topic := s.strategic(st, level.String(), 2, storage.Strategy{Level: level})
		if topic.Strategy.Level != level {
			t.Errorf("asked for %v, got %+v", level, topic)
		}
		want, wanted := storage.Synced, map[bool]storage.Durability{true: storage.InMemory}
		if d, ok := wanted[s.Volatile || level == storage.MemoryOnly]; ok {
			want = d
		}
		e := &storage.Entry{Batches: []storage.Batch{
			{Partition: topic.Partition(1), Records: numbered(0, 3)}, {Partition: topic.First, Records: numbered(3, 5)},
		}}
		if d, err := st.Append(t.Context(), e); err != nil || d != want {
			t.Fatalf("%v: durability %d, %v; want %d", level, d, err, want)
		}
		cur := storage.Cursor{Group: g, Partition: topic.Partition(1), Floor: 1, Passed: 2, Done: []storage.Range{{From: 2, To: 3}}}
		if d, err := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{cur}}); err != nil || d != want {
			t.Fatalf("%v: a cursor of durability %d, %v; want %d", level, d, err, want)
		}
		if got, ok := st.Cursor(g, topic.Partition(1)); !ok || !sameCursor(&got, &cur) {
			t.Errorf("%v: cursor %+v, want %+v", level, got, cur)
		}
		if _, ok := st.Cursor(g, topic.First); ok {
			t.Errorf("%v: a cursor from nowhere", level)
		}
		if got := valuesOf(s.read(st, topic.Partition(1))); !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("%v: read %q", level, got)
		}
		b, err := st.Bounds(topic.First)
		if at, e := st.OffsetAt(topic.First, e.Batches[1].Records[0].Appended); err != nil || e != nil || b.Records != 2 || b.Next != 2 || at != 0 {
			t.Errorf("%v: bounds %+v, %v; the first record is at %d, %v", level, b, err, at, e)
		}
	}
}

// testMixedEntries checks which entries may hold what is durable together with what is not.
func testMixedEntries(t *testing.T, s *suite) {
	st := s.open()
	m, d := s.strategic(st, "memory", 2, storage.Strategy{Level: storage.MemoryOnly}), s.topic(st, "disk", 2, storage.SyncAlways)
	g := s.group(st, "g")
	s.append(st, m.First, numbered(0, 3)...)
	s.append(st, d.First, numbered(0, 3)...)
	batch := func(p storage.PartitionID) storage.Batch {
		return storage.Batch{Partition: p, Records: numbered(9, 10)}
	}
	floor := func(p storage.PartitionID, n int64) storage.Cursor {
		return storage.Cursor{Group: g, Partition: p, Floor: n, Passed: n}
	}
	for what, e := range map[string]storage.Entry{
		"records of both":                       {Batches: []storage.Batch{batch(m.First), batch(d.First)}},
		"records in memory, a cursor on disk":   {Batches: []storage.Batch{batch(m.First)}, Cursors: []storage.Cursor{floor(d.First, 1)}},
		"all of it":                             {Batches: []storage.Batch{batch(d.First), batch(m.First)}, Cursors: []storage.Cursor{floor(m.First, 1), floor(d.First, 1)}},
		"two in memory, and one cursor on disk": {Batches: []storage.Batch{batch(m.First), batch(m.Partition(1))}, Cursors: []storage.Cursor{floor(d.First, 1)}},
	} {
		if _, err := st.Append(t.Context(), &e); !errors.Is(err, storage.ErrMixedDurability) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, p := range []storage.PartitionID{m.First, m.Partition(1), d.First} {
		if b, err := st.Bounds(p); err != nil || b.Records > 3 {
			t.Errorf("bounds %+v, %v after refusals", b, err)
		}
		if c, ok := st.Cursor(g, p); ok {
			t.Errorf("cursor %+v after refusals", c)
		}
	}
	want := storage.Synced
	if s.Volatile {
		want = storage.InMemory
	}
	for i, c := range []struct {
		what string
		e    storage.Entry
		want storage.Durability
	}{
		{"records on disk, a cursor in memory", storage.Entry{Batches: []storage.Batch{batch(d.First)}, Cursors: []storage.Cursor{floor(m.First, 1)}}, want},
		{"cursors of both", storage.Entry{Cursors: []storage.Cursor{floor(m.First, 2), floor(d.First, 2)}}, want},
		{"records and a cursor in memory", storage.Entry{Batches: []storage.Batch{batch(m.Partition(1))}, Cursors: []storage.Cursor{floor(m.First, 3)}}, storage.InMemory},
	} {
		if got, err := st.Append(t.Context(), &c.e); err != nil || got != c.want {
			t.Errorf("%s: durability %d, %v; want %d", c.what, got, err, c.want)
		}
		if cur, ok := st.Cursor(g, m.First); !ok || cur.Floor != int64(i+1) {
			t.Errorf("%s: cursor %+v, %v; want floor %d", c.what, cur, ok, i+1)
		}
	}
	if cur, ok := st.Cursor(g, d.First); !ok || cur.Floor != 2 {
		t.Errorf("cursor %+v, %v on the disk", cur, ok)
	}
}

const memoryBound = 256 << 10

func (s *suite) bounded(st storage.Store, name string, partitions int, rule storage.Overflow) storage.Topic {
	s.Helper()
	return s.strategic(st, name, partitions, storage.Strategy{Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: memoryBound, WhenFull: rule}})
}

// testMemoryRefuses fills a topic in memory to its bound: what does not fit is refused, and the other topics do not mind.
func testMemoryRefuses(t *testing.T, s *suite) {
	st := s.open()
	topic, other := s.bounded(st, "t", 2, storage.RefuseNew), s.topic(st, "other", 1, storage.SyncOS)
	g, slow := s.group(st, "g"), s.group(st, "slow")
	const size = 4 << 10
	record := func() []storage.Record { return []storage.Record{{Value: make([]byte, size)}} }
	before, n := st.Stats().MemoryBytes, 0
	for ; ; n++ {
		_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.Partition(n % 2), Records: record()}}})
		if errors.Is(err, storage.ErrFull) {
			break
		}
		if err != nil || n > memoryBound/size {
			t.Fatalf("after %d records of %d bytes within %d: %v", n, size, memoryBound, err)
		}
	}
	if held := st.Stats().MemoryBytes - before; n < memoryBound/size*9/10 || held < int64(n*size) || held > 2*memoryBound {
		t.Errorf("%d records of %d bytes within %d, %d bytes are held", n, size, memoryBound, held)
	}
	s.append(st, other.First, record()...)
	both := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: numbered(0, 1)}, {Partition: topic.Partition(1), Records: record()}}}
	if _, err := st.Append(t.Context(), both); !errors.Is(err, storage.ErrFull) {
		t.Errorf("an entry of which a part fits: %v", err)
	}
	if b, err := st.Bounds(topic.First); err != nil || b.Records != int64(n+1)/2 || b.First != 0 {
		t.Errorf("bounds %+v, %v; %d records were taken", b, err, (n+1)/2)
	}
	var large []storage.Record
	for range memoryBound/size + 1 {
		large = append(large, record()...)
	}
	_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: large}}})
	wantLimit(t, err, "an entry larger than the bound")
	s.cursor(st, storage.Cursor{Group: slow, Partition: topic.First, Floor: 3, Passed: 3})
	s.cursor(st, storage.Cursor{Group: g, Partition: topic.First, Floor: 20, Passed: 20})
	for range 3 { // what both have done makes room
		s.append(st, topic.Partition(1), record()...)
	}
	if _, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: record()}}}); !errors.Is(err, storage.ErrFull) {
		t.Errorf("what one group has not done was forgotten: %v", err)
	}
	s.wantFirst(st, topic.First, 3, (n+1)/2-3)
	if err := st.DeleteGroup(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	for range 17 {
		s.append(st, topic.First, record()...)
	}
	s.wantFirst(st, topic.First, 20, (n+1)/2-3)
	if got := st.Stats().Trimmed; got != 20 {
		t.Errorf("%d records are counted as removed, want 20", got)
	}
	if err := st.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	s.append(st, other.First, record()...)
	if held := st.Stats().MemoryBytes; held > before+memoryBound/2 && s.Volatile {
		t.Errorf("%d bytes are held after the topic was deleted, %d before it was made", held, before)
	}
}

// testMemoryDropsOldest overflows a topic in memory: what is left are the newest batches of all its partitions together.
func testMemoryDropsOldest(t *testing.T, s *suite) {
	st := s.open()
	topic := s.bounded(st, "t", 3, storage.DropOldest)
	g, rng := s.group(st, "g"), newRand(1)
	type batch struct {
		p       storage.PartitionID
		records []storage.Record
	}
	var all []batch
	var records int
	before := st.Stats().MemoryBytes
	for i := range 400 {
		b := batch{p: topic.Partition(min(2, rng.IntN(5)))}
		for range 1 + rng.IntN(3) {
			b.records = append(b.records, mark{entry: uint64(i)}.record(minValue+rng.IntN(4<<10)))
		}
		s.append(st, b.p, b.records...)
		all, records = append(all, b), records+len(b.records)
		if i == 5 {
			s.cursor(st, storage.Cursor{Group: g, Partition: topic.First})
		}
		if held := st.Stats().MemoryBytes - before; held > 2*memoryBound {
			t.Fatalf("%d bytes are held", held)
		}
	}
	left, kept := 0, map[storage.PartitionID][]storage.Record{}
	for i := range topic.Partitions {
		p := topic.Partition(i)
		kept[p] = s.read(st, p)
		left += len(kept[p])
		b, err := st.Bounds(p)
		if len(kept[p]) > 0 && b.First != kept[p][0].Offset {
			t.Errorf("bounds %+v, %v; the first record is at %d", b, err, kept[p][0].Offset)
		}
	}
	if left == records || left < 50 {
		t.Fatalf("%d of %d records are left", left, records)
	}
	if got := st.Stats().Trimmed; got != int64(records-left) {
		t.Errorf("%d records are counted as removed, %d are", got, records-left)
	}
	for i := len(all) - 1; left > 0; i-- { // the newest, and nothing else
		b := &all[i]
		rs := kept[b.p]
		if len(rs) < len(b.records) {
			t.Fatalf("batch %d of %d is gone, and older ones are there", i, len(all))
		}
		if err := sameRecords(rs[len(rs)-len(b.records):], b.records); err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
		kept[b.p] = rs[:len(rs)-len(b.records)]
		left -= len(b.records)
	}
	if c, ok := st.Cursor(g, topic.First); !ok || c.Floor != 0 {
		t.Errorf("the cursor is %+v, %v: it shows what the group misses", c, ok)
	}
}

// testMemoryRace has appenders, readers and groups at a topic that drops its oldest: readers see every partition in order, gaps only in front, and nothing
// is held that is gone.
func testMemoryRace(t *testing.T, s *suite) {
	st := s.open()
	topic := s.bounded(st, "t", 4, storage.DropOldest)
	g := s.group(st, "g")
	const appenders, each = 4, 400
	var busy, readers sync.WaitGroup
	ended := make(chan struct{})
	for a := range appenders {
		busy.Go(func() {
			for n := range each {
				p := topic.Partition((a + n) % topic.Partitions)
				e := &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: make([]byte, 2<<10)}, {Value: fmt.Append(nil, a, n)}}}}}
				if n%10 == 0 {
					e.Cursors = []storage.Cursor{{Group: g, Partition: p}}
				}
				if _, err := st.Append(t.Context(), e); err != nil {
					t.Errorf("appender %d: %v", a, err)
				}
			}
		})
	}
	for i := range topic.Partitions {
		readers.Go(func() {
			for from := int64(0); ; {
				rs, next, err := st.Read(nil, topic.Partition(i), from, 16<<10)
				for j := range rs {
					if rs[j].Offset < from || j > 0 && rs[j].Offset != rs[j-1].Offset+1 || j == 0 && rs[j].Offset > from && rs[j].Offset%2 != 0 {
						t.Errorf("partition %d: a read from %d has offset %d", i, from, rs[j].Offset)
					}
				}
				if err != nil || next < from {
					t.Errorf("partition %d: next %d after %d, %v", i, next, from, err)
				}
				from = next
				select {
				case <-ended:
					if len(rs) == 0 {
						return
					}
				default:
				}
			}
		})
	}
	busy.Wait()
	close(ended)
	readers.Wait()
	var total int64
	left := int64(0)
	for i := range topic.Partitions {
		b, err := st.Bounds(topic.Partition(i))
		if err != nil {
			t.Fatal(err)
		}
		total += b.Records
		left += int64(len(s.read(st, topic.Partition(i))))
	}
	if total != 2*appenders*each || left+st.Stats().Trimmed != total || left == 0 {
		t.Errorf("%d records, want %d; %d are left, %d were removed", total, 2*appenders*each, left, st.Stats().Trimmed)
	}
}

// testMemoryRemoval checks that topics in memory are trimmed, cleaned and deleted as others are.
func testMemoryRemoval(t *testing.T, s *suite) {
	st := s.open()
	g, holder := s.group(st, "g"), s.group(st, storage.HolderPrefix+"h")
	makeFor := func(g storage.GroupID, name string, rules storage.CleanupPolicy) storage.PartitionID {
		p := s.strategic(st, name, 1, storage.Strategy{Level: storage.MemoryOnly, Cleanup: rules}).First
		for i := range 10 {
			s.append(st, p, numbered(10*i, 10*i+10)...)
		}
		s.cursor(st, storage.Cursor{Group: g, Partition: p, Floor: 44, Passed: 44})
		return p
	}
	make := func(name string, rules storage.CleanupPolicy) storage.PartitionID { return makeFor(g, name, rules) }
	trimmed := make("trimmed", storage.CleanupPolicy{})
	counted := make("counted", storage.CleanupPolicy{MaxRecords: 25})
	held := make("held", storage.CleanupPolicy{MaxRecords: 25, HoldForGroups: true})
	done := make("done", storage.CleanupPolicy{WhenDone: true})
	old := make("old", storage.CleanupPolicy{MaxAge: time.Nanosecond})
	kept := makeFor(holder, "done by a holder alone", storage.CleanupPolicy{WhenDone: true})
	if err := errors.Join(st.Trim(t.Context(), trimmed, 33), st.Clean(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		p     storage.PartitionID
		first int64
	}{{trimmed, 33}, {counted, 75}, {held, 44}, {done, 44}, {old, 100}, {kept, 0}} {
		s.wantFirst(st, want.p, want.first, int(100-want.first))
	}
	if n := st.Stats().Trimmed; n != 33+75+44+44+100 {
		t.Errorf("%d records are counted as removed", n)
	}
	if err := errors.Join(st.DeleteTopic(t.Context(), "held"), st.DeleteGroup(t.Context(), "g")); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: held, Records: numbered(0, 1)}}}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an append to a deleted topic: %v", err)
	}
	for _, p := range []storage.PartitionID{counted, held} {
		if c, ok := st.Cursor(g, p); ok {
			t.Errorf("cursor %+v of a deleted group", c)
		}
	}
}

// testMemoryReopen checks what is left of a topic in memory: the topic, as another incarnation.
func testMemoryReopen(t *testing.T, s *suite) {
	if s.Volatile {
		t.Skip("nothing is left of a store in memory")
	}
	st := s.open()
	m, d := s.bounded(st, "memory", 2, storage.DropOldest), s.topic(st, "disk", 1, storage.SyncAlways)
	g := s.group(st, "g")
	ends := []func(){func() { s.close(st) }}
	if s.Crash != nil {
		ends = append(ends, func() { s.Crash(); _ = st.Close(context.Background()) })
	}
	for i, end := range append(ends, ends...) {
		rs := s.append(st, m.First, numbered(0, 5)...)
		if rs[0].Offset != 0 {
			t.Errorf("life %d: the first offset is %d", i, rs[0].Offset)
		}
		e := &storage.Entry{
			Batches: []storage.Batch{{Partition: d.First, Records: numbered(i, i+1)}},
			Cursors: []storage.Cursor{{Group: g, Partition: m.First, Floor: 5, Passed: 5}, {Group: g, Partition: d.First, Floor: int64(i), Passed: int64(i)}},
		}
		if _, err := st.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		end()
		st = s.open()
		now, ok := st.Topic("memory")
		if !ok || now.Incarnation == m.Incarnation || now.Strategy != m.Strategy || now.First != m.First || now.Partitions != 2 {
			t.Fatalf("life %d: the topic is %+v, was %+v", i, now, m)
		}
		m = now
		s.wantFirst(st, m.First, 0, 0)
		if c, ok := st.Cursor(g, m.First); ok {
			t.Errorf("life %d: the cursor %+v is of records that are gone", i, c)
		}
		if c, ok := st.Cursor(g, d.First); !ok || c.Floor != int64(i) || len(s.read(st, d.First)) != i+1 {
			t.Errorf("life %d: on the disk the cursor is %+v, %v", i, c, ok)
		}
		if r := st.Report(); len(r.Raised) > 0 {
			t.Errorf("life %d: cursors of records that are gone were taken for damage: %+v", i, r)
		}
	}
}

// testAlterRace changes a topic's strategy under appends and reads: nothing is lost, and each append has the durability of one of the strategies.
func testAlterRace(t *testing.T, s *suite) {
	st := s.open()
	topic := s.strategic(st, "t", 3, storage.Strategy{})
	var busy sync.WaitGroup
	ended := make(chan struct{})
	counts := [3]int{}
	for i := range topic.Partitions {
		busy.Go(func() {
			for ; counts[i] < 20_000; counts[i]++ {
				select {
				case <-ended:
					return
				default:
				}
				r := mark{entry: uint64(counts[i])}.record(3 << 10)
				e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.Partition(i), Records: []storage.Record{r}}}}
				d, err := st.Append(t.Context(), e)
				if err != nil || d < storage.Written && !s.Volatile {
					t.Errorf("partition %d: durability %d, %v", i, d, err)
					return
				}
			}
		})
	}
	strategies := []storage.Strategy{
		{Level: storage.DiskOnly, Sync: storage.SyncOS}, {Level: storage.Compressed}, {Sync: storage.SyncInterval(time.Second)},
		{Level: storage.Compressed, Sync: storage.SyncOS, Compression: storage.CompressionPolicy{BlockBytes: 64 << 10}}, {Sync: storage.SyncOS, NoBackup: true},
	}
	var wrong *storage.StrategyError
	for i := range 10 {
		if err := st.AlterTopic(t.Context(), "t", strategies[i%len(strategies)], fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if err := st.AlterTopic(t.Context(), "t", storage.Strategy{Level: storage.MemoryOnly}, nil); !errors.As(err, &wrong) || wrong.Field != "Level" {
			t.Fatalf("to memory: %v", err)
		}
	}
	close(ended)
	busy.Wait()
	if !s.Volatile {
		s.close(st)
		st = s.open()
	}
	for i := range topic.Partitions {
		rs := s.read(st, topic.Partition(i))
		if len(rs) != counts[i] {
			t.Fatalf("partition %d: %d records, %d were appended", i, len(rs), counts[i])
		}
		for n := range rs {
			if m, err := markOf(&rs[n]); err != nil || m.entry != uint64(n) {
				t.Fatalf("partition %d: record %d is of entry %d, %v", i, n, m.entry, err)
			}
		}
	}
	if now, _ := st.Topic("t"); now.Strategy != strategies[9%len(strategies)] {
		t.Errorf("the strategy is %+v", now.Strategy)
	}
}

// testRefusedStrategies checks that what cannot be is refused by a *StrategyError that names the field, and nothing is made.
func testRefusedStrategies(t *testing.T, s *suite) {
	st := s.open()
	s.bounded(st, "memory", 1, storage.RefuseNew)
	var wrong *storage.StrategyError
	for field, strategy := range map[string]storage.Strategy{
		"Level":                {Level: storage.Compressed + 1},
		"Sync":                 {Level: storage.MemoryOnly, Sync: storage.SyncOS},
		"Memory":               {Memory: storage.MemoryPolicy{Bytes: 1}},
		"Memory.Bytes":         {Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: -1}},
		"Memory.WhenFull":      {Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{WhenFull: 7}},
		"Compression":          {Compression: storage.CompressionPolicy{BlockBytes: 1 << 20}},
		"Cleanup.LatestByKey":  {Level: storage.MemoryOnly, Cleanup: storage.CleanupPolicy{LatestByKey: true}},
		"Cleanup.TombstoneAge": {Cleanup: storage.CleanupPolicy{TombstoneAge: 1}},
	} {
		_, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: strategy})
		if !errors.As(err, &wrong) || wrong.Field != field || wrong.Topic != "t" {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := st.AlterTopic(t.Context(), "memory", storage.Strategy{}, nil); !errors.As(err, &wrong) || wrong.Field != "Level" || wrong.Topic != "memory" {
		t.Errorf("from memory to the disk: %v", err)
	}
	larger := storage.Strategy{Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: 2 * memoryBound, WhenFull: storage.DropOldest}}
	if err := st.AlterTopic(t.Context(), "memory", larger, nil); err != nil {
		t.Errorf("another bound: %v", err)
	}
	if len(st.Topics()) != 1 || st.Topics()[0].Strategy != larger {
		t.Errorf("topics are %+v", st.Topics())
	}
}
