package segment_test

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

// patient is a segment to be damaged: its frames, and where they stand.
type patient struct {
	*store
	l    *log
	m    segment.Meta
	name string
	pos  []int64 // of the frames
	end  int64   // of the file
}

func newPatient(t testing.TB, seal bool, batches ...batch) *patient {
	t.Helper()
	p := &patient{store: newStore(t, 0), l: newLog(100, 40)}
	g := p.create(1, p.l)
	for i, b := range batches {
		p.pos = append(p.pos, g.Meta().Length)
		must(t, g.Append(p.l.make(b)))
		if i == 1 {
			must(t, g.Align())
		}
	}
	if seal {
		must(t, g.Seal())
	}
	p.m, p.name = g.Meta(), g.Name()
	p.reopen()
	content, err := p.fs.Contents(p.name)
	must(t, err)
	p.end = int64(len(content))
	return p
}

// open returns the segment as a new process finds it.
func (p *patient) open() *segment.Segment {
	p.reopen()
	return p.dir.Open(partition, p.m)
}

// survey reads everything that can be read, behind damage too, and returns all damage. Each frame is either right or reported as lost.
func (p *patient) survey(t *testing.T, max int) (all []*storage.DamageError) {
	t.Helper()
	g, from, frames := p.open(), p.l.base, p.l.frames
	var buf []byte
	for from < p.l.next {
		got, err := g.ReadInto(&buf, from, max)
		if err != nil {
			d := damage(t, err)
			if d.File != p.name || d.Partition != partition || d.Next <= from || d.To <= d.From {
				t.Fatalf("read from %d: damage is misdescribed: %+v", from, d)
			}
			all, from = append(all, d), d.Next
			for len(frames) > 0 && frames[0].Base < from {
				if frames[0].Next() <= d.First {
					t.Fatalf("offset %d is lost, and only %v is reported", frames[0].Base, d)
				}
				frames = frames[1:]
			}
			continue
		}
		if len(got) == 0 {
			t.Fatalf("read from %d returned nothing, and %d frames are missing", from, len(frames))
		}
		for len(got) > 0 {
			h, body, size, err := frame.Next(got, identity.Seed)
			must(t, err)
			if h.Kind == frame.Batch {
				if len(frames) == 0 || !bytes.Equal(got[:frame.HeaderSize+len(body)], frames[0].bytes[:frame.HeaderSize+len(body)]) {
					t.Fatalf("read from %d returned a frame of offset %d that is not what was appended next", from, h.Base)
				}
				frames, from = frames[1:], h.Next()
			}
			got = got[size:]
		}
	}
	if len(frames) > 0 {
		t.Fatalf("%d frames are missing without a word", len(frames))
	}
	return all
}

// locate asks for places, which is answered right or with damage that offsets are lost by.
func (p *patient) locate(t *testing.T) {
	t.Helper()
	g := p.open()
	for offset := p.l.base; offset <= p.l.next; offset++ {
		if got, err := g.Ordinal(offset); err != nil {
			loss(t, err)
		} else if want := p.l.ordinalOf(offset); got != want {
			t.Fatalf("ordinal of %d: got %d, want %d", offset, got, want)
		}
	}
	for _, f := range p.l.frames {
		got, ok, err := g.OffsetAt(f.Time)
		if err != nil {
			loss(t, err)
		} else if want, wantOK := p.l.offsetAt(f.Time); got != want || ok != wantOK {
			t.Fatalf("offset at %d: got %d, %v, want %d, %v", f.Time, got, ok, want, wantOK)
		}
	}
}

func loss(t *testing.T, err error) {
	t.Helper()
	if d := damage(t, err); d.Next <= d.First {
		t.Fatalf("no offset is lost by %v", d)
	}
}

var small = []batch{plain(3, 10), plain(1, 40), {gap: 3, skips: []uint8{1, 2, 0}, after: 2, value: 5, later: 10}, plain(2, 100), plain(1, 9)}

// gapless has no gap behind the padding, so that none is lost by damage of it.
var gapless = []batch{plain(3, 10), plain(1, 40), plain(2, 5), plain(2, 100)}

// Every byte damaged, but for long runs that are alike: what is read is right or reported, and the report is of the place that was damaged.
func TestFlips(t *testing.T) {
	for i, batches := range [][]batch{small, small, gapless} {
		p := newPatient(t, i > 0, batches...)
		for at := int64(0); at < p.end; at++ {
			if dull := at > 64 && at < 4000 || p.padding(at); dull && at%64 != 0 {
				continue
			}
			bit := uint(at % 8)
			must(t, p.fs.FlipBit(p.name, at, bit))
			all := p.survey(t, 1<<20)
			p.locate(t)
			must(t, p.fs.FlipBit(p.name, at, bit))
			if len(all) > 1 || len(all) == 1 && (at < all[0].From || at >= all[0].To) {
				t.Fatalf("byte %d of %d, bit %d: reported as %v", at, p.end, bit, all)
			}
			if silent := at >= p.m.Length || p.padding(at); silent != (len(all) == 0) {
				t.Fatalf("byte %d of %d, bit %d: reported as %v", at, p.end, bit, all)
			}
		}
		if all := p.survey(t, 1<<20); len(all) > 0 {
			t.Fatalf("undamaged: reported as %v", all)
		}
	}
}

