package frame_test

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage/internal/frame"
	"pgregory.net/rapid"
)

const seed frame.Seed = 0x5eed1ea7

// assemble makes a whole frame, as the journal does.
func assemble(h frame.Header, body []byte, s frame.Seed) []byte {
	h.BodyLen, h.BodySum = uint32(len(body)), s.Sum(body)
	p := make([]byte, frame.Size(len(body)))
	h.Put(p, s)
	copy(p[frame.HeaderSize:], body)
	return p
}

// resum corrects the header sum of p after a field was changed, as only a faulty writer can.
func resum(p []byte, s frame.Seed) {
	binary.LittleEndian.PutUint32(p, s.Sum(p[4:frame.HeaderSize]))
}

func sampleHeader() frame.Header {
	return frame.Header{
		Kind: frame.Batch, Flags: frame.End, LSN: frame.At(7, 1234567), Base: 987654321012, Partition: 42,
		Span: 5, Time: 1700000000123456789, Count: 3, SyncedBack: 17,
	}
}

func drawHeader(t *rapid.T) frame.Header {
	h := frame.Header{
		BodySum:    rapid.Uint32().Draw(t, "bodySum"),
		BodyLen:    rapid.Uint32Range(0, frame.MaxBody).Draw(t, "bodyLen"),
		Kind:       frame.Kind(rapid.IntRange(int(frame.Batch), int(frame.Gap)).Draw(t, "kind")),
		Flags:      frame.Flags(rapid.IntRange(0, int(frame.End)).Draw(t, "flags")),
		LSN:        frame.At(rapid.Uint32Range(0, frame.MaxEpoch).Draw(t, "epoch"), rapid.Uint64Range(0, 1<<40-1).Draw(t, "counter")),
		Partition:  rapid.Uint32().Draw(t, "partition"),
		Time:       rapid.Int64().Draw(t, "time"),
		SyncedBack: rapid.Uint32().Draw(t, "syncedBack"),
	}
	if h.Kind == frame.Block {
		h.Codec = compress.ID(rapid.IntRange(int(compress.IDGzip), int(compress.IDZstd)).Draw(t, "codec"))
	}
	if h.Kind == frame.Batch || h.Kind == frame.Block {
		h.Span = rapid.Uint32Range(1, math.MaxUint32).Draw(t, "span")
		h.Count = rapid.Uint32Range(1, h.Span).Draw(t, "count")
	}
	h.Base = rapid.Int64Range(0, math.MaxInt64-int64(h.Span)).Draw(t, "base")
	return h
}

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawHeader(t)
		s := frame.Seed(rapid.Uint32().Draw(t, "seed"))
		p := make([]byte, frame.HeaderSize)
		for i := range p {
			p[i] = 0xff // Put leaves nothing of what was there
		}
		want.Put(p, s)
		got, err := frame.Parse(p, s)
		if err != nil || got != want {
			t.Fatalf("Parse(Put(h)) = %+v, %v, want %+v", got, err, want)
		}
		if frame.Resembles(p, want.LSN.Epoch()) == (want.Kind == frame.Block) {
			t.Fatal("Resembles has a false negative, or takes a block for something of a journal")
		}
		if other := want.LSN.Epoch() ^ 1<<rapid.IntRange(0, 23).Draw(t, "bit"); frame.Resembles(p, other) {
			t.Fatalf("a frame of epoch %d resembles one of epoch %d", want.LSN.Epoch(), other)
		}
		other := s ^ frame.Seed(rapid.Uint32Range(1, math.MaxUint32).Draw(t, "otherSeed"))
		if _, err := frame.Parse(p, other); err != frame.ErrHeader {
			t.Fatalf("Parse with seed %#x of a header with seed %#x: %v, want %v", other, s, err, frame.ErrHeader)
		}
	})
}

