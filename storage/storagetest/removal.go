package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
)

// strategic makes a topic with a strategy.
func (s *suite) strategic(st storage.Store, name string, partitions int, strategy storage.Strategy) storage.Topic {
	s.Helper()
	t, err := st.CreateTopic(s.Context(), storage.TopicSpec{Name: name, Partitions: partitions, Strategy: strategy})
	if err != nil {
		s.Fatalf("create topic %q: %v", name, err)
	}
	return t
}

// numbered makes records with the values from..to-1.
func numbered(from, to int) (rs []storage.Record) {
	for i := from; i < to; i++ {
		rs = append(rs, storage.Record{Value: fmt.Append(nil, i)})
	}
	return rs
}

func (s *suite) wantFirst(st storage.Store, p storage.PartitionID, first int64, records int) {
	s.Helper()
	b, err := st.Bounds(p)
	if err != nil || b.First != first {
		s.Fatalf("bounds are %+v, %v, want First %d", b, err, first)
	}
	if rs := s.read(st, p); len(rs) != records || records > 0 && rs[0].Offset < first {
		s.Fatalf("%d records are left, want %d from offset %d on", len(rs), records, first)
	}
	ordinal, err := st.Ordinal(p, first)
	if err != nil || b.Records-ordinal != int64(records) {
		s.Fatalf("%d records were ever appended, %d below the first, %v; %d are left", b.Records, ordinal, err, records)
	}
}

func testTrim(t *testing.T, s *suite) {
	st := s.open()
	topic := s.topic(st, "t", 2, storage.SyncOS)
	p, other := topic.First, topic.Partition(1)
	s.append(st, other, numbered(0, 5)...)
	rs := slices.Concat(s.append(st, p, numbered(0, 10)...), s.append(st, p, numbered(10, 11)...), s.append(st, p, numbered(11, 20)...))
	trim := func(first int64) {
		t.Helper()
		if err := st.Trim(t.Context(), p, first); err != nil {
			t.Fatalf("trim to %d: %v", first, err)
		}
	}
	trim(rs[3].Offset) // within a batch
	s.wantFirst(st, p, rs[3].Offset, 17)
	trim(rs[1].Offset) // behind us
	s.wantFirst(st, p, rs[3].Offset, 17)
	trim(rs[11].Offset)
	s.wantFirst(st, p, rs[11].Offset, 9)
	if at, err := st.OffsetAt(p, time.Unix(0, 0)); err != nil || at != rs[11].Offset {
		t.Errorf("the first record is said to be at %d, %v, want %d", at, err, rs[11].Offset)
	}
	b, _ := st.Bounds(p)
	if err := st.Trim(t.Context(), p, b.Next+1); err == nil {
		t.Error("trimmed beyond the end")
	}
	trim(b.Next)
	s.wantFirst(st, p, b.Next, 0)
	if got, next, err := st.Read(nil, p, 0, 1<<20); len(got) > 0 || err != nil || next != b.Next {
		t.Errorf("reading what is empty: %d records, next %d, %v", len(got), next, err)
	}
	if err := st.Trim(t.Context(), 99, 0); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("trimming no partition: %v", err)
	}
	if n := st.Stats().Trimmed; n != 20 {
		t.Errorf("%d records trimmed, want 20", n)
	}
	if !s.Volatile {
		s.close(st)
		st = s.open()
	}
	s.wantFirst(st, p, b.Next, 0)
	s.wantFirst(st, other, 0, 5)
	if again := s.append(st, p, numbered(20, 21)...); again[0].Offset < b.Next {
		t.Errorf("offset %d is given out again", again[0].Offset)
	}
	s.wantFirst(st, p, b.Next, 1)
}

