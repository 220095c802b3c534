package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/compress/compresstest"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"pgregory.net/rapid"
)

// block makes a Block of frames, with the header that they ask for.
func block(t testing.TB, c compress.Codec, frames []byte) (frame.Header, []byte) {
	t.Helper()
	var h frame.Header
	for rest := frames; len(rest) > 0; {
		f, _, size, err := frame.Next(rest, seed)
		if err != nil {
			t.Fatal(err)
		}
		if h.Kind == 0 {
			h = f
			h.Kind, h.Codec, h.Count = frame.Block, c.ID(), 0
		}
		h.Span, h.Count = uint32(f.Next()-h.Base), h.Count+f.Count
		h.Time, h.LSN = f.Time, f.LSN
		rest = rest[size:]
	}
	body, err := frame.AppendBlock(nil, c, frames)
	if err != nil {
		t.Fatal(err)
	}
	return h, body
}

// batches makes frames of one record each, at the given offsets.
func batches(offsets ...int64) (frames []byte) {
	for _, at := range offsets {
		h, body := encode(at, 1000+at, []storage.Record{{Value: bytes.Repeat([]byte{byte(at)}, 100)}})
		h.Partition = 4
		frames = append(frames, assemble(h, body, seed)...)
	}
	return frames
}

func TestBlockRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c, _ := compress.New(compress.ID(rapid.IntRange(1, 4).Draw(r, "codec")), 0)
		var frames []byte
		at := rapid.Int64Range(0, 1<<40).Draw(r, "base")
		for range rapid.IntRange(1, 5).Draw(r, "frames") {
			records := make([]storage.Record, rapid.IntRange(1, 5).Draw(r, "records"))
			for i := range records {
				records[i] = drawRecord(r)
			}
			h, body := encode(at, 5, records)
			frames = append(frames, assemble(h, body, seed)...)
			at = h.Next() + rapid.SampledFrom([]int64{0, 0, 3}).Draw(r, "gap")
		}
		h, body := block(t, c, frames)
		p := assemble(h, body, seed)
		h, body, _, err := frame.Next(p, seed)
		if err != nil {
			r.Fatalf("a block of %d bytes: %v", len(frames), err)
		}
		got, err := frame.ExpandBlock([]byte("before"), &h, body, c, seed)
		if err != nil || string(got[:6]) != "before" || !bytes.Equal(got[6:], frames) {
			r.Fatalf("expanded to %d bytes, %v, want the %d that were compressed", len(got)-6, err, len(frames))
		}
	})
}