func TestLSN(t *testing.T) {
	l := frame.At(frame.MaxEpoch, 1<<40-1)
	if l != math.MaxUint64 || l.Epoch() != frame.MaxEpoch {
		t.Errorf("the last LSN is %#x of epoch %d, want all ones and the last epoch", uint64(l), l.Epoch())
	}
	if l := frame.At(3, 5); l != 3<<40|5 || l.Epoch() != 3 {
		t.Errorf("At(3, 5) = %#x", uint64(l))
	}
	if a, b := frame.At(3, 1<<40-1), frame.At(4, 0); a+1 != b {
		t.Errorf("LSNs do not grow from one epoch to the next: %#x, %#x", uint64(a), uint64(b))
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int]int{0: 64, 1: 72, 7: 72, 8: 72, 9: 80, 4096 - 64: 4096} {
		if got := frame.Size(n); got != want {
			t.Errorf("Size(%d) = %d, want %d", n, got, want)
		}
		if h := (&frame.Header{BodyLen: uint32(n)}); h.Size() != want {
			t.Errorf("Size of a header with a body of %d = %d, want %d", n, h.Size(), want)
		}
	}
}

// TestBitFlips flips every bit of a frame, and of pairs of frames' headers two at a time: none goes unseen but those of the padding, which
// carry nothing.
func TestBitFlips(t *testing.T) {
	h, body := sampleHeader(), []byte("a body whose length is no multiple of eight")
	good := assemble(h, body, seed)
	flips := 0
	for bit := range len(good) * 8 {
		p := append([]byte(nil), good...)
		p[bit/8] ^= 1 << (bit % 8)
		_, got, size, err := frame.Next(p, seed)
		var want error
		switch at := bit / 8; {
		case at < frame.HeaderSize:
			want = frame.ErrHeader
		case at < frame.HeaderSize+len(body):
			want = frame.ErrBody
		}
		if err != want {
			t.Errorf("bit %d of byte %d flipped: %v, want %v", bit%8, bit/8, err, want)
		}
		if want == nil && string(got) != string(body) || want != nil && got != nil {
			t.Errorf("bit %d of byte %d flipped: body %q", bit%8, bit/8, got)
		}
		if want == frame.ErrBody && size != len(good) {
			t.Errorf("with a bad body the next frame begins at %d, want %d", size, len(good))
		}
		if want == frame.ErrHeader {
			flips++
			for second := range bit {
				p[second/8] ^= 1 << (second % 8)
				if _, err := frame.Parse(p, seed); err != frame.ErrHeader {
					t.Fatalf("bits %d and %d of the header flipped: %v", bit, second, err)
				}
				p[second/8] ^= 1 << (second % 8)
			}
		}
	}
	if flips != frame.HeaderSize*8 {
		t.Errorf("%d bits of the header flipped, want all %d", flips, frame.HeaderSize*8)
	}
}

// TestHeaderSumCovers changes each field of a header by itself. The new value is as good as the old one, so that nothing but the sum can tell.
func TestHeaderSumCovers(t *testing.T) {
	tests := []struct {
		field  string
		change func(h *frame.Header)
	}{
		{"length", func(h *frame.Header) { h.BodyLen -= 8 }},
		{"body sum", func(h *frame.Header) { h.BodySum++ }},
		{"kind", func(h *frame.Header) { h.Kind, h.Span, h.Count = frame.Pad, 0, 0 }},
		{"flags", func(h *frame.Header) { h.Flags = 0 }},
		{"codec", func(h *frame.Header) { h.Kind, h.Codec = frame.Block, compress.IDS2 }},
		{"LSN", func(h *frame.Header) { h.LSN++ }},
		{"epoch", func(h *frame.Header) { h.LSN = frame.At(h.LSN.Epoch()+1, 1234567) }},
		{"offset", func(h *frame.Header) { h.Base += 1 << 20 }},
		{"partition", func(h *frame.Header) { h.Partition++ }},
		{"span", func(h *frame.Header) { h.Span++ }},
		{"time", func(h *frame.Header) { h.Time++ }},
		{"count", func(h *frame.Header) { h.Count-- }},
		{"synced back", func(h *frame.Header) { h.SyncedBack++ }},
	}
	for _, test := range tests {
		t.Run(test.field, func(t *testing.T) {
			h := sampleHeader()
			h.BodyLen, h.BodySum = 1024, 99
			var old, changed [frame.HeaderSize]byte
			h.Put(old[:], seed)
			test.change(&h)
			h.Put(changed[:], seed)
			if old == changed {
				t.Fatal("the change does not show in the bytes")
			}
			if _, err := frame.Parse(changed[:], seed); err != nil {
				t.Fatalf("the changed header with its own sum: %v, want none: the test needs a possible one", err)
			}
			copy(changed[:4], old[:4])
			if _, err := frame.Parse(changed[:], seed); err != frame.ErrHeader {
				t.Errorf("the changed header with the old sum: %v, want %v", err, frame.ErrHeader)
			}
		})
	}
}

