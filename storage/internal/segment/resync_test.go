package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// impostor returns a whole frame of the segment's own, of n bytes, that was never appended to it.
func impostor(l *log, base int64, n int) []byte {
	body := append([]byte{0}, binary.AppendUvarint(nil, uint64(n-frame.HeaderSize-3))...)
	body = append(body, bytes.Repeat([]byte{'!'}, n-frame.HeaderSize-len(body))...)
	h := frame.Header{
		Kind: frame.Batch, Flags: frame.End, LSN: l.lsn, Base: base, Span: 1, Count: 1, Partition: uint32(partition), Time: l.time,
		BodyLen: uint32(len(body)), BodySum: identity.Seed.Sum(body),
	}
	b := make([]byte, h.Size())
	h.Put(b, identity.Seed)
	copy(b[frame.HeaderSize:], body)
	return b
}

// carrier adds a frame of one record to the log, whose value has what is given at its end, where a frame could stand.
func carrier(l *log, inside []byte, behind int) []byte {
	const head = 3
	value := append(make([]byte, 8-head%8), inside...)
	value = append(value, make([]byte, behind)...)
	body := append(binary.AppendUvarint([]byte{0}, uint64(len(value))), value...)
	if len(body) != head+len(value) {
		panic("the head of the record has another length")
	}
	l.time++
	l.lsn++
	f := modelFrame{Header: frame.Header{
		Kind: frame.Batch, Flags: frame.End, LSN: l.lsn, Base: l.next, Partition: uint32(partition), Time: l.time, Span: 1, Count: 1,
		BodyLen: uint32(len(body)), BodySum: identity.Seed.Sum(body),
	}, offsets: []int64{l.next}}
	f.bytes = make([]byte, f.Size())
	f.Put(f.bytes, identity.Seed)
	copy(f.bytes[frame.HeaderSize:], body)
	l.frames = append(l.frames, f)
	l.next, l.count = f.Next(), l.count+1
	return f.bytes
}

// Frames inside a payload are not taken for frames behind damage, though they are whole, of this store and partition, and have the very offset that is lost: not where the
// damaged header still tells its length, not where it does not, and not where everything in front of them is gone.
func TestFramesInPayloads(t *testing.T) {
	tests := map[string]struct {
		behind int // zeros behind the frames in the payload
		harm   func(p *patient, at int64) error
	}{
		"a flip, up to the end":   {0, func(p *patient, at int64) error { return p.fs.FlipBit(p.name, at+24, 1) }},
		"a flip":                  {40, func(p *patient, at int64) error { return p.fs.FlipBit(p.name, at+24, 1) }},
		"a flip in the length":    {40, func(p *patient, at int64) error { return p.fs.FlipBit(p.name, at+5, 1) }},
		"a flip in the body sum":  {40, func(p *patient, at int64) error { return p.fs.FlipBit(p.name, at+8, 1) }},
		"the header is gone":      {40, func(p *patient, at int64) error { return p.fs.ZeroRange(p.name, at, frame.HeaderSize) }},
		"the first frame is gone": {80, func(p *patient, at int64) error { return p.fs.ZeroRange(p.name, at, frame.HeaderSize+8+96) }},
	}
	for name, test := range tests {
		for _, seal := range []bool{false, true} {
			p := newPatient(t, false, plain(1, 10), plain(2, 30))
			g := p.open()
			at, l := g.Meta().Length, p.l
			// A second one reaches into what follows, and so does the third: chains that go wrong.
			inside := append(impostor(l, l.next, 96), impostor(l, l.next, 104)...)
			must(t, g.Append(carrier(l, inside, test.behind)))
			must(t, g.Append(l.make(plain(2, 10))))
			must(t, g.Append(l.make(plain(1, 10))))
			if seal {
				must(t, g.Seal())
			}
			p.m = g.Meta()
			must(t, test.harm(p, at))
			lost := &l.frames[2]
			want := storage.DamageError{File: p.name, From: at, To: at + int64(lost.Size()), Partition: partition, First: lost.Base, Next: lost.Next()}
			for _, got := range append(p.survey(t, 1<<20), p.verify(t).Damage...) {
				got.Reason, got.Records = "", 0
				if *got != want {
					t.Errorf("%s, sealed %v: got %+v, want %+v", name, seal, got, want)
				}
			}
		}
	}
}

