package segment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// chain makes sealed segments, each of which goes on where the one before ends, and one log of them all. Their files' IDs are 1, 2, ...
func (s *store) chain(parts ...[]batch) (sources []*segment.Segment, l *log) {
	s.t.Helper()
	l = newLog(100, 40)
	for i, part := range parts {
		g, err := s.dir.Create(partition, uint64(i+1), l.next, l.ordinal+l.count, 3)
		must(s.t, err)
		for _, b := range part {
			must(s.t, g.Append(l.make(b)))
		}
		must(s.t, g.Align())
		must(s.t, g.Seal())
		must(s.t, g.Sync())
		sources = append(sources, g)
	}
	return sources, l
}

func repeat(n int, b batch) []batch { return slices.Repeat([]batch{b}, n) }

// model is what is left of a log: for each offset the value of its record.
func (l *log) model(keep func(offset int64) bool) map[int64]string {
	kept := map[int64]string{}
	for _, f := range l.frames {
		body := f.bytes[frame.HeaderSize:][:f.BodyLen]
		records, err := frame.DecodeRecords(nil, &f.Header, body, 0)
		if err != nil {
			panic(err)
		}
		for _, r := range records {
			if keep == nil || keep(r.Offset) {
				kept[r.Offset] = fmt.Sprint(r.Appended.UnixNano(), r.Value)
			}
		}
	}
	return kept
}

// readRecords reads g from its start in reads of so many bytes, and returns what is there as model does. Damage is passed over and returned.
func readRecords(t testing.TB, g *segment.Segment, max int) (map[int64]string, []*storage.DamageError) {
	t.Helper()
	m, got, from := g.Meta(), map[int64]string{}, g.Meta().Base
	var all []*storage.DamageError
	for last := int64(-1); ; {
		frames, err := g.Read(from, max)
		if err != nil {
			d := damage(t, err)
			if d.Next <= from || d.To <= d.From || d.File != g.Name() {
				t.Fatalf("read from %d: damage is misdescribed: %+v", from, d)
			}
			all, from = append(all, d), d.Next
			continue
		}
		if len(frames) == 0 {
			return got, all
		}
		for len(frames) > 0 {
			h, body, size, err := frame.Next(frames, identity.Seed)
			must(t, err)
			if h.Kind == frame.Batch {
				if h.Next() <= from || h.Base <= last || h.Next() > m.Next {
					t.Fatalf("a frame of offsets %d to %d behind %d, read from %d", h.Base, h.Next(), last, from)
				}
				records, err := frame.DecodeRecords(nil, &h, body, 0)
				must(t, err)
				for _, r := range records {
					got[r.Offset] = fmt.Sprint(r.Appended.UnixNano(), r.Value)
				}
				last, from = h.Base, h.Next()
			}
			frames = frames[size:]
		}
	}
}

