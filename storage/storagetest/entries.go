package storagetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
)

func testEntryIsAtomic(t *testing.T, s *suite) {
	st := s.open()
	a, b := s.topic(st, "a", 2, storage.SyncAlways), s.topic(st, "b", 1, storage.SyncOS)
	g := s.group(st, "g")
	unknown := b.First + 100
	big := storage.Record{Value: make([]byte, storage.MaxRecord+1)}
	for what, e := range map[string]*storage.Entry{
		"unknown partition":      {Batches: []storage.Batch{{Partition: a.First, Records: values("x")}, {Partition: unknown, Records: values("x")}}},
		"record too large":       {Batches: []storage.Batch{{Partition: a.First, Records: values("x")}, {Partition: b.First, Records: []storage.Record{big}}}},
		"two batches of one":     {Batches: []storage.Batch{{Partition: a.First, Records: values("x")}, {Partition: a.First, Records: values("y")}}},
		"cursor of unknown":      {Batches: []storage.Batch{{Partition: a.First, Records: values("x")}}, Cursors: []storage.Cursor{{Group: g + 9, Partition: a.First}}},
		"cursor beyond the data": {Batches: []storage.Batch{{Partition: a.First, Records: values("x")}}, Cursors: []storage.Cursor{{Group: g, Partition: a.First, Floor: 77}}},
	} {
		if _, err := st.Append(t.Context(), e); err == nil {
			t.Errorf("%s: stored", what)
		}
	}
	for _, p := range []storage.PartitionID{a.First, a.Partition(1), b.First} {
		if rs := s.read(st, p); len(rs) > 0 {
			t.Errorf("partition %d holds %q of entries that were refused", p, valuesOf(rs))
		}
	}
	e := &storage.Entry{
		Batches: []storage.Batch{{Partition: b.First, Records: values("1", "2")}, {Partition: a.Partition(1)}, {Partition: a.First, Records: values("3")}},
		Cursors: []storage.Cursor{{Group: g, Partition: b.First}},
	}
	if _, err := st.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if got := valuesOf(s.read(st, b.First)); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("read %q", got)
		}
		if got := valuesOf(s.read(st, a.First)); !slices.Equal(got, []string{"3"}) {
			t.Errorf("read %q", got)
		}
		if _, ok := st.Cursor(g, b.First); !ok {
			t.Error("the cursor is missing")
		}
	}
	check()
	if got := s.read(st, b.First); got[1].Offset != e.Batches[0].Records[1].Offset {
		t.Errorf("offset %d, the entry says %d", got[1].Offset, e.Batches[0].Records[1].Offset)
	}
	if _, err := st.Append(t.Context(), &storage.Entry{}); err != nil {
		t.Errorf("an empty entry: %v", err)
	}
	if !s.Volatile {
		s.close(st)
		st = s.open()
		check()
	}
}

func testDurability(t *testing.T, s *suite) {
	st := s.open()
	always := s.topic(st, "always", 1, storage.SyncAlways).First
	interval := s.topic(st, "interval", 1, storage.SyncInterval(time.Hour)).First
	os := s.topic(st, "os", 1, storage.SyncOS).First
	g := s.group(st, "g")
	batch := func(p storage.PartitionID) storage.Batch { return storage.Batch{Partition: p, Records: values("x")} }
	for _, c := range []struct {
		what string
		e    storage.Entry
		want storage.Durability
	}{
		{"always", storage.Entry{Batches: []storage.Batch{batch(always)}}, storage.Synced},
		{"interval", storage.Entry{Batches: []storage.Batch{batch(interval)}}, storage.Written},
		{"os", storage.Entry{Batches: []storage.Batch{batch(os)}}, storage.Written},
		{"mixed", storage.Entry{Batches: []storage.Batch{batch(os), batch(always)}}, storage.Synced},
		{"cursor, always", storage.Entry{Cursors: []storage.Cursor{{Group: g, Partition: always}}}, storage.Synced},
		{"cursor, os", storage.Entry{Cursors: []storage.Cursor{{Group: g, Partition: os}}}, storage.Written},
		{"records os, cursor always", storage.Entry{Batches: []storage.Batch{batch(os)}, Cursors: []storage.Cursor{{Group: g, Partition: always}}}, storage.Synced},
	} {
		want := c.want
		if s.Volatile {
			want = storage.InMemory
		}
		if d, err := st.Append(t.Context(), &c.e); d != want || err != nil {
			t.Errorf("%s: durability %d, %v; want %d", c.what, d, err, want)
		}
	}
}