// Two frames with damaged headers, of which the lengths are ruined, too: what is between them is given up unless the index knows a place there, by readers and by Verify alike.
func TestTwoDamages(t *testing.T) {
	for _, test := range []struct {
		second int   // besides the frame 1
		lost   []int // with an index, pairs of frames: the first one lost, the first one there
	}{
		{2, []int{1, 3}}, // 16 KiB each, and every fourth has a line
		{3, []int{1, 4}},
		{4, []int{1, 2, 4, 5}},
		{12, []int{1, 2, 12, 13}},
		{29, []int{1, 2, 29, 30}}, // the last one
	} {
		for _, seal := range []bool{false, true} {
			lost := test.lost
			if !seal {
				lost = []int{1, test.second + 1}
			}
			p := newPatient(t, seal, repeat(30, plain(2, 8<<10))...)
			for _, i := range []int{1, test.second} {
				must(t, p.fs.FlipBit(p.name, p.pos[i]+6, 1))
			}
			read, verified := p.survey(t, 1<<20), p.verify(t).Damage
			if len(read) != len(lost)/2 || len(verified) != len(read) {
				t.Fatalf("frames 1 and %d, sealed %v: readers are told of %v, Verify names %v", test.second, seal, read, verified)
			}
			for i := range read {
				first, next := lost[2*i], lost[2*i+1]
				want := storage.DamageError{File: p.name, From: p.pos[first], Partition: partition, First: p.l.frames[first].Base, Next: p.l.frames[next-1].Next()}
				want.To = p.pos[next-1] + int64(p.l.frames[next-1].Size()) // there may be a pad behind
				want.Reason = read[i].Reason
				if *read[i] != want || *verified[i] != want {
					t.Errorf("frames 1 and %d, sealed %v: readers are told of %+v, Verify names %+v, want %+v", test.second, seal, read[i], verified[i], want)
				}
			}
		}
	}
}

// A frame is not believed for its header alone.
func TestDamagedBodyBehindDamagedHeader(t *testing.T) {
	p := newPatient(t, true, repeat(5, plain(2, 100))...)
	must(t, p.fs.FlipBit(p.name, p.pos[2]+6, 1))
	must(t, p.fs.FlipBit(p.name, p.pos[3]+100, 1))
	read, verified := p.survey(t, 1<<20), p.verify(t).Damage
	if len(read) != 1 || len(verified) != 1 || *read[0] != *verified[0] || read[0].To != p.pos[4] || read[0].Next != p.l.frames[4].Base {
		t.Errorf("readers are told of %v, Verify names %v, want bytes up to %d", read, verified, p.pos[4])
	}
}

// Damage in which nothing is lost that is asked for stops no reader: in a pad, or in a frame that was passed over.
func TestDamageThatCostsNothing(t *testing.T) {
	p := newPatient(t, false, repeat(5, plain(1, 10))...)
	pad := p.pos[1] + int64(len(p.l.frames[1].bytes))
	must(t, p.fs.FlipBit(p.name, pad+20, 1))
	if all := p.survey(t, 1<<20); len(all) > 0 {
		t.Errorf("in a pad: readers are told of %v", all)
	}
	if v := p.verify(t); len(v.Damage) != 1 || v.Damage[0].From != pad || v.Damage[0].Next != v.Damage[0].First {
		t.Errorf("in a pad: Verify names %v", v.Damage)
	}
	must(t, p.fs.FlipBit(p.name, p.pos[0]+20, 1))
	got, err := p.open().Read(p.l.frames[1].Base, 1)
	must(t, err)
	if h, err := frame.Parse(got, identity.Seed); err != nil || h.Base != p.l.frames[1].Base {
		t.Errorf("behind a damaged frame: got %+v, %v", h, err)
	}
}