func sameRecords(got, want map[int64]string) error {
	for offset, w := range want {
		if g, ok := got[offset]; !ok || g != w {
			return fmt.Errorf("offset %d is %.40q, %v, want %.40q", offset, g, ok, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	return nil
}

var mixed = [][]batch{
	append(repeat(50, plain(3, 200)), plain(1, 0), plain(500, 20)),
	{plain(2, 100_000), plain(1, 300_000), plain(1, 5)},
	append(repeat(2000, plain(1, 150)), plain(1, 1<<20)),
}

// What is read of a rewritten segment is what was in its sources, whatever the codec, the block size, and whoever reads how much.
func TestRewrite(t *testing.T) {
	for codec := compress.ID(0); codec <= compress.IDZstd; codec++ {
		for _, blockBytes := range []int{0, 5000} {
			s := newStore(t, 0)
			sources, l := s.chain(mixed...)
			before := len(s.fs.Files())
			g, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 9, Epoch: 4, Codec: codec, BlockBytes: blockBytes})
			must(t, err)
			m := g.Meta()
			want := segment.Meta{
				File: 9, Base: l.base, Next: l.next, Ordinal: l.ordinal, Count: l.count, MinTime: l.frames[0].Time, MaxTime: l.time, LastLSN: l.lsn,
				Length: m.Length, Sealed: true, Rewritten: true, Codec: codec,
			}
			if m != want || len(s.fs.Files()) != before+1 {
				t.Fatalf("described as %+v, want %+v", m, want)
			}
			if codec != 0 && blockBytes == 0 && m.Length > 700_000 { // of 1.9 MB
				t.Errorf("%v: %d bytes", codec, m.Length)
			}
			for _, footer := range []bool{true, false} {
				s.fs = s.fs.Crash(0, 1) // it is durable
				if !footer {
					must(t, s.fs.Resize(g.Name(), m.Length))
				}
				s.dir = segment.NewDir(s.fs, identity, 0)
				again, rest, err := segment.DecodeMeta(m.Append(nil))
				if err != nil || len(rest) > 0 || again != m {
					t.Fatalf("the description came back as %+v, %v", again, err)
				}
				g = s.dir.Open(partition, again)
				for _, max := range []int{3000, 70_000, 1 << 24} {
					readAll(t, g, l, max)
				}
				checkPlaces(t, g, l)
			}
		}
	}
}

// checkPlaces asks for offsets at random and in between, by offset, time and count.
func checkPlaces(t *testing.T, g *segment.Segment, l *log) {
	t.Helper()
	for i := range l.frames {
		f := &l.frames[(i*7919)%len(l.frames)]
		for _, offset := range []int64{f.Base, f.Next() - 1} {
			got, err := g.Read(offset, 1000)
			must(t, err)
			_, err = l.checkRead(got, offset, 1000)
			must(t, err)
			if n, err := g.Ordinal(offset); err != nil || n != l.ordinal+offset-l.base {
				t.Fatalf("ordinal of %d: %d, %v", offset, n, err)
			}
		}
		if i%50 != 0 {
			continue
		}
		for _, at := range []int64{f.Time, f.Time + 1} {
			offset, ok, err := g.OffsetAt(at)
			if want, wantOK := l.offsetAt(at); err != nil || offset != want || ok != wantOK {
				t.Fatalf("offset at %d: got %d, %v, %v, want %d, %v", at, offset, ok, err, want, wantOK)
			}
		}
	}
}

// What is not kept is gone, offsets and ordinals stay: also where whole frames, blocks, segments lose all their records.
func TestRewriteDropping(t *testing.T) {
	keeps := map[string]func(offset int64) bool{
		"nothing":        func(int64) bool { return false },
		"the first":      func(o int64) bool { return o == 100 },
		"the last":       func(o int64) bool { return o == 100+100_005 },
		"every third":    func(o int64) bool { return o%3 == 0 },
		"every 7000th":   func(o int64) bool { return o%7000 == 0 },
		"not the middle": func(o int64) bool { return o < 5000 || o > 90_000 },
		"all":            func(int64) bool { return true },
	}
	for name, keep := range keeps {
		for _, codec := range []compress.ID{0, compress.IDS2} {
			s := newStore(t, 0)
			sources, l := s.chain(repeat(100, plain(500, 10)), repeat(50, plain(1000, 3)), repeat(6, plain(1, 9)))
			if l.next != 100+100_006 {
				t.Fatalf("the log ends at %d", l.next)
			}
			r := segment.Rewrite{Sources: sources, File: 9, Codec: codec, BlockBytes: 2000, Keep: func(r *storage.Record) bool { return keep(r.Offset) }}
			g, err := s.dir.Rewrite(t.Context(), r)
			must(t, err)
			// and once more: what was rewritten can be rewritten
			r.Sources, r.File, r.Codec, r.BlockBytes = []*segment.Segment{g}, 10, compress.IDZstd, 0
			again, err := s.dir.Rewrite(t.Context(), r)
			must(t, err)
			want := l.model(keep)
			for _, g := range []*segment.Segment{g, again} {
				m := g.Meta()
				if m.Base != l.base || m.Next != l.next || m.Count != l.count || m.Records() != int64(len(want)) || m.MaxTime != l.time {
					t.Fatalf("%s: described as %+v, want %d records", name, m, len(want))
				}
				s.reopen()
				g = s.dir.Open(partition, m)
				for _, max := range []int{1, 1 << 20} {
					got, lost := readRecords(t, g, max)
					if err := sameRecords(got, want); err != nil || len(lost) > 0 {
						t.Fatalf("%s, codec %v: %v, lost %v", name, m.Codec, err, lost)
					}
				}
				for offset := l.base; offset <= l.next; offset += 997 {
					if n, err := g.Ordinal(offset); err != nil || n != l.ordinal+offset-l.base {
						t.Fatalf("%s: ordinal of %d: %d, %v", name, offset, n, err)
					}
				}
				for _, f := range l.frames {
					at, ok, err := g.OffsetAt(f.Time)
					if err != nil || ok && (at < f.Base || at > f.Base && hasAny(want, f.Base, at)) || !ok && hasAny(want, f.Base, l.next) {
						t.Fatalf("%s: offset at the time of %d: %d, %v, %v", name, f.Base, at, ok, err)
					}
				}
			}
		}
	}
}

// hasAny tells whether any record is from an offset up to another.
func hasAny(records map[int64]string, from, to int64) bool {
	for o := from; o < to; o++ {
		if _, ok := records[o]; ok {
			return true
		}
	}
	return false
}

func TestRewriteRefusesSources(t *testing.T) {
	s := newStore(t, 0)
	a, _ := s.chain(repeat(3, plain(2, 10)), repeat(3, plain(2, 10)), repeat(3, plain(2, 10)))
	l := newLog(7000, 0)
	gap, err := s.dir.Create(partition, 20, l.base, 0, 3)
	must(t, err)
	must(t, errors.Join(gap.Append(l.make(plain(1, 1))), gap.Append(l.make(batch{gap: 1, skips: []uint8{0}})), gap.Seal()))
	open, err := s.dir.Create(partition, 21, a[2].Meta().Next, a[2].Meta().Ordinal+a[2].Meta().Count, 3)
	must(t, err)
	other, err := s.dir.Create(partition+1, 22, a[2].Meta().Next, a[2].Meta().Ordinal+a[2].Meta().Count, 3)
	must(t, errors.Join(err, other.Seal()))
	files := len(s.fs.Files())
	for name, sources := range map[string][]*segment.Segment{
		"none": {}, "one missing between": {a[0], a[2]}, "out of order": {a[1], a[0]}, "twice": {a[0], a[0]},
		"with a gap": {gap}, "not sealed": {a[2], open}, "of another partition": {a[2], other},
	} {
		if _, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 9}); !errors.Is(err, segment.ErrSources) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: a, File: 9, Codec: 77}); err == nil {
		t.Error("rewritten with an unknown codec")
	}
	if len(s.fs.Files()) != files {
		t.Error("files were made")
	}
}

