package segment_test

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/compress/compresstest"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

// FuzzSegment puts arbitrary bytes behind a good header block, their sums made right if mended, and has them described as a segment: nothing panics or
// allocates without bound, what is read are frames of the partition within the described offsets, in order, and what cannot be is damage or of a newer format.
func FuzzSegment(f *testing.F) {
	for _, seal := range []bool{false, true} {
		p := newPatient(f, seal, small...)
		content, err := p.fs.Contents(p.name)
		must(f, err)
		for _, mended := range []bool{false, true} {
			f.Add(content[4096:], p.m.Length, p.m.Next, seal, mended)
			f.Add(content[4096:], p.m.Length-8, p.m.Next, seal, mended)
			f.Add(content[4096:], p.m.Length+8000, p.m.Next+1000, seal, mended)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, length, next int64, sealed, mended bool) {
		l := newLog(100, 40)
		s := newStore(t, 0)
		name := s.create(1, l).Name()
		header, err := s.fs.Contents(name)
		must(t, err)
		m := segment.Meta{File: 1, Base: 100, Next: next, Ordinal: 40, MinTime: 1, MaxTime: 1 << 60, Length: length &^ 7, Sealed: sealed}
		if m, _, err = segment.DecodeMeta(m.Append(nil)); err != nil {
			return
		}
		if mended {
			content = mend(content, m.Length-4096)
		}
		must(t, s.fs.SetContents(name, append(header, content...)))
		s.reopen()
		g := s.dir.Open(partition, m)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		readAnything(t, g, &m)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 128<<20+100*uint64(len(content)) {
			t.Fatalf("%d bytes allocated for a file of %d", grown, len(content))
		}
	})
}

// mend returns content with the sums of frames, up to length, and of the footer behind them made right.
func mend(content []byte, length int64) []byte {
	content = append([]byte(nil), content...)
	le, seed := binary.LittleEndian, identity.Seed
	for rest := content[:min(int64(len(content)), length)]; len(rest) >= frame.HeaderSize; {
		if n := int64(le.Uint32(rest[4:])); n <= int64(len(rest)-frame.HeaderSize) {
			le.PutUint32(rest[8:], seed.Sum(rest[frame.HeaderSize:][:n]))
		}
		le.PutUint32(rest, seed.Sum(rest[4:frame.HeaderSize]))
		h, err := frame.Parse(rest, seed)
		if err != nil || h.Size() > len(rest) {
			break
		}
		rest = rest[h.Size():]
	}
	if int64(len(content)) >= length+96 {
		footer := content[length:]
		le.PutUint32(footer[len(footer)-16:], seed.Sum(footer[:len(footer)-16]))
	}
	return content
}

func readAnything(t *testing.T, g *segment.Segment, m *segment.Meta) {
	var buf []byte
	for from, reads := m.Base, 0; from < m.Next && reads < 20; reads++ {
		got, err := g.ReadInto(&buf, from, 1<<16)
		if errors.Is(err, storage.ErrFormat) { // of a mended input: the sums of a frame of a newer version hold
			break
		}
		if err != nil {
			from = damage(t, err).Next
			continue
		}
		if len(got) == 0 {
			break
		}
		for len(got) > 0 {
			h, _, size, err := frame.Next(got, identity.Seed)
			if err != nil || h.Partition != uint32(partition) || h.Next() > m.Next || h.Base < m.Base {
				t.Fatalf("read from %d returned %+v, %v", from, h, err)
			}
			if h.Kind == frame.Batch {
				from = max(from, h.Next())
			}
			got = got[size:]
		}
	}
	for _, err := range locateAnything(g, m) {
		if d := (*storage.DamageError)(nil); err != nil && !errors.Is(err, storage.ErrFormat) && !errors.As(err, &d) {
			t.Fatal(err)
		}
	}
}

func locateAnything(g *segment.Segment, m *segment.Meta) [3]error {
	_, _, timeErr := g.OffsetAt(5000)
	_, countErr := g.Ordinal(m.Base + (m.Next-m.Base)/2)
	if m.Sealed {
		return [3]error{timeErr, countErr}
	}
	sealErr := g.Seal()
	if errors.Is(sealErr, segment.ErrSealed) { // the file ends with a footer that its description does not know of
		sealErr = nil
	}
	return [3]error{timeErr, countErr, sealErr}
}

// FuzzBlocks is FuzzSegment for what was rewritten: compressed blocks, with their sums made right if mended, so that what is behind them is reached.
func FuzzBlocks(f *testing.F) {
	for codec := compress.IDGzip; codec <= compress.IDZstd; codec++ {
		content, m := rewritten(f, codec)
		for _, mended := range []bool{false, true} {
			f.Add(content, m.Length, m.Next, uint8(codec), int64(0), mended)
			f.Add(content, m.Length-8, m.Next, uint8(codec), int64(5), mended)
			f.Add(content, m.Length+8000, m.Next+1000, uint8(codec%4+1), int64(1), mended)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, length, next int64, codec uint8, dropped int64, mended bool) {
		m := segment.Meta{
			File: 9, Base: 100, Next: next, Ordinal: 40, Count: next - 100, MinTime: 1, MaxTime: 1 << 60, Length: length &^ 7,
			Sealed: true, Rewritten: true, Codec: compress.ID(codec), Dropped: dropped,
		}
		m, _, err := segment.DecodeMeta(m.Append(nil))
		if err != nil {
			return
		}
		s := newStore(t, 0)
		sources, _ := s.chain(repeat(1, plain(1, 1)))
		g, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 9})
		must(t, err)
		header, err := s.fs.Contents(g.Name())
		must(t, err)
		if mended {
			content = mend(content, m.Length-4096)
		}
		must(t, s.fs.SetContents(g.Name(), append(header[:4096], content...)))
		s.reopen()
		g = s.dir.Open(partition, m)
		compresstest.Bounded(t, 128<<20+100*uint64(len(content)), func() { readAnything(t, g, &m) })
	})
}

// rewritten returns what is behind the header block of a compressed segment, and its description.
func rewritten(t testing.TB, codec compress.ID) ([]byte, segment.Meta) {
	s := newStore(t, 0)
	sources, _ := s.chain(repeat(30, plain(2, 30)))
	r := segment.Rewrite{Sources: sources, File: 9, Codec: codec, BlockBytes: 1000, Keep: func(r *storage.Record) bool { return r.Offset%7 != 0 }}
	g, err := s.dir.Rewrite(context.Background(), r)
	must(t, err)
	content, err := s.fs.Contents(g.Name())
	must(t, err)
	return content[4096:], g.Meta()
}
