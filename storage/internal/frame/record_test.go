package frame_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"pgregory.net/rapid"
)

// encode returns the body of a batch of records, and the header fields that it needs.
func encode(base int64, appended int64, records []storage.Record) (frame.Header, []byte) {
	var body []byte
	for i := range records {
		body = frame.AppendRecord(body, &records[i])
	}
	n := uint32(len(records))
	return frame.Header{Kind: frame.Batch, Base: base, Span: n, Count: n, Time: appended}, body
}

// sameRecord compares what a record keeps: nil and empty keys are apart, values and headers are not.
func sameRecord(a, b *storage.Record) bool {
	return a.Offset == b.Offset && a.Appended.Equal(b.Appended) &&
		a.Timestamp.Equal(b.Timestamp) && a.Timestamp.IsZero() == b.Timestamp.IsZero() &&
		(a.Key == nil) == (b.Key == nil) && bytes.Equal(a.Key, b.Key) &&
		bytes.Equal(a.Value, b.Value) && bytes.Equal(a.Headers, b.Headers)
}

func drawRecord(t *rapid.T) storage.Record {
	blob := rapid.SliceOfN(rapid.Byte(), 0, 300)
	r := storage.Record{Value: blob.Draw(t, "value")}
	if rapid.Bool().Draw(t, "hasKey") {
		r.Key = append([]byte{}, blob.Draw(t, "key")...)
	}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		r.Headers = storage.AppendHeader(r.Headers, rapid.String().Draw(t, "name"), blob.Draw(t, "headerValue"))
	}
	if rapid.Bool().Draw(t, "hasTimestamp") {
		r.Timestamp = time.Unix(0, rapid.Int64().Draw(t, "timestamp"))
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 20).Draw(t, "records")
		base := rapid.Int64Range(0, math.MaxInt64-int64(len(want))).Draw(t, "base")
		appended := rapid.Int64().Draw(t, "appended")
		h, body := encode(base, appended, want)
		bound, exact := 0, 0
		for i := range want {
			want[i].Offset, want[i].Appended = base+int64(i), time.Unix(0, appended)
			bound += frame.RecordSize(&want[i])
			exact += frame.EncodedSize(&want[i])
		}
		if exact != len(body) {
			t.Fatalf("EncodedSize says %d bytes for records that take %d", exact, len(body))
		}
		if len(body) > bound {
			t.Fatalf("%d bytes for records, RecordSize bounds them by %d", len(body), bound)
		}
		from := rapid.Int64Range(max(base-2, 0), h.Next()-1).Draw(t, "from")
		before := storage.Record{Offset: -7}
		got, err := frame.DecodeRecords([]storage.Record{before}, &h, body, from)
		if err != nil {
			t.Fatalf("DecodeRecords: %v", err)
		}
		if !sameRecord(&got[0], &before) {
			t.Fatalf("what stood in dst became %+v", got[0])
		}
		want, got = want[max(from-base, 0):], got[1:]
		if len(got) != len(want) {
			t.Fatalf("%d records from offset %d on, want %d", len(got), from, len(want))
		}
		for i := range want {
			if !sameRecord(&got[i], &want[i]) {
				t.Fatalf("record %d: got %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

func TestRecordTimestamps(t *testing.T) {
	first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	tests := []struct {
		name     string
		in, want time.Time
	}{
		{"none", time.Time{}, time.Time{}},
		{"none, elsewhere", time.Time{}.In(time.FixedZone("", 3600)), time.Time{}},
		{"1970", time.Unix(0, 0), time.Unix(0, 0)},
		{"a nanosecond before", time.Unix(0, -1), time.Unix(0, -1)},
		{"1678", time.Date(1678, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(1678, 1, 1, 0, 0, 0, 1, time.UTC)},
		{"2261", time.Date(2261, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(2261, 12, 31, 23, 59, 59, 999999999, time.UTC)},
		{"first", first, first},
		{"last", last, last},
		{"before the first", first.Add(-time.Nanosecond), first},
		{"behind the last", last.Add(time.Nanosecond), last},
		{"year 1", time.Time{}.Add(time.Nanosecond), first},
		{"year 1000", time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC), first},
		{"year 9999", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), last},
		{"furthest", time.Unix(math.MaxInt64, 0), last},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, body := encode(0, 0, []storage.Record{{Timestamp: test.in}})
			got, err := frame.DecodeRecords(nil, &h, body, 0)
			if err != nil {
				t.Fatal(err)
			}
			if ts := got[0].Timestamp; !ts.Equal(test.want) || ts.IsZero() != test.want.IsZero() {
				t.Errorf("%v reads back as %v, want %v", test.in, ts, test.want)
			}
		})
	}
}

// batch is a header of n records on span offsets from 100 on.
func batch(n, span uint32) frame.Header {
	return frame.Header{Kind: frame.Batch, Base: 100, Span: span, Count: n}
}

func TestRecordBodies(t *testing.T) {
	tests := []struct {
		name string
		h    frame.Header
		body string
		want []int64 // offsets; nil for ErrField
	}{
		{"one", batch(1, 1), "\x00\x01v", []int64{100}},
		{"empty value", batch(1, 1), "\x00\x00", []int64{100}},
		{"two", batch(2, 2), "\x00\x00\x00\x00", []int64{100, 101}},
		{"offsets left out in front", batch(1, 3), "\x08\x02\x00", []int64{102}},
		{"offsets left out between", batch(2, 9), "\x00\x00\x08\x05\x00", []int64{100, 106}},
		{"offsets left out behind", batch(1, 3), "\x00\x00", []int64{100}},
		{"no offset left out, and said so", batch(2, 2), "\x00\x00\x08\x00\x00", []int64{100, 101}},
		{"all fields", batch(1, 2), "\x0f\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01k\x01v\x00", []int64{101}},

		{"no body", batch(1, 1), "", nil},
		{"a record is missing", batch(2, 2), "\x00\x00", nil},
		{"a record too many", batch(1, 1), "\x00\x00\x00\x00", nil},
		{"a byte too many", batch(1, 1), "\x00\x00\x00", nil},
		{"a byte too few", batch(1, 1), "\x00\x02v", nil},
		{"unknown flag", batch(1, 1), "\x10\x00", nil},
		{"all flags", batch(1, 1), "\xff\x00", nil},
		{"skips all offsets", batch(1, 3), "\x08\x03\x00", nil},
		{"skips behind the last", batch(2, 3), "\x00\x00\x08\x02\x00", nil},
		{"skips 2^64-1", batch(1, 3), "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", nil},
		{"no skip", batch(1, 3), "\x08", nil},
		{"timestamp cut", batch(1, 1), "\x01\x00\x00\x00\x00\x00\x00\x00", nil},
		{"no value", batch(1, 1), "\x02\x00", nil},
		{"key longer than the body", batch(1, 1), "\x02\x05key\x00", nil},
		{"value of 2^63", batch(1, 1), "\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", nil},
		{"value of 2^64-1", batch(1, 1), "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", nil},
		{"length of more than 64 bits", batch(1, 1), "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", nil},
		{"length without end", batch(1, 1), "\x00\x80\x80", nil},
		{"no headers", batch(1, 1), "\x04\x00", nil},
		{"headers longer than the body", batch(1, 1), "\x04\x00\x02h", nil},
		{"four billion records", batch(math.MaxUint32, math.MaxUint32), "\x00\x00", nil},
		{
			"an offset above 2^63", frame.Header{Kind: frame.Batch, Base: math.MaxInt64 - 10, Span: 10, Count: 2},
			"\x08\x04\x00\x08\x09\x00", nil,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dst := make([]storage.Record, 1, 16)
			got, err := frame.DecodeRecords(dst, &test.h, []byte(test.body), 0)
			if test.want == nil {
				if err != frame.ErrField || len(got) != 1 {
					t.Errorf("%d records, %v, want %v and dst as it was", len(got)-1, err, frame.ErrField)
				}
				return
			}
			if err != nil || len(got)-1 != len(test.want) {
				t.Fatalf("%d records, %v, want %d", len(got)-1, err, len(test.want))
			}
			for i, r := range got[1:] {
				if r.Offset != test.want[i] {
					t.Errorf("record %d has offset %d, want %d", i, r.Offset, test.want[i])
				}
			}
		})
	}
}