// A rewriting that fails, at any operation, or is cancelled, leaves the sources as they were, and no file. What cannot be removed is known by its header.
func TestRewriteFails(t *testing.T) {
	fails := 0
	for op := 1; ; op++ {
		s := newStore(t, 0)
		sources, l := s.chain(repeat(20, plain(2, 1000)), repeat(20, plain(2, 1000)))
		before := s.fs.Files()
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		r := segment.Rewrite{Sources: sources, File: 9, Codec: compress.IDZstd, BlockBytes: 10_000}
		if op%2 == 0 {
			r.Pace = func(context.Context, int) error { return ctx.Err() }
		}
		s.fs.OnOp(func(vfs.Op) error {
			if n++; n != op {
				return nil
			}
			if op%2 == 0 {
				cancel()
				return nil
			}
			return fs.ErrPermission
		})
		_, err := s.dir.Rewrite(ctx, r)
		s.fs.OnOp(nil)
		cancel()
		if n < op {
			break
		}
		fails++
		if err == nil && op%2 != 0 || err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, context.Canceled) {
			t.Errorf("operation %d: %v", op, err)
		}
		if err != nil && !slices.Equal(s.fs.Files(), before) {
			t.Errorf("operation %d: files %v, want %v", op, s.fs.Files(), before)
		}
		got := map[int64]string{}
		for _, g := range sources {
			part, lost := readRecords(t, g, 1<<20)
			if len(lost) > 0 {
				t.Errorf("operation %d: a source is damaged: %v", op, lost)
			}
			for o, v := range part {
				got[o] = v
			}
		}
		if err := sameRecords(got, l.model(nil)); err != nil {
			t.Errorf("operation %d: the sources: %v", op, err)
		}
	}
	if fails < 8 {
		t.Errorf("only %d operations", fails)
	}
	t.Logf("%d operations", fails)
}

