package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 4)) }

func testRoundTrip(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncAlways).First
	headers := storage.AppendHeader(storage.AppendHeader(nil, "k", []byte("v")), "", nil)
	records := []storage.Record{
		{},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("key"), Value: []byte("value"), Headers: headers, Timestamp: time.Unix(1, 2)},
		{Key: make([]byte, 1000), Value: make([]byte, 100_000)},
		{Timestamp: time.Unix(0, 0)},
		{Timestamp: time.Date(1678, 1, 1, 0, 0, 0, 1, time.UTC)},
		{Timestamp: time.Date(2261, 12, 31, 23, 59, 59, 999_999_999, time.UTC)},
		{Value: []byte{0xff, 0}, Timestamp: time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.FixedZone("x", 3600))},
	}
	for i := range records {
		s.append(st, p, records[i])
	}
	before := time.Now()
	stored := s.append(st, p, slices.Clone(records)...)
	check := func() {
		t.Helper()
		got := s.read(st, p)
		if len(got) != 2*len(records) {
			t.Fatalf("read %d records, appended %d", len(got), 2*len(records))
		}
		for i := range got {
			sameRecord(t, &got[i], &records[i%len(records)])
			if j := i - len(records); j >= 0 && (got[i].Offset != stored[j].Offset || !got[i].Appended.Equal(stored[j].Appended)) {
				t.Errorf("read %d, appended %v; the append said %d, %v", got[i].Offset, got[i].Appended, stored[j].Offset, stored[j].Appended)
			}
		}
		if at := got[len(got)-1].Appended; at.Before(before.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
			t.Errorf("appended at %v, it is %v", at, time.Now())
		}
	}
	check()
	if !s.Volatile {
		s.close(st)
		st = s.open()
		check()
	}
}

func sameRecord(t *testing.T, got, want *storage.Record) {
	t.Helper()
	switch {
	case !bytes.Equal(got.Key, want.Key) || (got.Key == nil) != (want.Key == nil):
		t.Errorf("offset %d: key %#v, want %#v", got.Offset, got.Key, want.Key)
	case !bytes.Equal(got.Value, want.Value):
		t.Errorf("offset %d: a value of %d bytes, want %d", got.Offset, len(got.Value), len(want.Value))
	case !bytes.Equal(got.Headers, want.Headers) || want.Headers == nil && got.Headers != nil:
		t.Errorf("offset %d: headers %q, want %q", got.Offset, got.Headers, want.Headers)
	case !got.Timestamp.Equal(want.Timestamp) || got.Timestamp.IsZero() != want.Timestamp.IsZero():
		t.Errorf("offset %d: timestamp %v, want %v", got.Offset, got.Timestamp, want.Timestamp)
	}
}

func testRead(t *testing.T, s *suite) {
	st := s.open()
	topic := s.topic(st, "t", 2, storage.SyncAlways)
	p := topic.First
	checkEmpty := func(from int64) {
		t.Helper()
		rs, next, err := st.Read(nil, p, from, 100)
		if len(rs) != 0 || next < from || err != nil {
			t.Errorf("read at the end, from %d: %d records, next %d, %v", from, len(rs), next, err)
		}
	}
	checkEmpty(0)
	checkEmpty(1000)
	if b, err := st.Bounds(p); err != nil || b.Records != 0 || b.First > b.Next {
		t.Errorf("bounds of an empty partition: %+v, %v", b, err)
	}
	var all []storage.Record
	for i := range 20 {
		all = append(all, s.append(st, p, values(fmt.Sprint(i, "a"), fmt.Sprint(i, "b"), fmt.Sprint(i, "c"))...)...)
	}
	for i := range all {
		if i > 0 && all[i].Offset <= all[i-1].Offset {
			t.Errorf("offset %d after %d", all[i].Offset, all[i-1].Offset)
		}
		rs, next, err := st.Read(slices.Clone(all[:1]), p, all[i].Offset, 1)
		if err != nil || len(rs) < 2 || string(rs[0].Value) != "0a" || string(rs[1].Value) != string(all[i].Value) || rs[1].Offset != all[i].Offset {
			t.Errorf("read from %d: %q, %v", all[i].Offset, valuesOf(rs), err)
			continue
		}
		if last := rs[len(rs)-1].Offset; next <= last {
			t.Errorf("read from %d ends with %d, next is %d", all[i].Offset, last, next)
		}
		if n, err := st.Ordinal(p, all[i].Offset); n != int64(i) || err != nil {
			t.Errorf("ordinal of %d is %d, %v; want %d", all[i].Offset, n, err, i)
		}
	}
	b, err := st.Bounds(p)
	if last := all[len(all)-1].Offset; err != nil || b.Next <= last || b.Records != int64(len(all)) || b.First > all[0].Offset {
		t.Errorf("bounds %+v, %v; offsets %d to %d, %d records", b, err, all[0].Offset, last, len(all))
	}
	checkEmpty(b.Next)
	checkEmpty(b.Next + 1<<40)
	if n, err := st.Ordinal(p, b.Next); n != int64(len(all)) || err != nil {
		t.Errorf("ordinal of the end: %d, %v", n, err)
	}
	if rs := s.read(st, topic.Partition(1)); len(rs) > 0 {
		t.Errorf("%d records in the other partition", len(rs))
	}
}

