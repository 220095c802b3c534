package frame_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"runtime/metrics"
	"testing"
	"unsafe"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// bounded runs decode and fails if it allocated more than factor bytes for each byte of input, and a constant for what
// else the process does meanwhile. Now and then that is more: only what allocates too much every time is at fault.
func bounded(t *testing.T, input []byte, factor int, decode func()) {
	t.Helper()
	const constant, tries = 256 << 10, 10
	limit := uint64(factor*len(input) + constant)
	var got uint64
	for range tries {
		before := allocated()
		decode()
		if got = allocated() - before; got <= limit {
			return
		}
	}
	t.Errorf("%d bytes allocated for an input of %d, at most %d are due", got, len(input), limit)
}

func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}

// FuzzFrame reads arbitrary bytes as a frame: as they are, and with the sums corrected, so that what is behind the sums is reached.
func FuzzFrame(f *testing.F) {
	for _, g := range goldens() {
		f.Add(g.encode(), uint32(seed), false)
		f.Add(g.encode(), uint32(seed), true)
	}
	f.Add(make([]byte, 256), uint32(seedOfZeroSum(frame.HeaderSize-4)), true)
	f.Fuzz(func(t *testing.T, p []byte, s uint32, correct bool) {
		seed := frame.Seed(s)
		if correct && len(p) >= frame.HeaderSize {
			p = corrected(p, seed)
		}
		bounded(t, p, int(unsafe.Sizeof(storage.Record{})), func() { checkFrame(t, p, seed) })
	})
}

// corrected returns a copy of p with a length that fits it, and the sums of what is there.
func corrected(p []byte, s frame.Seed) []byte {
	p = bytes.Clone(p)
	n := min(len(p)-frame.HeaderSize, int(p[4]))
	binary.LittleEndian.PutUint32(p[4:], uint32(n))
	binary.LittleEndian.PutUint32(p[8:], s.Sum(p[frame.HeaderSize:frame.HeaderSize+n]))
	resum(p, s)
	return p
}

func checkFrame(t *testing.T, p []byte, s frame.Seed) {
	h, body, size, err := frame.Next(p, s)
	parsed, parseErr := frame.Parse(p, s)
	if parsed != h {
		t.Fatalf("Next has header %+v, Parse %+v", h, parsed)
	}
	if parseErr != nil {
		if err != parseErr || size != 0 || body != nil {
			t.Fatalf("Parse: %v; Next: %v, size %d, body %q", parseErr, err, size, body)
		}
		return
	}
	var again [frame.HeaderSize]byte
	h.Put(again[:], s)
	if !bytes.Equal(again[:], p[:frame.HeaderSize]) {
		t.Fatalf("Put(Parse(p)) = %x, want %x", again, p[:frame.HeaderSize])
	}
	if h.Kind != frame.Block && !frame.Resembles(p, h.LSN.Epoch()) {
		t.Fatal("Resembles has a false negative")
	}
	if h.Next() < h.Base || size < frame.HeaderSize || size%8 != 0 || size > frame.Size(frame.MaxBody) {
		t.Fatalf("impossible header passes: %+v, size %d", h, size)
	}
	if err != nil {
		return
	}
	switch h.Kind {
	case frame.Batch:
		_, _ = frame.DecodeRecords(nil, &h, body, 0)
	case frame.Cursor:
		_, _ = frame.DecodeCursor(body, h.Partition)
	case frame.Topic:
		_, _ = frame.DecodeTopic(body)
	case frame.Group:
		_, _ = frame.DecodeGroup(body)
	}
}