// A file that cannot be removed is found and known.
func TestRewriteLeavesAFile(t *testing.T) {
	s := newStore(t, 0)
	sources, _ := s.chain(repeat(20, plain(2, 1000)))
	s.fs.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpRemove || op.Kind == vfs.OpSyncDir {
			return fs.ErrPermission
		}
		return nil
	})
	_, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 9, Codec: compress.IDZstd})
	s.fs.OnOp(nil)
	if !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("got %v", err)
	}
	found, foreign, err := s.dir.Scan()
	if err != nil || len(foreign) > 0 || len(found) != 2 {
		t.Fatalf("found %v, %v, %v", found, foreign, err)
	}
	for _, f := range found {
		if f.Rewritten != (f.File == 9) {
			t.Errorf("file %d: rewritten is %v", f.File, f.Rewritten)
		}
	}
}

// What a bad disk makes of the new file is found before the old ones are given up (G33).
func TestRewriteIsVerified(t *testing.T) {
	for _, codec := range []compress.ID{0, compress.IDZstd} {
		caught := 0
		s := newStore(t, 0)
		sources, _ := s.chain(repeat(10, plain(2, 100)))
		g, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 8, Codec: codec})
		must(t, err)
		content, err := s.fs.Contents(g.Name())
		must(t, err)
		name := fmt.Sprintf("seg/%08x/%016x", uint32(partition), 9)
		for at := int64(4096); at < int64(len(content)); at += 3 {
			flipped := false
			s.fs.OnOp(func(op vfs.Op) error {
				if op.Kind == vfs.OpRead && op.Name == name && !flipped {
					flipped = true
					return s.fs.FlipBit(name, at, uint(at%8))
				}
				return nil
			})
			_, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 9, Codec: codec})
			s.fs.OnOp(nil)
			switch {
			case !flipped:
				t.Fatal("nothing was read back")
			case err != nil:
				caught++
				var d *storage.DamageError
				if errors.As(err, &d) {
					t.Fatalf("a damaged copy is reported as damage of the store: %v", err)
				}
			default: // only what nothing says anything about
				must(t, s.fs.Delete(name))
			}
		}
		if tried := (len(content) - 4096 + 2) / 3; caught < tried*9/10 {
			t.Errorf("codec %v: %d of %d flips were caught", codec, caught, tried)
		}
	}
}

// A damaged source is damage, told with its place, and nothing is rewritten.
func TestRewriteOfDamage(t *testing.T) {
	s := newStore(t, 0)
	sources, l := s.chain(repeat(10, plain(2, 100)), repeat(10, plain(2, 100)))
	must(t, s.fs.FlipBit(sources[1].Name(), 4096+500, 1))
	files := len(s.fs.Files())
	_, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 9, Codec: compress.IDS2})
	if d := damage(t, err); d.File != sources[1].Name() || d.First < l.frames[10].Base || len(s.fs.Files()) != files {
		t.Errorf("got %v, %d files", d, len(s.fs.Files()))
	}
}

