package segment_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

var metas = []segment.Meta{
	{Length: 4096},
	{File: 1, Base: 5, Next: 9, Ordinal: 3, Count: 4, MinTime: 10, MaxTime: 20, Length: 8192, LastLSN: frame.At(3, 77), Sealed: true},
	{File: math.MaxUint64, Base: math.MaxInt64, Next: math.MaxInt64, Ordinal: math.MaxInt64, Length: 1 << 62, LastLSN: math.MaxUint64},
	{Next: math.MaxInt64, Count: math.MaxInt64, MinTime: -5, MaxTime: -5, Length: 4096},
	{
		File: 2, Base: 5, Next: 9, Ordinal: 3, Count: 4, MinTime: 10, MaxTime: 20, Length: 8192, Sealed: true,
		Rewritten: true, Codec: compress.IDZstd, Dropped: 4,
	},
	{Length: 4096, Sealed: true, Rewritten: true},
	{Next: 5, Count: 5, Length: 8192, Sealed: true, Retired: true},
	{Next: 5, Count: 5, Length: 4096, Sealed: true, Rewritten: true, Compacted: true, Dropped: 5},
	{MinTime: math.MinInt64, MaxTime: math.MinInt64 + 3, Length: 4096},
}

func TestMetaRoundTrip(t *testing.T) {
	for _, m := range metas {
		b := m.Append([]byte("before"))
		got, rest, err := segment.DecodeMeta(append(b, "behind"...)[len("before"):])
		if got != m || string(rest) != "behind" || err != nil {
			t.Errorf("got %+v, %q, %v, want %+v", got, rest, err, m)
		}
		for n := range b[len("before"):] {
			if _, _, err := segment.DecodeMeta(b[len("before"):][:n]); !errors.Is(err, segment.ErrMeta) {
				t.Errorf("%+v cut to %d bytes: %v", m, n, err)
			}
		}
	}
}

func TestMetaRefusesTheImpossible(t *testing.T) {
	for name, change := range map[string]func(*segment.Meta){
		"a negative base":               func(m *segment.Meta) { m.Base, m.Next = -1, 5 },
		"an end below the base":         func(m *segment.Meta) { m.Next = m.Base - 1 },
		"more records than offsets":     func(m *segment.Meta) { m.Count = m.Next - m.Base + 1 },
		"a negative count":              func(m *segment.Meta) { m.Count = -1 },
		"more records than there are":   func(m *segment.Meta) { m.Ordinal = math.MaxInt64 },
		"times that go back":            func(m *segment.Meta) { m.MaxTime = m.MinTime - 1 },
		"a length without header":       func(m *segment.Meta) { m.Length = 4088 },
		"a negative length":             func(m *segment.Meta) { m.Length = -8 },
		"an end beyond the last offset": func(m *segment.Meta) { m.Base, m.Next = math.MaxInt64, math.MinInt64 },
		"more dropped than there were":  func(m *segment.Meta) { m.Sealed, m.Rewritten, m.Dropped = true, true, m.Count+1 },
		"a negative number dropped":     func(m *segment.Meta) { m.Sealed, m.Rewritten, m.Dropped = true, true, -1 },
		"rewritten with a gap":          func(m *segment.Meta) { m.Sealed, m.Rewritten, m.Count = true, true, m.Count-1 },
		"an unknown codec":              func(m *segment.Meta) { m.Sealed, m.Rewritten, m.Codec = true, true, compress.IDZstd+1 },
	} {
		m := metas[1]
		change(&m)
		if got, _, err := segment.DecodeMeta(m.Append(nil)); !errors.Is(err, segment.ErrMeta) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func FuzzMeta(f *testing.F) {
	for _, m := range metas {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, rest, err := segment.DecodeMeta(b)
		if err != nil {
			return
		}
		again, left, err := segment.DecodeMeta(m.Append(nil))
		if err != nil || again != m || len(left) > 0 || !bytes.HasSuffix(b, rest) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}