func FuzzRecords(f *testing.F) {
	for _, g := range goldens() {
		if h, body, _, err := frame.Next(g.encode(), seed); err == nil && h.Kind == frame.Batch {
			f.Add(body, h.Base, h.Span, h.Count, h.Time, h.Base+1)
		}
	}
	f.Add([]byte("\x08\x04\x00\x08\x09\x00"), int64(math.MaxInt64-10), uint32(10), uint32(2), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, body []byte, base int64, span, count uint32, appended, from int64) {
		h := frame.Header{Kind: frame.Batch, Base: base, Span: span, Count: count, Time: appended}
		if base < 0 || h.Next() < base || count > span {
			return // Parse lets no such header through
		}
		var records []storage.Record
		var err error
		bounded(t, body, int(unsafe.Sizeof(storage.Record{})), func() { records, err = frame.DecodeRecords(nil, &h, body, base) })
		if err != nil {
			if len(records) != 0 {
				t.Fatalf("%d records along with %v", len(records), err)
			}
			return
		}
		checkRecords(t, &h, records, body)
		later, err := frame.DecodeRecords(nil, &h, body, from)
		if err != nil {
			t.Fatalf("from offset %d on: %v", from, err)
		}
		for len(records) > 0 && records[0].Offset < from {
			records = records[1:]
		}
		if len(later) != len(records) {
			t.Fatalf("from offset %d on there are %d records, want %d", from, len(later), len(records))
		}
	})
}

func checkRecords(t *testing.T, h *frame.Header, records []storage.Record, body []byte) {
	if len(records) != int(h.Count) {
		t.Fatalf("%d records, want %d", len(records), h.Count)
	}
	at := h.Base
	for _, r := range records {
		if r.Offset < at || r.Offset >= h.Next() {
			t.Fatalf("offset %d, want one from %d to %d", r.Offset, at, h.Next())
		}
		at = r.Offset + 1
	}
	again, encoded := encode(h.Base, h.Time, records)
	if len(encoded) > len(body) {
		t.Fatalf("%d bytes encoded again take %d", len(body), len(encoded))
	}
	got, err := frame.DecodeRecords(nil, &again, encoded, h.Base)
	if err != nil || len(got) != len(records) {
		t.Fatalf("encoded again: %d records, %v, want %d", len(got), err, len(records))
	}
	for i := range got {
		got[i].Offset = records[i].Offset // AppendRecord leaves none out
		if !sameRecord(&got[i], &records[i]) {
			t.Fatalf("encoded again: got %+v, want %+v", got[i], records[i])
		}
	}
}

func FuzzCursor(f *testing.F) {
	addBodies(f, frame.Cursor)
	f.Fuzz(func(t *testing.T, body []byte) {
		var c storage.Cursor
		var err error
		bounded(t, body, 16, func() { c, err = frame.DecodeCursor(body, 3) })
		if err != nil {
			return
		}
		at := c.Floor
		for _, r := range c.Done {
			if r.From <= at || r.To <= r.From {
				t.Fatalf("range %+v behind %d", r, at)
			}
			at = r.To
		}
		again(t, body, c, frame.AppendCursor, func(p []byte) (storage.Cursor, error) { return frame.DecodeCursor(p, 3) })
	})
}

func FuzzTopic(f *testing.F) {
	addBodies(f, frame.Topic)
	f.Fuzz(func(t *testing.T, body []byte) {
		var topic storage.Topic
		var err error
		bounded(t, body, 10, func() { topic, err = frame.DecodeTopic(body) })
		if err == nil {
			again(t, body, topic, frame.AppendTopic, frame.DecodeTopic)
		}
	})
}

func FuzzGroup(f *testing.F) {
	addBodies(f, frame.Group)
	f.Fuzz(func(t *testing.T, body []byte) {
		var g storage.Group
		var err error
		bounded(t, body, 2, func() { g, err = frame.DecodeGroup(body) })
		if err == nil {
			again(t, body, g, frame.AppendGroup, frame.DecodeGroup)
		}
	})
}

func addBodies(f *testing.F, kind frame.Kind) {
	for _, g := range goldens() {
		if h, body, _, err := frame.Next(g.encode(), seed); err == nil && h.Kind == kind {
			f.Add(body)
		}
	}
	f.Add([]byte{})
	f.Add([]byte{2})
}

// again encodes what was decoded from body, and decodes that.
func again[T any](t *testing.T, body []byte, want T, encode func([]byte, *T) []byte, decode func([]byte) (T, error)) {
	t.Helper()
	encoded := encode(nil, &want)
	if len(encoded) > len(body) {
		t.Fatalf("%d bytes encoded again take %d", len(body), len(encoded))
	}
	got, err := decode(encoded)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("encoded again: got %+v, %v, want %+v", got, err, want)
	}
}