// padding tells whether a byte means nothing: the zeros that fill a frame up to a multiple of 8, and the body of the pad frame, which
// is between the second and the third frame.
func (p *patient) padding(at int64) bool {
	for i, f := range p.l.frames {
		end := p.pos[i] + frame.HeaderSize + int64(f.BodyLen)
		if at >= end && at < p.pos[i]+int64(len(f.bytes)) {
			return true
		}
	}
	pad := p.pos[1] + int64(len(p.l.frames[1].bytes))
	if p.l.frames[1].Next() < p.l.frames[2].Base {
		pad += frame.HeaderSize // it alone tells of the gap behind
	}
	return at >= pad && at < p.pos[2]
}

// The lengths that the file can be cut to: what is left is served, and what is lost is known to the frame. Appending is refused.
func TestCutShort(t *testing.T) {
	p := newPatient(t, false, small...)
	content, err := p.fs.Contents(p.name)
	must(t, err)
	for size := int64(0); size < p.m.Length; size++ {
		if dull := size < 4090 || p.padding(size); dull && size%64 != 0 {
			continue
		}
		must(t, p.fs.SetContents(p.name, content[:size]))
		all := p.survey(t, 1<<20)
		p.locate(t)
		first := p.l.base // the lowest offset that is lost
		if size >= 4096 {
			for i, f := range p.l.frames {
				if size >= p.pos[i]+int64(len(f.bytes)) {
					first = f.Next()
				}
			}
		}
		if len(all) == 0 && first == p.l.next { // only padding is gone
			continue
		}
		if len(all) != 1 || all[0].First > first || all[0].Next != p.l.next || all[0].To != p.m.Length {
			t.Fatalf("cut to %d: reported as %v, want offsets %d to %d", size, all, first, p.l.next)
		}
		err := p.open().Append(newLog(p.l.next, 0).make(plain(1, 1)))
		if d := damage(t, err); d.First > first || d.Next != p.l.next {
			t.Fatalf("append to a file cut to %d: %v", size, err)
		}
	}
}

func TestDamageIsLocated(t *testing.T) {
	big := plain(2, 40_000) // each frame gets a line of the index
	p := newPatient(t, true, big, big, big, big, big)
	frames := p.l.frames
	size := func(i int) int64 { return int64(len(frames[i].bytes)) }
	tests := map[string]struct {
		at          int64
		first, next int64
		from, to    int64
	}{
		"header": {p.pos[2] + 20, frames[2].Base, frames[3].Base, p.pos[2], p.pos[3]},
		"body":   {p.pos[3] + 5000, frames[3].Base, frames[3].Next(), p.pos[3], p.pos[3] + size(3)},
		"last":   {p.pos[4], frames[4].Base, p.l.next, p.pos[4], p.m.Length},
	}
	for name, test := range tests {
		must(t, p.fs.FlipBit(p.name, test.at, 3))
		all := p.survey(t, 1<<20)
		must(t, p.fs.FlipBit(p.name, test.at, 3))
		if len(all) != 1 || all[0].First != test.first || all[0].Next != test.next || all[0].From != test.from || all[0].To != test.to {
			t.Errorf("%s: reported as %+v, want %+v", name, all, test)
		}
	}
}

// Without a footer the index is made from the frames, up to the damage.
func TestDamageWithoutFooter(t *testing.T) {
	big := plain(2, 40_000)
	p := newPatient(t, true, big, big, big, big, big)
	must(t, p.fs.Resize(p.name, p.m.Length))
	must(t, p.fs.FlipBit(p.name, p.pos[3]+5000, 0))
	if all := p.survey(t, 1<<20); len(all) != 1 || all[0].First != p.l.frames[3].Base || all[0].Next != p.l.frames[3].Next() {
		t.Errorf("body damaged: reported as %v", all)
	}
	must(t, p.fs.FlipBit(p.name, p.pos[1], 0))
	all := p.survey(t, 1<<20)
	if len(all) != 2 || all[0].First != p.l.frames[1].Base || all[0].Next != p.l.frames[1].Next() || all[1].First != p.l.frames[3].Base {
		t.Errorf("header damaged, too: reported as %v", all)
	}
}