func testReadSizes(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncOS).First
	var want []string
	rng := newRand(7)
	for range 200 {
		v := string(mark{entry: uint64(len(want))}.value(rng.IntN(4000)))
		s.append(st, p, values(v)...)
		want = append(want, v)
	}
	for _, size := range []int{math.MinInt, 0, 1, 5000, 1 << 20, math.MaxInt} {
		var all []storage.Record
		reads := 0
		for from := int64(0); len(all) < len(want); reads++ {
			had := len(all)
			var err error
			if all, from, err = st.Read(all, p, from, size); err != nil || len(all) == had {
				t.Fatalf("maxBytes %d: %d of %d records, then %v", size, len(all), len(want), err)
			}
			bytes := 0
			for i := range all[had:] {
				bytes += all[had+i].Size()
			}
			if bytes > size && len(all)-had > 1 {
				t.Fatalf("maxBytes %d: read %d records of %d bytes", size, len(all)-had, bytes)
			}
		}
		if !slices.Equal(valuesOf(all), want) {
			t.Errorf("maxBytes %d: other records than were appended", size)
		}
		if size <= 1 && reads != len(want) {
			t.Errorf("maxBytes %d: %d reads for %d records", size, reads, len(want))
		}
	}
}

// testPrivateBytes scribbles over everything that was handed in or out.
func testPrivateBytes(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncAlways).First
	headers := storage.AppendHeader(nil, "header", []byte("content"))
	fill := func(b []byte) {
		for i := range b[:cap(b)] {
			b[:cap(b)][i] = '!'
		}
	}
	scribble := func(rs []storage.Record) {
		for i := range rs {
			fill(rs[i].Key)
			fill(rs[i].Value)
			fill(rs[i].Headers)
		}
	}
	want := storage.Record{Key: []byte("key"), Value: []byte("value"), Headers: slices.Clone(headers)}
	for range 50 {
		rs := []storage.Record{{Key: []byte("key"), Value: []byte("value"), Headers: slices.Clone(headers)}}
		s.append(st, p, rs...)
		scribble(rs)
	}
	check := func() {
		for range 3 {
			rs := s.read(st, p)
			if len(rs) != 50 {
				t.Fatalf("%d records", len(rs))
			}
			for i := range rs {
				sameRecord(t, &rs[i], &want)
			}
			scribble(rs)
		}
	}
	check()
	if !s.Volatile {
		s.close(st)
		st = s.open()
		check()
	}
}