func TestImpossibleHeaders(t *testing.T) {
	tests := []struct {
		name string
		h    func(h *frame.Header)
		raw  func(p []byte)
		want error
	}{
		{name: "sound", want: nil},
		{name: "kind 0", h: func(h *frame.Header) { h.Kind, h.Span, h.Count = 0, 0, 0 }, want: frame.ErrField},
		{name: "kind after the last", h: func(h *frame.Header) { h.Kind, h.Span, h.Count = frame.Followed+1, 0, 0 }, want: frame.ErrField},
		{name: "kind 255", h: func(h *frame.Header) { h.Kind, h.Span, h.Count = 255, 0, 0 }, want: frame.ErrField},
		{name: "unknown flag", h: func(h *frame.Header) { h.Flags = frame.End << 1 }, want: frame.ErrField},
		{name: "unknown flag with a known one", h: func(h *frame.Header) { h.Flags = 0x80 | frame.End }, want: frame.ErrField},
		{name: "longest body", h: func(h *frame.Header) { h.BodyLen = frame.MaxBody }, want: nil},
		{name: "body too long", h: func(h *frame.Header) { h.BodyLen = frame.MaxBody + 1 }, want: frame.ErrField},
		{name: "body of 4 GiB", h: func(h *frame.Header) { h.BodyLen = math.MaxUint32 }, want: frame.ErrField},
		{name: "negative offset", h: func(h *frame.Header) { h.Base = -1 }, want: frame.ErrField},
		{name: "least offset", h: func(h *frame.Header) { h.Base = math.MinInt64 }, want: frame.ErrField},
		{name: "last offsets", h: func(h *frame.Header) { h.Base = math.MaxInt64 - 5 }, want: nil},
		{name: "offsets overflow", h: func(h *frame.Header) { h.Base = math.MaxInt64 - 4 }, want: frame.ErrField},
		{name: "more records than offsets", h: func(h *frame.Header) { h.Count = h.Span + 1 }, want: frame.ErrField},
		{name: "batch without records", h: func(h *frame.Header) { h.Count = 0 }, want: frame.ErrField},
		{name: "batch without offsets", h: func(h *frame.Header) { h.Count, h.Span = 0, 0 }, want: frame.ErrField},
		{name: "cursor", h: func(h *frame.Header) { h.Kind, h.Span, h.Count = frame.Cursor, 0, 0 }, want: nil},
		{name: "cursor with offsets", h: func(h *frame.Header) { h.Kind, h.Count = frame.Cursor, 0 }, want: frame.ErrField},
		{name: "topic with records", h: func(h *frame.Header) { h.Kind, h.Span = frame.Topic, 0 }, want: frame.ErrField},
		{name: "group with records", h: func(h *frame.Header) { h.Kind = frame.Group }, want: frame.ErrField},
		{name: "pad with offsets", h: func(h *frame.Header) { h.Kind, h.Count = frame.Pad, 0 }, want: frame.ErrField},
		{name: "pad with negative offset", h: func(h *frame.Header) { h.Kind, h.Count, h.Span, h.Base = frame.Pad, 0, 0, -1 }, want: frame.ErrField},
		{name: "block", h: func(h *frame.Header) { h.Kind, h.Codec = frame.Block, compress.IDZstd }, want: nil},
		{name: "block without codec", h: func(h *frame.Header) { h.Kind = frame.Block }, want: frame.ErrField},
		{name: "block of an unknown codec", h: func(h *frame.Header) { h.Kind, h.Codec = frame.Block, compress.IDZstd+1 }, want: frame.ErrField},
		{name: "block without records", h: func(h *frame.Header) { h.Kind, h.Codec, h.Count = frame.Block, compress.IDZstd, 0 }, want: frame.ErrField},
		{name: "block of a negative offset", h: func(h *frame.Header) { h.Kind, h.Codec, h.Base = frame.Block, compress.IDZstd, -1 }, want: frame.ErrField},
		{name: "batch with a codec", h: func(h *frame.Header) { h.Codec = compress.IDZstd }, want: frame.ErrField},
		{name: "version 0", raw: func(p []byte) { p[14] = 0 }, want: frame.ErrField},
		{name: "next version", raw: func(p []byte) { p[14] = frame.Version + 1 }, want: frame.ErrVersion},
		{name: "version 255", raw: func(p []byte) { p[14] = 255 }, want: frame.ErrVersion},
		{name: "next version of what is impossible now", raw: func(p []byte) { p[12], p[14] = 99, frame.Version+1 }, want: frame.ErrVersion},
		{name: "byte 15", raw: func(p []byte) { p[15] = 200 }, want: frame.ErrField},
		{name: "reserved byte 48", raw: func(p []byte) { p[48] = 1 }, want: frame.ErrField},
		{name: "reserved byte 55", raw: func(p []byte) { p[55] = 0x80 }, want: frame.ErrField},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := sampleHeader()
			if test.h != nil {
				test.h(&h)
			}
			p := make([]byte, frame.HeaderSize)
			h.Put(p, seed)
			if test.raw != nil {
				test.raw(p)
				resum(p, seed)
			}
			got, err := frame.Parse(p, seed)
			if err != test.want {
				t.Fatalf("Parse: %v, want %v", err, test.want)
			}
			if err != nil && got != (frame.Header{}) {
				t.Errorf("Parse returns %+v along with %v, want the zero header", got, err)
			}
		})
	}
}