// A segment that is damaged before what this process appended can still be appended to, sealed, and read behind the damage.
func TestAppendBehindDamage(t *testing.T) {
	p := newPatient(t, false, small...)
	must(t, p.fs.FlipBit(p.name, p.pos[2], 0))
	g := p.open()
	must(t, g.Append(p.l.make(plain(2, 10))))
	must(t, g.Seal())
	p.m = g.Meta()
	for _, max := range []int{1, 1 << 20} {
		if all := p.survey(t, max); len(all) != 1 || all[0].First != p.l.frames[1].Next() || all[0].Next != p.l.frames[3].Base {
			t.Errorf("reported as %v, want offsets %d to %d", all, p.l.frames[1].Next(), p.l.frames[3].Base)
		}
	}
}

func TestNotTheFile(t *testing.T) {
	other := func(change func(id *segment.Identity, base *int64, file *uint64)) func(*patient) {
		return func(p *patient) {
			id, base, file := identity, p.m.Base, p.m.File
			change(&id, &base, &file)
			s := newStore(p.t, 0)
			s.dir = segment.NewDir(s.fs, id, 0)
			g, err := s.dir.Create(partition, file, base, p.m.Ordinal, 3)
			must(p.t, err)
			content, err := s.fs.Contents(g.Name())
			must(p.t, err)
			old, err := p.fs.Contents(p.name)
			must(p.t, err)
			must(p.t, p.fs.SetContents(p.name, append(content, old[4096:]...)))
		}
	}
	tests := map[string]func(*patient){
		"missing":        func(p *patient) { must(p.t, p.fs.Delete(p.name)) },
		"a directory":    func(p *patient) { must(p.t, errors.Join(p.fs.Delete(p.name), p.fs.Mkdir(p.name))) },
		"empty":          func(p *patient) { must(p.t, p.fs.Resize(p.name, 0)) },
		"zeros":          func(p *patient) { must(p.t, p.fs.ZeroRange(p.name, 0, p.m.Length)) },
		"another store":  other(func(id *segment.Identity, _ *int64, _ *uint64) { id.Store++ }),
		"another seed":   other(func(id *segment.Identity, _ *int64, _ *uint64) { id.Seed++ }),
		"another base":   other(func(_ *segment.Identity, base *int64, _ *uint64) { *base++ }),
		"another number": other(func(_ *segment.Identity, _ *int64, file *uint64) { *file++ }),
	}
	for name, change := range tests {
		p := newPatient(t, false, small...)
		change(p)
		all := p.survey(t, 1<<20)
		if len(all) != 1 || all[0].First != p.l.base || all[0].Next != p.l.next || all[0].From != 0 {
			t.Errorf("%s: reported as %v, want everything", name, all)
		}
		damage(t, p.open().Append(newLog(p.l.next, 0).make(plain(1, 1))))
	}
}

// A frame that is right in itself and does not belong where it stands is damage.
func TestMisplacedFrames(t *testing.T) {
	p := newPatient(t, false, plain(1, 10), plain(1, 10), plain(1, 10), plain(1, 10))
	for name, edit := range map[string]func(h *frame.Header){
		"another partition":  func(h *frame.Header) { h.Partition++ },
		"a cursor":           func(h *frame.Header) { h.Kind = frame.Cursor },
		"an offset again":    func(h *frame.Header) { h.Base-- },
		"an offset beyond":   func(h *frame.Header) { h.Base = p.m.Next },
		"longer than it all": func(h *frame.Header) { h.BodyLen = uint32(p.m.Length) },
	} {
		content, err := p.fs.Contents(p.name)
		must(t, err)
		changed := append([]byte(nil), content...)
		h := p.l.frames[2].Header
		edit(&h)
		h.Put(changed[p.pos[2]:], identity.Seed)
		must(t, p.fs.SetContents(p.name, changed))
		all := p.survey(t, 1<<20)
		if len(all) != 1 || all[0].First != p.l.frames[2].Base || all[0].Next != p.l.frames[3].Base || all[0].To != p.pos[3] {
			t.Errorf("%s: reported as %v", name, all)
		}
		must(t, p.fs.SetContents(p.name, content))
	}
}

// Errors of the file system are themselves, not damage.
func TestErrorsAreNotDamage(t *testing.T) {
	p := newPatient(t, false, small...)
	for op := 1; ; op++ {
		g, n := p.open(), 0
		hook := failAt(&n, op, fs.ErrPermission)
		p.fs.OnOp(hook)
		_, readErr := g.Read(p.l.base, 1<<20)
		p.fs.OnOp(nil)
		if n < op {
			if op < 4 {
				t.Fatalf("a first read does %d operations", n)
			}
			return
		}
		var d *storage.DamageError
		if !errors.Is(readErr, fs.ErrPermission) || errors.As(readErr, &d) {
			t.Fatalf("operation %d failed: got %v", op, readErr)
		}
		if got, err := g.Read(p.l.base, 1<<20); err != nil || len(got) == 0 {
			t.Fatalf("read after operation %d failed once: %d bytes, %v", op, len(got), err)
		}
	}
}