// testBorrowedBytes reads into memory of its own, over and over, from the store's memory and from its disk: what was read is there, however
// small the memory was at first, it is part of that memory, and nothing of the store's is.
func testBorrowedBytes(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncAlways).First
	var want []string
	for i := range 60 {
		v := string(mark{entry: uint64(i)}.value(1 + i*i*3))
		s.append(st, p, values(v)...)
		want = append(want, v)
	}
	check := func() {
		t.Helper()
		buf := make([]byte, 100)
		var rs []storage.Record
		for _, size := range []int{0, 3000, 1 << 20} {
			n := 0
			for from := int64(0); n < len(want); n += len(rs) {
				var err error
				if rs, from, err = st.ReadInto(rs[:0], &buf, p, from, size); err != nil || len(rs) == 0 {
					t.Fatalf("%d records, then %d, %v", n, len(rs), err)
				}
				if !slices.Equal(valuesOf(rs), want[n:n+len(rs)]) {
					t.Fatalf("maxBytes %d: the records behind the first %d are others", size, n)
				}
				for i := range buf { // as far as it was used
					buf[i] = '!'
				}
				if v := rs[0].Value; strings.Trim(string(v), "!") != "" {
					t.Fatalf("a value of %d bytes is not part of the memory that it was read into", len(v))
				}
			}
		}
	}
	check()
	if !s.Volatile {
		s.close(st)
		st = s.open()
		check()
	}
}

func testUnknown(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncAlways).First
	g := s.group(st, "g")
	for _, unknown := range []storage.PartitionID{p + 1, math.MaxUint32} {
		_, _, readErr := st.Read(nil, unknown, 0, 1)
		_, boundsErr := st.Bounds(unknown)
		_, offsetErr := st.OffsetAt(unknown, time.Now())
		_, ordinalErr := st.Ordinal(unknown, 0)
		_, watchErr := st.Watch(unknown, storage.NewWatcher())
		_, appendErr := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: unknown, Records: values("x")}}})
		_, cursorErr := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{{Group: g, Partition: unknown}}})
		for i, err := range []error{readErr, boundsErr, offsetErr, ordinalErr, watchErr, appendErr, cursorErr} {
			if !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("call %d on partition %d: %v, want ErrNotFound", i, unknown, err)
			}
		}
		if _, ok := st.Cursor(g, unknown); ok {
			t.Errorf("a cursor on partition %d", unknown)
		}
	}
	if _, err := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{{Group: g + 1, Partition: p}}}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a cursor of an unknown group: %v, want ErrNotFound", err)
	}
	if _, ok := st.Cursor(g, p); ok {
		t.Error("a cursor that was never set")
	}
}

func testTimes(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncOS).First
	if o, err := st.OffsetAt(p, time.Now()); err != nil || o != 0 {
		t.Errorf("offset at a time in an empty partition: %d, %v", o, err)
	}
	for i := range 300 {
		s.append(st, p, values(fmt.Sprint(i), fmt.Sprint(i))...)
	}
	check := func() {
		t.Helper()
		rs := s.read(st, p)
		b, err := st.Bounds(p)
		if err != nil {
			t.Fatal(err)
		}
		first := map[int64]int64{}
		for i := range rs {
			at := rs[i].Appended
			if i > 0 && at.Before(rs[i-1].Appended) {
				t.Errorf("offset %d was appended at %v, before its predecessor", rs[i].Offset, at)
			}
			if _, ok := first[at.UnixNano()]; !ok {
				first[at.UnixNano()] = rs[i].Offset
			}
			if o, err := st.OffsetAt(p, at); err != nil || o != first[at.UnixNano()] {
				t.Errorf("offset at %v is %d, %v; want %d", at, o, err, first[at.UnixNano()])
			}
		}
		for _, c := range []struct {
			at   time.Time
			want int64
		}{{time.Time{}, rs[0].Offset}, {rs[0].Appended.Add(-time.Hour), rs[0].Offset}, {time.Now().Add(time.Hour), b.Next}} {
			if o, err := st.OffsetAt(p, c.at); err != nil || o != c.want {
				t.Errorf("offset at %v is %d, %v; want %d", c.at, o, err, c.want)
			}
		}
	}
	check()
	if !s.Volatile {
		s.close(st)
		st = s.open()
		check()
	}
}