// Whoever stands in front of damage and asks again and again does not have the file searched each time; an error in the search is no damage.
func TestSearchedOnce(t *testing.T) {
	p := newPatient(t, false, repeat(30, plain(2, 8<<10))...)
	must(t, p.fs.ZeroRange(p.name, p.pos[3], p.pos[20]-p.pos[3]+8))
	g := p.open()
	_, err := g.Read(p.l.base, 1) // the header block
	must(t, err)
	for nth := 2; nth < 5; nth++ {
		n := 0
		p.fs.OnOp(failAt(&n, nth, fs.ErrPermission))
		_, err := p.open().Read(p.l.frames[3].Base, 1)
		p.fs.OnOp(nil)
		if d := (*storage.DamageError)(nil); n < nth || err == nil || errors.As(err, &d) {
			t.Errorf("operation %d of %d fails: got %v", nth, n, err)
		}
	}
	g = p.open()
	first := p.count(vfs.OpRead, func() { _, err = g.Read(p.l.frames[3].Base, 1) })
	if d := damage(t, err); d.From != p.pos[3] || d.To != p.pos[21] {
		t.Errorf("got %v, want bytes %d to %d", d, p.pos[3], p.pos[21])
	}
	for _, i := range []int{3, 10, 20} {
		again := p.count(vfs.OpRead, func() { _, err = g.Read(p.l.frames[i].Base, 1) })
		if d := damage(t, err); d.To != p.pos[21] || again > 1 || again >= first {
			t.Errorf("read of frame %d, again: got %v, after %d reads and then %d", i, d, first, again)
		}
	}
}

// A compressed segment: the blocks behind a damaged one are found, and only that one is named.
func TestDamagedBlock(t *testing.T) {
	for _, at := range []int64{4, 20, frame.HeaderSize + 9} { // of the block: length, header, body
		s := newStore(t, 0)
		sources, _ := s.chain(repeat(40, plain(2, 500)))
		r := segment.Rewrite{Sources: sources, File: 9, Codec: 4, BlockBytes: 4000}
		g, err := s.dir.Rewrite(t.Context(), r)
		must(t, err)
		content, err := s.fs.Contents(g.Name())
		must(t, err)
		blocks := []frame.Header{}
		pos := []int64{4096}
		for pos[len(pos)-1] < g.Meta().Length {
			h, err := frame.Parse(content[pos[len(pos)-1]:], identity.Seed)
			must(t, err)
			blocks, pos = append(blocks, h), append(pos, pos[len(pos)-1]+int64(h.Size()))
		}
		const hit = 2
		must(t, s.fs.FlipBit(g.Name(), pos[hit]+at, 1))
		s.reopen()
		g = s.dir.Open(partition, g.Meta())
		want := storage.DamageError{File: g.Name(), From: pos[hit], To: pos[hit+1], Partition: partition, First: blocks[hit].Base, Next: blocks[hit].Next()}
		_, err = g.Read(blocks[hit].Base, 1)
		got := *damage(t, err)
		want.Reason = got.Reason
		if got != want {
			t.Errorf("byte %d: readers are told of %+v, want %+v", at, got, want)
		}
		if _, err := g.Read(blocks[hit].Next(), 1); err != nil {
			t.Errorf("byte %d: behind it: %v", at, err)
		}
		v, err := g.Verify(free)
		must(t, err)
		if len(v.Damage) != 1 || v.Damage[0].From != want.From || v.Damage[0].To != want.To || v.Damage[0].First != want.First || v.Damage[0].Next != want.Next {
			t.Errorf("byte %d: Verify names %v, want %v", at, v.Damage, want)
		}
	}
}

// What is damaged is the same whether the file and its index were at hand or not.
func TestDamageWithoutIndex(t *testing.T) {
	s, l := newStore(t, 1), newLog(100, 40)
	g := s.create(1, l)
	var pos []int64
	for _, b := range repeat(20, plain(1, 16<<10)) {
		pos = append(pos, g.Meta().Length)
		must(t, g.Append(l.make(b)))
	}
	must(t, g.Seal())
	must(t, g.Sync())
	for _, i := range []int{5, 9} { // there is a line between them
		must(t, s.fs.FlipBit(g.Name(), pos[i]+6, 1))
	}
	for file := range uint64(3) {
		got, err := g.Read(l.frames[4].Base, 1)
		must(t, err)
		s.create(2+file, newLog(0, 0)) // closes the file, so that the index is forgotten
		_, err = g.Read(nextOf(got), 1)
		if d := damage(t, err); d.Next != l.frames[6].Base || d.From != pos[5] || d.To != pos[6] {
			t.Errorf("time %d: got %v, want bytes %d to %d", file, d, pos[5], pos[6])
		}
	}
}