// TestZeroHeader: empty space is no frame, whatever the seed. The seed for which the sum of zeros is zero is the one that matters: with all
// others the sum alone would do.
func TestZeroHeader(t *testing.T) {
	var zero [frame.HeaderSize]byte
	blind := seedOfZeroSum(frame.HeaderSize - 4)
	if sum := blind.Sum(zero[4:]); sum != 0 {
		t.Fatalf("sum of zeros with seed %#x = %#x, want 0: the test needs that seed", blind, sum)
	}
	for _, s := range []frame.Seed{0, 1, seed, math.MaxUint32, blind} {
		if _, err := frame.Parse(zero[:], s); err != frame.ErrEmpty {
			t.Errorf("Parse of zeros with seed %#x: %v, want %v", s, err, frame.ErrEmpty)
		}
		if _, _, _, err := frame.Next(make([]byte, 4096), s); err != frame.ErrEmpty {
			t.Errorf("Next on zeros with seed %#x: %v, want %v", s, err, frame.ErrEmpty)
		}
	}
	if frame.Resembles(zero[:], 0) {
		t.Error("zeros resemble a frame of epoch 0")
	}
	for bit := range len(zero) * 8 {
		p := zero
		p[bit/8] ^= 1 << (bit % 8)
		if _, err := frame.Parse(p[:], seed); err != frame.ErrHeader {
			t.Errorf("Parse of zeros but for bit %d: %v, want %v: that is not empty space", bit, err, frame.ErrHeader)
		}
	}
}

// seedOfZeroSum returns the seed for which the sum of n zeros is zero, by running the sum backwards.
func seedOfZeroSum(n int) frame.Seed {
	table := crc32.MakeTable(crc32.Castagnoli)
	var byTop [256]uint32
	for i, v := range table {
		byTop[v>>24] = uint32(i)
	}
	state := ^uint32(0)
	for range n {
		low := byTop[state>>24]
		state = (state^table[low])<<8 | low
	}
	return frame.Seed(^state)
}