// testCleanup checks each rule alone; nothing goes that no rule names.
func testCleanup(t *testing.T, s *suite) {
	st := s.open()
	tests := []struct {
		name  string
		rules storage.CleanupPolicy
		floor int // of the group, of 100; -1: there is none
		hold  int // the same, of the holder
		left  int // of 100 records in batches of 10
	}{
		{"nothing", storage.CleanupPolicy{}, 50, -1, 100},
		{"records", storage.CleanupPolicy{MaxRecords: 25}, -1, -1, 25},
		{"records, more than there are", storage.CleanupPolicy{MaxRecords: 101}, -1, -1, 100},
		{"done", storage.CleanupPolicy{WhenDone: true}, 44, -1, 56},
		{"done by nobody", storage.CleanupPolicy{WhenDone: true}, -1, -1, 100},
		{"done by a holder alone", storage.CleanupPolicy{WhenDone: true}, -1, 44, 100},
		{"done, and a holder is behind", storage.CleanupPolicy{WhenDone: true}, 44, 22, 78},
		{"done, and a holder is ahead", storage.CleanupPolicy{WhenDone: true}, 44, 88, 56},
		{"all done", storage.CleanupPolicy{WhenDone: true}, 100, -1, 0},
		{"held", storage.CleanupPolicy{MaxRecords: 25, HoldForGroups: true}, 44, -1, 56},
		{"held by a holder", storage.CleanupPolicy{MaxRecords: 25, HoldForGroups: true}, -1, 44, 56},
		{"held by nobody", storage.CleanupPolicy{MaxRecords: 25, HoldForGroups: true}, -1, -1, 25},
		{"not held", storage.CleanupPolicy{MaxRecords: 25}, 44, 33, 25},
		{"young", storage.CleanupPolicy{MaxAge: time.Hour}, -1, -1, 100},
	}
	g, holder := s.group(st, "g"), s.group(st, storage.HolderPrefix+"h")
	for _, test := range tests {
		topic := s.strategic(st, test.name, 1, storage.Strategy{Sync: storage.SyncOS, Cleanup: test.rules})
		var rs []storage.Record
		for i := range 10 {
			rs = append(rs, s.append(st, topic.First, numbered(10*i, 10*i+10)...)...)
		}
		for group, at := range map[storage.GroupID]int{g: test.floor, holder: test.hold} {
			if at < 0 {
				continue
			}
			floor := rs[99].Offset + 1
			if at < 100 {
				floor = rs[at].Offset
			}
			s.cursor(st, storage.Cursor{Group: group, Partition: topic.First, Floor: floor, Passed: int64(at)})
		}
		if err := st.Clean(t.Context()); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := s.read(st, topic.First); len(got) != test.left || test.left > 0 && string(got[0].Value) != fmt.Sprint(100-test.left) {
			t.Errorf("%s: %d records are left, want %d", test.name, len(got), test.left)
		}
	}
	bytes := s.strategic(st, "bytes", 1, storage.Strategy{Sync: storage.SyncOS, Cleanup: storage.CleanupPolicy{MaxBytes: 256 << 10}})
	for range 100 {
		s.append(st, bytes.First, storage.Record{Value: make([]byte, 10<<10)})
		if err := st.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.read(st, bytes.First)); n < 10 || n > 40 {
		t.Errorf("%d records of 10 KiB are left of 256 KiB", n)
	}
}

func (s *suite) cursor(st storage.Store, c storage.Cursor) {
	s.Helper()
	if _, err := st.Append(s.Context(), &storage.Entry{Cursors: []storage.Cursor{c}}); err != nil {
		s.Fatalf("cursor %+v: %v", c, err)
	}
}

// testAge lets records grow old, in batches a minute apart.
func testAge(t *testing.T, s *suite) {
	synctest.Test(t, func(t *testing.T) {
		st, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close(t.Context())
		in := &suite{T: t, Harness: s.Harness}
		topic := in.strategic(st, "t", 1, storage.Strategy{Sync: storage.SyncOS, Cleanup: storage.CleanupPolicy{MaxAge: time.Hour}})
		for i := range 120 {
			in.append(st, topic.First, numbered(2*i, 2*i+2)...)
			time.Sleep(time.Minute)
			if err := st.Clean(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, want := len(in.read(st, topic.First)), 2*min(i+1, 60); n < want || n > want+2 {
				t.Fatalf("after %d minutes %d records are left, want %d", i+1, n, want)
			}
		}
		time.Sleep(2 * time.Hour)
		if err := st.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(in.read(st, topic.First)); n > 0 {
			t.Errorf("%d records are older than allowed", n)
		}
	})
}

func testAlterTopic(t *testing.T, s *suite) {
	st := s.open()
	topic := s.strategic(st, "t", 2, storage.Strategy{Sync: storage.SyncOS})
	s.append(st, topic.First, numbered(0, 10)...)
	want := storage.Strategy{Level: storage.DiskOnly, Cleanup: storage.CleanupPolicy{MaxRecords: 3}, NoBackup: true}
	if err := st.AlterTopic(t.Context(), "t", want, []byte("other")); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		got, ok := st.Topic("t")
		if !ok || got.Strategy != want || string(got.Settings) != "other" || got.First != topic.First || got.Incarnation != topic.Incarnation || got.Partitions != 2 {
			t.Fatalf("the topic is %+v", got)
		}
	}
	check()
	if !s.Volatile {
		e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: numbered(10, 11)}}}
		if d, err := st.Append(t.Context(), e); err != nil || d != storage.Synced {
			t.Errorf("an append after the change is %v, %v, want synced", d, err)
		}
		s.close(st)
		st = s.open()
		check()
	}
	if err := st.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.read(st, topic.First)); n != 3 {
		t.Errorf("%d records are left, want 3", n)
	}
	var wrong *storage.StrategyError
	for what, strategy := range map[string]storage.Strategy{
		"to memory":         {Level: storage.MemoryOnly},
		"a negative bound":  {Cleanup: storage.CleanupPolicy{MaxBytes: -1}},
		"no such level":     {Level: 9},
		"both rules of use": {Cleanup: storage.CleanupPolicy{LatestByKey: true, WhenDone: true}},
	} {
		if err := st.AlterTopic(t.Context(), "t", strategy, nil); !errors.As(err, &wrong) || wrong.Topic != "t" {
			t.Errorf("%s: %v, want *StrategyError that names the topic", what, err)
		}
	}
	check()
	if err := st.AlterTopic(t.Context(), "none", want, nil); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("no topic: %v", err)
	}
	wantLimit(t, st.AlterTopic(t.Context(), "t", want, make([]byte, storage.MaxSettings+1)), "large settings")
}