func testLimits(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncAlways).First
	half := make([]byte, storage.MaxRecord/2+1)
	for what, rs := range map[string][]storage.Record{
		"value":          {{Value: make([]byte, storage.MaxRecord+1)}},
		"100 MiB":        {{Value: make([]byte, 100<<20)}},
		"key":            {{Key: make([]byte, storage.MaxRecord+1)}},
		"headers":        {{Headers: storage.AppendHeader(nil, "k", make([]byte, storage.MaxRecord))}},
		"key and value":  {{Key: half, Value: half}},
		"entry":          {{Value: half}, {Value: half}, {Value: half}, {Value: half}},
		"second of many": {{}, {Value: make([]byte, storage.MaxRecord+1)}, {}},
	} {
		_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: rs}}})
		wantLimit(t, err, what)
	}
	if b, err := st.Bounds(p); err != nil || b.Records != 0 {
		t.Errorf("bounds %+v, %v after refusals only", b, err)
	}
}

func testLargestRecord(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncOS).First
	var want []string
	for _, n := range []int{storage.MaxRecord, 1, storage.MaxRecord - 100} {
		v := mark{entry: uint64(n)}.value(n)
		s.append(st, p, storage.Record{Value: v})
		want = append(want, string(v))
	}
	twin := mark{entry: 5}.value(storage.MaxEntry/2 - 4096)
	s.append(st, p, storage.Record{Value: twin}, storage.Record{Value: twin})
	want = append(want, string(twin), string(twin))
	check := func() {
		t.Helper()
		if got := valuesOf(s.read(st, p)); !slices.Equal(got, want) {
			t.Errorf("read other records than were appended: %d", len(got))
		}
	}
	check()
	if !s.Volatile {
		s.close(st)
		st = s.open()
		check()
	}
}

// testContexts checks that an append whose context ended tells the truth about what it did.
func testContexts(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncAlways).First
	want := int64(0)
	for i := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		done, x := make(chan error, 1), numbered(i, i+1)
		go func() {
			_, err := st.Append(ctx, &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: x}}})
			done <- err
		}()
		cancel()
		err := <-done
		b, boundsErr := st.Bounds(p)
		if boundsErr != nil {
			t.Fatal(boundsErr)
		}
		switch {
		case err == nil:
			want++
		case errors.Is(err, storage.ErrIndeterminate) && errors.Is(err, context.Canceled):
			s.append(st, p, values("y")...) // entries commit in their order: what came before is decided now
			if b, boundsErr = st.Bounds(p); boundsErr != nil || b.Records-want > 2 {
				t.Fatalf("bounds %+v, %v; want at most %d records", b, boundsErr, want+2)
			}
			if rs, _, err := st.Read(nil, p, x[0].Offset, 1); err != nil || bytes.Equal(rs[0].Value, x[0].Value) != (b.Records == want+2) {
				t.Errorf("what may be stored would be at %d; there is %+v, %v, of %d records that were %d", x[0].Offset, rs, err, b.Records, want)
			}
			want = b.Records
		case !errors.Is(err, storage.ErrFull) || !errors.Is(err, context.Canceled):
			t.Errorf("a cancelled append: %v", err)
		}
		if b.Records != want {
			t.Fatalf("%d records, want %d, after %v", b.Records, want, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := st.Append(ended, &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: values("x")}}}); !errors.Is(err, context.Canceled) {
			t.Errorf("an append with a context that had ended: %v", err)
		}
		if _, err := st.CreateTopic(ended, storage.TopicSpec{Name: "other", Partitions: 1}); !errors.Is(err, context.Canceled) && !errors.Is(err, storage.ErrExists) {
			t.Errorf("a topic made with a context that had ended: %v", err)
		}
	}
	s.append(st, p, values("z")...)
}
