package segment_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// newFile is how the name of a file ends that a step makes.
const newFile = "00000000000000ff"

// The segments that each start has.
const (
	ofSealed     = iota // with a footer, offsets without gaps
	ofRetired           // without a footer
	ofGaps              // sealed, with gaps in its offsets
	ofCompressed        // rewritten into blocks, some of which would not become smaller
	ofRewritten         // without blocks
	ofOpen              // not sealed, with something behind its end
	ofEmpty             // sealed, without records
)

// segmentsForFaults makes a directory.
func segmentsForFaults(t *testing.T) (*memfs.FS, []segment.Meta) {
	s := newStore(t, 0)
	noise := batch{skips: []uint8{0}, value: 20_000, later: 10, noise: 20_000}
	large := batch{skips: []uint8{0}, value: 110_000, later: 10, noise: 75_000}
	many := slices.Concat(repeat(30, plain(5, 400)), []batch{noise, large, plain(1, 10)})
	var metas []segment.Meta
	closed := func(g *segment.Segment, footer bool) {
		m := g.Meta()
		if m.Sealed = true; !footer {
			m.Retired = true
		}
		metas = append(metas, m)
	}
	sealed, l := s.chain(many)
	closed(sealed[0], true)

	l = newLog(l.next, l.ordinal+l.count)
	retired := s.create(2, l)
	for _, b := range many {
		must(t, retired.Append(l.make(b)))
	}
	must(t, retired.Sync())
	closed(retired, false)

	l = newLog(l.next, l.ordinal+l.count)
	gaps := s.create(3, l)
	for range 50 {
		must(t, errors.Join(gaps.Append(l.make(batch{gap: 2, skips: []uint8{0, 3, 0, 1}, after: 4, value: 700, later: 5})), gaps.Append(l.make(plain(3, 900)))))
	}
	must(t, errors.Join(gaps.Align(), gaps.Seal(), gaps.Sync()))
	closed(gaps, true)

	for i, codec := range []compress.ID{compress.IDZstd, 0} {
		g, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sealed, File: uint64(4 + i), Codec: codec, BlockBytes: 20_000, Keep: func(r *storage.Record) bool { return r.Offset%9 != 0 }})
		must(t, err)
		closed(g, true)
	}

	l = newLog(l.next, l.ordinal+l.count)
	open := s.create(6, l)
	for range 5 {
		must(t, open.Append(l.make(plain(3, 300))))
	}
	m := open.Meta()
	must(t, errors.Join(open.Append(l.make(plain(3, 300))), open.Sync()))
	metas = append(metas, m)

	l = newLog(l.next, l.ordinal+l.count)
	empty := s.create(7, l)
	must(t, errors.Join(empty.Seal(), empty.Sync()))
	closed(empty, true)
	must(t, s.dir.Close())
	return s.fs, metas
}