func TestCutShort(t *testing.T) {
	body := []byte("a body")
	h := sampleHeader()
	whole := assemble(h, body, seed)
	for n := range whole {
		got, _, size, err := frame.Next(whole[:n], seed)
		if err != frame.ErrShort {
			t.Fatalf("Next on the first %d of %d bytes: %v, want %v", n, len(whole), err, frame.ErrShort)
		}
		if n >= frame.HeaderSize && (size != len(whole) || got.Base != h.Base || got.Next() != h.Base+5) {
			t.Errorf("with %d bytes the header is there: Next returns size %d and %+v", n, size, got)
		}
		if n < frame.HeaderSize && (size != 0 || got != frame.Header{}) {
			t.Errorf("with %d bytes the header is not there: Next returns size %d and %+v", n, size, got)
		}
		if frame.Resembles(whole[:n], 7) != (n >= frame.HeaderSize) {
			t.Errorf("Resembles on %d bytes is %v", n, n < frame.HeaderSize)
		}
	}
	_, got, size, err := frame.Next(append(whole, 1, 2, 3), seed)
	if err != nil || string(got) != string(body) || size != len(whole) || cap(got) != len(body) {
		t.Errorf("Next = %q (capacity %d), %d, %v, want the body alone, size %d", got, cap(got), size, err, len(whole))
	}
}

func TestCheckBody(t *testing.T) {
	h := frame.Header{BodyLen: 3, BodySum: seed.Sum([]byte("abc"))}
	for body, want := range map[string]error{"abc": nil, "abd": frame.ErrBody, "ab": frame.ErrShort, "abcd": frame.ErrShort} {
		if err := h.CheckBody([]byte(body), seed); err != want {
			t.Errorf("CheckBody(%q) = %v, want %v", body, err, want)
		}
	}
	if err := h.CheckBody([]byte("abc"), seed+1); err != frame.ErrBody {
		t.Errorf("CheckBody with another seed: %v, want %v", err, frame.ErrBody)
	}
}

// TestHostilePayload: a record whose value is a whole frame, of a store with another seed or of an epoch gone by, is never taken for one.
func TestHostilePayload(t *testing.T) {
	inner := assemble(sampleHeader(), []byte("planted"), seed)
	h := sampleHeader()
	h.LSN = frame.At(8, 1)
	outer := assemble(h, append(make([]byte, 16), inner...), seed^0xabcdef)
	found := 0
	for at := 0; at+frame.HeaderSize <= len(outer); at += 8 {
		if _, err := frame.Parse(outer[at:], seed^0xabcdef); err == nil {
			found++
		}
		if frame.Resembles(outer[at:], 8) != (at == 0) {
			t.Errorf("byte %d resembles a frame of epoch 8: %v", at, at != 0)
		}
	}
	if found != 1 {
		t.Errorf("%d frames found in a frame, want 1", found)
	}
}

func TestHeaderAllocations(t *testing.T) {
	h, body := sampleHeader(), []byte("a body")
	p := assemble(h, body, seed)
	if n := testing.AllocsPerRun(100, func() {
		h.BodyLen, h.BodySum = uint32(len(body)), seed.Sum(body)
		h.Put(p, seed)
		if _, _, _, err := frame.Next(p, seed); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("Put and Next allocate %v times, want 0", n)
	}
}

// TestSearch: a header is found wherever it lies among zeros, also where it begins or ends at the edge of what is passed over at once, and what does not fit is not.
func TestSearch(t *testing.T) {
	const epoch, size = 3, 3*4096 + 8
	h := frame.Header{Kind: frame.Batch, LSN: frame.At(epoch, 7), Span: 1, Count: 1}
	for at := 0; at+8 <= size; at += 8 {
		src := make([]byte, size+frame.HeaderSize)
		h.Put(src[at:], 1)
		want := at
		if src = src[:size]; at+frame.HeaderSize > size {
			want = -1
		}
		if got := frame.Search(src, epoch); got != want {
			t.Fatalf("a frame at byte %d of %d is found at %d, want %d", at, size, got, want)
		}
		if got := frame.Search(src, epoch+1); got != -1 {
			t.Fatalf("a frame of another epoch at byte %d is found at %d", at, got)
		}
	}
}