// Every bit of a small compressed segment: what is read is right or reported, and what is reported is of the block that was damaged.
func TestFlipsInBlocks(t *testing.T) {
	for codec := compress.ID(1); codec <= compress.IDZstd; codec++ {
		s := newStore(t, 0)
		sources, l := s.chain(repeat(40, plain(2, 20)))
		drop := func(o int64) bool { return o%10 != 5 }
		r := segment.Rewrite{Sources: sources, File: 9, Codec: codec, BlockBytes: 1000, Keep: func(r *storage.Record) bool { return drop(r.Offset) }}
		g, err := s.dir.Rewrite(t.Context(), r)
		must(t, err)
		m, name, want := g.Meta(), g.Name(), l.model(drop)
		content, err := s.fs.Contents(name)
		must(t, err)
		ends := blockEnds(t, content[4096:m.Length])
		if len(ends) < 4 {
			t.Fatalf("%d blocks", len(ends))
		}
		for at := int64(0); at < int64(len(content)); at++ {
			if at > 64 && at < 4096 && at%64 != 0 {
				continue
			}
			changed := bytes.Clone(content)
			changed[at] ^= 1 << (at % 8)
			must(t, s.fs.SetContents(name, changed))
			s.reopen()
			g := s.dir.Open(partition, m)
			got, lost := readRecords(t, g, 500)
			for o := range want {
				if got[o] == "" && !slices.ContainsFunc(lost, func(d *storage.DamageError) bool { return d.First <= o && o < d.Next }) {
					t.Fatalf("codec %v, byte %d: offset %d is missing without a word", codec, at, o)
				}
			}
			for o, v := range got {
				if v != want[o] {
					t.Fatalf("codec %v, byte %d: offset %d is not what was written", codec, at, o)
				}
			}
			if len(lost) > 1 || len(lost) == 1 && (at < lost[0].From || at >= lost[0].To) || at >= m.Length && len(lost) > 0 {
				t.Fatalf("codec %v, byte %d: reported as %v", codec, at, lost)
			}
			for _, f := range l.frames[:10] {
				if at, ok, err := g.OffsetAt(f.Time); err != nil {
					damage(t, err)
				} else if !ok || at < f.Base {
					t.Fatalf("offset at %d: %d, %v", f.Time, at, ok)
				}
			}
		}
	}
}

// blockEnds returns where the frames end.
func blockEnds(t testing.TB, p []byte) (ends []int) {
	t.Helper()
	for at := 0; at < len(p); {
		h, err := frame.Parse(p[at:], identity.Seed)
		must(t, err)
		at += h.Size()
		ends = append(ends, at)
	}
	return ends
}

// TestDamagedBlockIsLocated: exactly the bytes and the offsets of the block.
func TestDamagedBlockIsLocated(t *testing.T) {
	s := newStore(t, 0)
	sources, _ := s.chain(repeat(3000, plain(3, 100)))
	g, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 9, Codec: compress.IDSnappy, BlockBytes: 100_000})
	must(t, err)
	content, err := s.fs.Contents(g.Name())
	must(t, err)
	for pos := int64(4096); pos < g.Meta().Length; {
		h, err := frame.Parse(content[pos:], identity.Seed)
		must(t, err)
		must(t, s.fs.FlipBit(g.Name(), pos+frame.HeaderSize+int64(h.BodyLen)/2, 5))
		m := g.Meta()
		s.reopen()
		g = s.dir.Open(partition, m)
		got, lost := readRecords(t, g, 1<<20)
		want := storage.DamageError{File: g.Name(), From: pos, To: pos + int64(h.Size()), Partition: partition, First: h.Base, Next: h.Next()}
		if len(lost) != 1 {
			t.Fatalf("reported as %v", lost)
		}
		want.Reason = lost[0].Reason
		if *lost[0] != want || int64(len(got)) != m.Count-int64(h.Count) {
			t.Errorf("reported as %+v, want %+v; %d records served", *lost[0], want, len(got))
		}
		must(t, s.fs.FlipBit(g.Name(), pos+frame.HeaderSize+int64(h.BodyLen)/2, 5))
		pos += int64(h.Size())
	}
}

// Readers that take little at a time expand a block once, not once for each read; what is kept expanded is bounded.
func TestBlocksAreKept(t *testing.T) {
	s := newStore(t, 0)
	sources, l := s.chain(repeat(20_000, plain(1, 100)))
	g, err := s.dir.Rewrite(t.Context(), segment.Rewrite{Sources: sources, File: 9, Codec: compress.IDZstd})
	must(t, err)
	content, err := s.fs.Contents(g.Name())
	must(t, err)
	blocks := len(blockEnds(t, content[4096:g.Meta().Length]))
	before := s.fs.Ops()
	reads := readAll(t, g, l, 2000)
	if ops := s.fs.Ops() - before; reads < 1500 || ops > 3*blocks+20 {
		t.Errorf("%d reads of %d blocks took %d operations", reads, blocks, ops)
	}
}