func testDeleteTopic(t *testing.T, s *suite) {
	st := s.open()
	old, kept := s.topic(st, "old", 3, storage.SyncOS), s.topic(st, "kept", 2, storage.SyncAlways)
	g := s.group(st, "g")
	for i := range 3 {
		rs := s.append(st, old.Partition(i), numbered(0, 50)...)
		s.cursor(st, storage.Cursor{Group: g, Partition: old.Partition(i), Floor: rs[9].Offset, Passed: 9})
	}
	rs := s.append(st, kept.First, numbered(0, 5)...)
	s.cursor(st, storage.Cursor{Group: g, Partition: kept.First, Floor: rs[2].Offset, Passed: 2})
	if err := st.DeleteTopic(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if _, ok := st.Topic("old"); ok || len(st.Topics()) != 1 {
			t.Fatalf("topics are %v", st.Topics())
		}
		for i := range 3 {
			p := old.Partition(i)
			_, _, readErr := st.Read(nil, p, 0, 100)
			_, appendErr := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: numbered(0, 1)}}})
			_, cursorErr := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{{Group: g, Partition: p}}})
			for _, err := range []error{readErr, appendErr, cursorErr} {
				if !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("partition %d of a deleted topic: %v", p, err)
				}
			}
			if c, ok := st.Cursor(g, p); ok {
				t.Errorf("cursor %+v of a deleted topic", c)
			}
		}
		if c, ok := st.Cursor(g, kept.First); !ok || c.Passed != 2 || len(s.read(st, kept.First)) != 5 {
			t.Errorf("the other topic has cursor %+v, %v", c, ok)
		}
	}
	check()
	if err := st.DeleteTopic(t.Context(), "old"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("deleted again: %v", err)
	}
	if !s.Volatile {
		s.close(st)
		st = s.open()
		check()
	}
	again := s.topic(st, "old", 1, storage.SyncOS)
	if again.First < kept.Partition(2) || again.Incarnation == old.Incarnation {
		t.Errorf("made anew it is %+v, was %+v", again, old)
	}
	s.append(st, again.First, numbered(0, 1)...)
	s.wantFirst(st, again.First, 0, 1)
}

// testDeleteRace deletes a topic under appends and reads: each ends well or with ErrNotFound.
func testDeleteRace(t *testing.T, s *suite) {
	st := s.open()
	g := s.group(st, "g")
	for round := range 5 {
		topic := s.topic(st, "t", 4, storage.SyncOS)
		var busy sync.WaitGroup
		for i := range 4 {
			busy.Go(func() {
				p := topic.Partition(i)
				for n := 0; ; n++ {
					_, err := st.Append(t.Context(), &storage.Entry{
						Batches: []storage.Batch{{Partition: p, Records: numbered(n, n+3)}},
						Cursors: []storage.Cursor{{Group: g, Partition: p, Floor: 0}},
					})
					if err == nil {
						_, _, err = st.Read(nil, p, int64(n), 1000)
					}
					if err != nil {
						if !errors.Is(err, storage.ErrNotFound) {
							t.Errorf("round %d, partition %d: %v", round, p, err)
						}
						return
					}
				}
			})
		}
		if err := st.DeleteTopic(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		busy.Wait()
	}
	if !s.Volatile {
		s.close(st)
		st = s.open()
	}
	if len(st.Topics()) > 0 {
		t.Errorf("topics are left: %v", st.Topics())
	}
}

func testDeleteGroup(t *testing.T, s *suite) {
	st := s.open()
	topic := s.topic(st, "t", 1, storage.SyncAlways)
	g, other := s.group(st, "g"), s.group(st, "other")
	s.append(st, topic.First, numbered(0, 5)...)
	for _, id := range []storage.GroupID{g, other} {
		s.cursor(st, storage.Cursor{Group: id, Partition: topic.First, Floor: 1, Passed: 1})
	}
	if err := st.DeleteGroup(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	if !s.Volatile {
		s.close(st)
		st = s.open()
	}
	if gs := st.Groups(); len(gs) != 1 || gs[0].Name != "other" {
		t.Errorf("groups are %v", gs)
	}
	if _, ok := st.Cursor(g, topic.First); ok {
		t.Error("the cursor of a deleted group is there")
	}
	if _, ok := st.Cursor(other, topic.First); !ok {
		t.Error("the other group's cursor is gone")
	}
	_, err := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{{Group: g, Partition: topic.First}}})
	if again := st.DeleteGroup(t.Context(), "g"); !errors.Is(err, storage.ErrNotFound) || !errors.Is(again, storage.ErrNotFound) {
		t.Errorf("a cursor of a deleted group: %v; deleted again: %v", err, again)
	}
	if id := s.group(st, "g"); id == g || id == other {
		t.Errorf("made anew, the group has ID %d again", id)
	}
}