// faultStarts returns segments of each kind, whole and with something wrong in them.
func faultStarts(t *testing.T) (all []*faultStart) {
	t.Helper()
	fs, metas := segmentsForFaults(t)
	start := func(name string, harm func(s *store, m segment.Meta), whose ...int) {
		for _, n := range whose {
			x := &faultStart{name: name, fs: fs.Clone(memfs.Everything, 1), metas: metas, unto: n}
			if harm != nil {
				harm(&store{t: t, fs: x.fs}, metas[n])
			}
			all = append(all, x)
		}
	}
	start("whole", nil, ofSealed, ofRetired, ofGaps, ofCompressed, ofRewritten, ofOpen, ofEmpty)
	start("the sum of a header", harmFrame(func(b []byte, _ int) { b[1] ^= 4 }), ofSealed, ofRetired, ofGaps, ofCompressed, ofRewritten, ofOpen)
	start("the sum of a large header", func(s *store, m segment.Meta) { s.edit(m, last, func(b []byte, _ int) { b[1] ^= 4 }) }, ofSealed, ofRetired)
	start("a length", harmFrame(func(b []byte, _ int) { b[5] ^= 4 }), ofSealed, ofRetired, ofGaps, ofCompressed, ofOpen)
	start("a body", harmFrame(func(b []byte, _ int) { b[frame.HeaderSize+9] ^= 4 }), ofSealed, ofGaps, ofCompressed, ofOpen)
	start("a length and the first header", func(s *store, m segment.Meta) {
		harmFrame(func(b []byte, _ int) { b[6] ^= 1 })(s, m)
		s.edit(m, 0, func(b []byte, _ int) { b[5] ^= 4 })
	}, ofSealed, ofRetired, ofGaps, ofCompressed)
	start("a newer frame", harmFrame(func(b []byte, _ int) { b[14]++; resum(b) }), ofSealed, ofGaps, ofCompressed)
	start("records that nobody wrote", harmFrame(func(b []byte, size int) {
		body := b[frame.HeaderSize:][:frame.Checked(b).BodyLen]
		body[0] = 0xff
		h := frame.Checked(b)
		h.BodySum = identity.Seed.Sum(body)
		h.Put(b, identity.Seed)
	}), ofSealed, ofGaps, ofCompressed)
	start("many zeros", func(s *store, m segment.Meta) {
		must(s.t, s.fs.ZeroRange(nameOf(m), 4096+5000, 80_000))
	}, ofSealed, ofRetired, ofGaps)
	start("garbage", func(s *store, m segment.Meta) {
		b, err := s.fs.Contents(nameOf(m))
		must(s.t, err)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := 4096 + 5000; i < 4096+85_000; i++ {
			b[i] = byte(rng.Uint32())
		}
		must(s.t, s.fs.SetContents(nameOf(m), b))
	}, ofSealed, ofGaps)
	start("its header block", func(s *store, m segment.Meta) { must(s.t, s.fs.FlipBit(nameOf(m), 30, 1)) }, ofSealed, ofOpen, ofCompressed)
	start("a newer header block", func(s *store, m segment.Meta) {
		b, err := s.fs.Contents(nameOf(m))
		must(s.t, err)
		b[12]++
		sum := identity.Seed.Sum(b[12:4096])
		b[8], b[9], b[10], b[11] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
		must(s.t, s.fs.SetContents(nameOf(m), b))
	}, ofSealed)
	start("its footer", func(s *store, m segment.Meta) { must(s.t, s.fs.FlipBit(nameOf(m), m.Length+3, 1)) }, ofSealed, ofGaps, ofCompressed)
	start("no footer, and a header", func(s *store, m segment.Meta) {
		must(s.t, s.fs.Resize(nameOf(m), m.Length))
		harmFrame(func(b []byte, _ int) { b[5] ^= 4 })(s, m)
	}, ofSealed, ofGaps, ofCompressed)
	start("cut", func(s *store, m segment.Meta) { must(s.t, s.fs.Resize(nameOf(m), (4096+m.Length)/2+11)) }, ofSealed, ofGaps, ofCompressed, ofOpen)
	start("cut within its header block", func(s *store, m segment.Meta) { must(s.t, s.fs.Resize(nameOf(m), 100)) }, ofSealed, ofOpen)
	start("cut, and a header", func(s *store, m segment.Meta) {
		s.edit(m, 1, func(b []byte, _ int) { b[5] ^= 4 })
		must(s.t, s.fs.Resize(nameOf(m), m.Length-20))
	}, ofOpen)
	start("missing", func(s *store, m segment.Meta) { must(s.t, s.fs.Delete(nameOf(m))) }, ofSealed, ofOpen, ofEmpty)
	start("no directory", func(s *store, _ segment.Meta) { must(s.t, s.fs.Rename("seg", "gone")) }, ofSealed)
	start("a directory", func(s *store, m segment.Meta) {
		must(s.t, errors.Join(s.fs.Delete(nameOf(m)), s.fs.Mkdir(nameOf(m))))
	}, ofSealed)
	return all
}

func nameOf(m segment.Meta) string { return segmentName(m.File) }

func segmentName(file uint64) string { return fmt.Sprintf("seg/%08x/%016x", uint32(partition), file) }

// harmFrame edits the frame in the middle of a segment.
func harmFrame(edit func(b []byte, size int)) func(s *store, m segment.Meta) {
	return func(s *store, m segment.Meta) { s.edit(m, middle, edit) }
}

// Numbers of frames.
const (
	middle = -1
	last   = -2 // but those that are small
)

// edit changes the n-th frame of a segment.
func (s *store) edit(m segment.Meta, n int, edit func(b []byte, size int)) {
	s.t.Helper()
	b, err := s.fs.Contents(nameOf(m))
	must(s.t, err)
	var at []int
	for pos := 4096; pos < int(m.Length) && (n < 0 || len(at) <= n); {
		at = append(at, pos)
		h := frame.Checked(b[pos:])
		pos += h.Size()
	}
	switch {
	case n == middle:
		n = len(at) / 2
	case n == last:
		n = len(at) - 3 // the large one
	}
	h := frame.Checked(b[at[n]:])
	edit(b[at[n]:][:h.Size()], h.Size())
	must(s.t, s.fs.SetContents(nameOf(m), b))
}

// resum makes the sum of a header right.
func resum(b []byte) {
	sum := identity.Seed.Sum(b[4:frame.HeaderSize])
	b[0], b[1], b[2], b[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
}