// TestBlockBodies: sums that match do not make a body good.
func TestBlockBodies(t *testing.T) {
	c := compress.Zstd(0)
	good, bad := batches(10, 11, 15), batches(10, 11, 15)
	bad[len(bad)/2] ^= 1
	raw := func(n uint64, p []byte) []byte {
		packed, err := c.AppendCompress(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.AppendUvarint(nil, n), packed...)
	}
	n := uint64(len(good))
	foreign := batches(11)
	foreign[32]++ // the partition
	resum(foreign, seed)
	pad := assemble(frame.Header{Kind: frame.Pad, Base: 11, Partition: 4}, nil, seed)
	type change func(h *frame.Header)
	tests := map[string]struct {
		body   []byte
		header change
		want   error
	}{
		"good":                       {raw(n, good), nil, nil},
		"empty":                      {nil, nil, frame.ErrField},
		"no raw length":              {[]byte{0x80}, nil, frame.ErrField},
		"raw length 0":               {raw(0, nil), nil, frame.ErrField},
		"shorter than it says":       {raw(n+8, good), nil, frame.ErrField},
		"longer than it says":        {raw(n-8, good), nil, compress.ErrTooLarge},
		"longer than may be":         {raw(frame.MaxRaw+1, good), nil, frame.ErrField},
		"a huge length":              {raw(1<<63, good), nil, frame.ErrField},
		"not of the codec":           {append(binary.AppendUvarint(nil, n), "nonsense"...), nil, compress.ErrCorrupt},
		"a bad frame":                {raw(n, bad), nil, frame.ErrBody},
		"a frame cut short":          {raw(n-8, good[:n-8]), nil, frame.ErrShort},
		"something behind":           {raw(n+64, append(bytes.Clone(good), make([]byte, 64)...)), nil, frame.ErrEmpty},
		"a pad":                      {raw(n/3+64, append(batches(10), pad...)), nil, frame.ErrField},
		"a frame of another log":     {raw(n/3*2, append(batches(10), foreign...)), nil, frame.ErrField},
		"offsets that go back":       {raw(n, batches(10, 15, 11)), nil, frame.ErrField},
		"an offset twice":            {raw(n, batches(10, 10, 15)), nil, frame.ErrField},
		"a base above the block's":   {raw(n, batches(11, 12, 15)), nil, frame.ErrField},
		"a base below the block's":   {raw(n, batches(9, 10, 15)), nil, frame.ErrField},
		"an end beyond the block's":  {raw(n, batches(10, 11, 16)), nil, frame.ErrField},
		"an end short of the block":  {raw(n, batches(10, 11, 14)), nil, frame.ErrField},
		"more records than it says":  {raw(n, good), func(h *frame.Header) { h.Count-- }, frame.ErrField},
		"fewer records than it says": {raw(n, good), func(h *frame.Header) { h.Count++ }, frame.ErrField},
		"a later time":               {raw(n, good), func(h *frame.Header) { h.Time++ }, frame.ErrField},
		"another LSN":                {raw(n, good), func(h *frame.Header) { h.LSN++ }, frame.ErrField},
	}
	for name, test := range tests {
		h, _ := block(t, c, good)
		if test.header != nil {
			test.header(&h)
		}
		got, err := frame.ExpandBlock([]byte("x"), &h, test.body, c, seed)
		if !errors.Is(err, test.want) || err != nil && string(got) != "x" {
			t.Errorf("%s: got %d bytes, %v, want %v", name, len(got), err, test.want)
		}
	}
}

// A block that would expand to more than it may costs nothing.
func TestBlockBomb(t *testing.T) {
	for id := compress.IDGzip; id <= compress.IDZstd; id++ {
		c, _ := compress.New(id, 0)
		bomb, err := c.AppendCompress(nil, make([]byte, 64<<20))
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range []uint64{200, 1 << 20, frame.MaxRaw, frame.MaxRaw + 1, 64 << 20} {
			h, _ := block(t, c, batches(1))
			body := append(binary.AppendUvarint(nil, raw), bomb...)
			due := uint64(16 << 20)
			if raw <= frame.MaxRaw {
				due += 4 * raw
			}
			compresstest.Bounded(t, due, func() {
				if got, err := frame.ExpandBlock(nil, &h, body, c, seed); err == nil || len(got) > 0 {
					t.Errorf("%v, raw length %d: got %d bytes, %v", id, raw, len(got), err)
				}
			})
		}
	}
}

func FuzzBlock(f *testing.F) {
	for id := compress.IDGzip; id <= compress.IDZstd; id++ {
		c, _ := compress.New(id, 0)
		for _, frames := range [][]byte{batches(1), batches(3, 4, 9)} {
			h, body := block(f, c, frames)
			f.Add(body, uint8(id), h.Base, h.Span, h.Count, h.Time)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, id uint8, base int64, span, count uint32, last int64) {
		c, ok := compress.New(compress.ID(id), 0)
		h := frame.Header{Kind: frame.Block, Codec: compress.ID(id), Base: base, Span: span, Partition: 4, Count: count, Time: last}
		if !ok || base < 0 || h.Next() < base || count > span {
			return // Parse lets no such header through
		}
		frames, err := frame.ExpandBlock(nil, &h, body, c, seed)
		if err != nil {
			return
		}
		if len(frames) > frame.MaxRaw {
			t.Fatalf("expanded to %d bytes", len(frames))
		}
		next := base
		for len(frames) > 0 {
			f, _, size, err := frame.Next(frames, seed)
			if err != nil || f.Kind != frame.Batch || f.Base < next {
				t.Fatalf("a frame in a block: %+v, %v", f, err)
			}
			next, frames = f.Next(), frames[size:]
		}
		if next != h.Next() {
			t.Fatalf("the frames end at offset %d, the block at %d", next, h.Next())
		}
	})
}
