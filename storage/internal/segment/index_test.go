package segment_test

import (
	"encoding/binary"
	"testing"

	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// count returns how many operations of a kind work does.
func (s *store) count(kind vfs.Kind, work func()) int {
	n := 0
	s.fs.OnOp(func(op vfs.Op) error {
		if op.Kind == kind {
			n++
		}
		return nil
	})
	work()
	s.fs.OnOp(nil)
	return n
}

// medium returns n batches of about 4 KiB: 16 to a line of the index.
func medium(n int) []batch {
	batches := make([]batch, n)
	for i := range batches {
		batches[i] = plain(4, 1000)
	}
	return batches
}

// A read is one call to the file system, wherever it begins, but for those that open the file and load the index.
func TestOneCallEachRead(t *testing.T) {
	for _, seal := range []bool{false, true} {
		p := newPatient(t, seal, append(medium(60), plain(1, 100_000), plain(1, 100_000), plain(1, 100_000))...)
		g := p.open()
		if _, err := g.Read(p.l.base+1, 1); err != nil {
			t.Fatal(err)
		}
		for _, from := range []int{0, 15, 16, 47, 31, 3, 59, 61} {
			calls := p.count(vfs.OpRead, func() {
				got, err := g.Read(p.l.frames[from].Base, 5000)
				must(t, err)
				_, err = p.l.checkRead(got, p.l.frames[from].Base, 5000)
				must(t, err)
			})
			if big := from > 59; calls != 1 && !big {
				t.Errorf("sealed %v: a read of frame %d takes %d calls", seal, from, calls)
			}
		}
		var reads int
		calls := p.count(vfs.OpRead, func() { reads = readAllWith(t, p.l, 20_000, g.Read) })
		if calls > reads+1 { // the first of the large frames comes as a surprise
			t.Errorf("sealed %v: %d reads from start to end take %d calls", seal, reads, calls)
		}
	}
}

// A reader that goes on does not look again at what it has passed: damage there does not stop it.
func TestReadersGoOn(t *testing.T) {
	p := newPatient(t, false, medium(10)...)
	g := p.open()
	places := []int{3, 5, 8}
	for _, i := range places {
		_, err := g.Read(p.l.frames[i].Base, 1)
		must(t, err)
	}
	must(t, p.fs.ZeroRange(p.name, 4096, p.pos[3]-4096))
	for _, i := range places {
		calls := p.count(vfs.OpRead, func() {
			if _, err := g.Read(p.l.frames[i].Next(), 1); err != nil {
				t.Errorf("the reader behind frame %d: %v", i, err)
			}
		})
		if calls != 1 {
			t.Errorf("the reader behind frame %d takes %d calls", i, calls)
		}
	}
	_, err := g.Read(p.l.frames[2].Base, 1)
	damage(t, err)
}

// More readers than there are hints.
func TestManyReaders(t *testing.T) {
	p := newPatient(t, true, medium(40)...)
	g := p.open()
	var next [20]int64
	for i := range next {
		next[i] = p.l.frames[i].Base
	}
	for range 20 {
		for i, from := range next {
			got, err := g.Read(from, 1)
			must(t, err)
			next[i], err = p.l.checkRead(got, from, 1)
			must(t, err)
		}
	}
}

// The index that is made from frames is as good as the one that was made while they were appended.
func TestIndexFromFrames(t *testing.T) {
	p := newPatient(t, true, medium(40)...)
	must(t, p.fs.Resize(p.name, p.m.Length)) // no footer
	g := p.open()
	_, err := g.Read(p.l.base, 1)
	must(t, err)
	must(t, p.fs.FlipBit(p.name, p.pos[18], 0))
	if _, err := g.Read(p.l.frames[18].Base, 1); damage(t, err).Next != p.l.frames[19].Base {
		t.Errorf("damage of one frame is described as %v", err)
	}
	for _, i := range []int{19, 34} {
		if _, err := g.Read(p.l.frames[i].Base, 1); err != nil {
			t.Errorf("read of frame %d, behind the damage: %v", i, err)
		}
	}
}

// The index of a sealed segment goes with its open file: one block for the header, one for the footer, one for the frames.
func TestIndexGoesWithFile(t *testing.T) {
	s := newStore(t, 1)
	l := newLog(0, 0)
	g := s.create(1, l)
	for _, b := range medium(40) {
		must(t, g.Append(l.make(b)))
	}
	must(t, g.Seal())
	s.create(2, newLog(0, 0)) // closes the file of the other
	calls := s.count(vfs.OpRead, func() {
		_, err := g.Read(l.frames[20].Base, 1)
		must(t, err)
	})
	if calls != 3 {
		t.Errorf("the first read of a closed segment takes %d calls, want 3", calls)
	}
	readAll(t, g, l, 1<<20)
}

// The digest in the footer is that of all frames, whichever process appended them.
func TestDigest(t *testing.T) {
	p := newPatient(t, false, small...)
	g := p.open()
	must(t, g.Align())
	must(t, g.Append(p.l.make(plain(2, 10))))
	must(t, g.Seal())
	content, err := p.fs.Contents(p.name)
	must(t, err)
	var want uint64
	for pos := int64(4096); pos < g.Meta().Length; {
		h, err := frame.Parse(content[pos:], identity.Seed)
		must(t, err)
		x := uint64(pos)<<32 ^ uint64(binary.LittleEndian.Uint32(content[pos:]))
		x = (x ^ x>>33) * 0xff51afd7ed558ccd
		x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
		want += x ^ x>>33
		pos += int64(h.Size())
	}
	trailer := content[len(content)-96:]
	if got := binary.LittleEndian.Uint64(trailer[72:]); got != want {
		t.Errorf("digest %x, want %x", got, want)
	}
}