// TestRecordsAreParts: what is decoded are parts of the body that cannot be appended into each other.
func TestRecordsAreParts(t *testing.T) {
	h, body := encode(0, 0, []storage.Record{
		{Key: []byte("key"), Value: []byte("value"), Headers: storage.AppendHeader(nil, "name", []byte("x"))},
		{Key: []byte{}, Value: nil},
	})
	got, err := frame.DecodeRecords(nil, &h, body, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{got[0].Key, got[0].Value, got[0].Headers, got[1].Key, got[1].Value} {
		if len(p) != cap(p) {
			t.Errorf("%q has room for %d bytes of what follows", p, cap(p)-len(p))
		}
	}
	if got[1].Key == nil || got[1].Value == nil || got[1].Headers != nil {
		t.Errorf("empty key %v, nil value %v, no headers %v; want empty, empty, nil", got[1].Key, got[1].Value, got[1].Headers)
	}
	body[bytes.Index(body, []byte("value"))] = 'V'
	if string(got[0].Value) != "Value" {
		t.Error("the value is a copy")
	}
}

func TestLargestRecord(t *testing.T) {
	want := []storage.Record{{Key: []byte("k"), Value: []byte(strings.Repeat("v", storage.MaxRecord-1))}}
	h, body := encode(0, 0, want)
	if len(body) > frame.MaxBody {
		t.Fatalf("the largest record takes %d, a body at most %d", len(body), frame.MaxBody)
	}
	got, err := frame.DecodeRecords(nil, &h, body, 0)
	if err != nil || !bytes.Equal(got[0].Value, want[0].Value) {
		t.Fatalf("the largest record does not come back: %v", err)
	}
}

func TestRecordAllocations(t *testing.T) {
	in := []storage.Record{
		{Key: []byte("key"), Value: make([]byte, 1000), Timestamp: time.Unix(7, 7), Headers: storage.AppendHeader(nil, "name", nil)},
		{Value: make([]byte, 100)},
	}
	h, body := encode(0, 0, in)
	buf, dst := make([]byte, 0, 2*len(body)), make([]storage.Record, 0, len(in))
	if n := testing.AllocsPerRun(100, func() {
		buf = buf[:0]
		for i := range in {
			buf = frame.AppendRecord(buf, &in[i])
		}
		var err error
		if dst, err = frame.DecodeRecords(dst[:0], &h, buf, 0); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("encoding and decoding into what is there allocates %v times, want 0", n)
	}
	many := make([]storage.Record, 1000)
	h, body = encode(0, 0, many)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := frame.DecodeRecords(nil, &h, body, 0); err != nil {
			t.Error(err)
		}
	}); n > 2 { // one; the race detector has append make two
		t.Errorf("decoding %d records into nothing allocates %v times, want once for all", len(many), n)
	}
}

func TestRecordsBehindGaps(t *testing.T) {
	offsets := []int64{103, 104, 200, 100_000}
	var body []byte
	next := int64(100)
	for _, at := range offsets {
		body = frame.AppendRecordBehind(body, &storage.Record{Key: []byte("k"), Value: []byte("v"), Timestamp: time.Unix(5, 6)}, uint64(at-next))
		next = at + 1
	}
	h := frame.Header{Kind: frame.Batch, Base: 100, Span: 100_000, Count: uint32(len(offsets))}
	records, err := frame.DecodeRecords(nil, &h, body, 104)
	if err != nil || len(records) != 3 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i, r := range records {
		if r.Offset != offsets[i+1] || string(r.Key) != "k" || string(r.Value) != "v" || !r.Timestamp.Equal(time.Unix(5, 6)) {
			t.Errorf("record %d: %+v", i, r)
		}
	}
}
