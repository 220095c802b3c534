package segment_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

func TestMetaFollowsAppends(t *testing.T) {
	s, l := newStore(t, 0), newLog(100, 40)
	g := s.create(1, l)
	if m := g.Meta(); m != (segment.Meta{File: 1, Base: 100, Next: 100, Ordinal: 40, Length: 4096}) {
		t.Fatalf("a new segment is described as %+v", m)
	}
	a, b := l.make(plain(3, 10)), l.make(batch{gap: 5, skips: []uint8{2, 0}, after: 4, later: 7})
	must(t, g.Append(append(append([]byte(nil), a...), b...)))
	want := segment.Meta{
		File: 1, Base: 100, Next: 103 + 5 + 8, Ordinal: 40, Count: 5, MinTime: 1010, MaxTime: 1017,
		Length: 4096 + int64(len(a)+len(b)), LastLSN: l.lsn,
	}
	if m := g.Meta(); m != want {
		t.Fatalf("described as %+v, want %+v", m, want)
	}
	readAll(t, g, l, 1)
}

func TestAppendRefuses(t *testing.T) {
	s, l := newStore(t, 0), newLog(100, 0)
	g := s.create(1, l)
	good := append([]byte(nil), l.make(plain(3, 10))...)
	must(t, g.Append(good))
	edit := func(change func(h *frame.Header)) []byte {
		p := append([]byte(nil), good...)
		h, err := frame.Parse(p, identity.Seed)
		must(t, err)
		h.Base += 3
		change(&h)
		h.Put(p, identity.Seed)
		return p
	}
	tests := map[string][]byte{
		"an offset again":   good,
		"another partition": edit(func(h *frame.Header) { h.Partition++ }),
		"a cursor":          edit(func(h *frame.Header) { h.Kind = frame.Cursor }),
		"a pad":             edit(func(h *frame.Header) { h.Kind = frame.Pad }),
		"half a frame":      edit(func(*frame.Header) {})[:len(good)-8],
		"half a header":     edit(func(*frame.Header) {})[:40],
		"a bad sum":         append([]byte{1, 2, 3, 4}, good[4:]...),
		"good, then bad":    append(edit(func(*frame.Header) {}), good...),
	}
	before := g.Meta()
	for name, frames := range tests {
		if err := g.Append(frames); err == nil {
			t.Errorf("%s was appended", name)
		}
	}
	if m := g.Meta(); m != before {
		t.Fatalf("refused frames changed %+v to %+v", before, m)
	}
	must(t, g.Append(nil))
	must(t, g.Append(l.make(plain(1, 1))))
	readAll(t, g, l, 1<<20)
}

func TestSeal(t *testing.T) {
	s, l := newStore(t, 0), newLog(0, 0)
	g := s.create(1, l)
	must(t, g.Append(l.make(plain(3, 10))))
	must(t, g.Seal())
	if !g.Meta().Sealed {
		t.Fatal("a sealed segment is not described as sealed")
	}
	for name, call := range map[string]func() error{
		"append": func() error { return g.Append(newLog(3, 3).make(plain(1, 1))) },
		"align":  g.Align,
		"seal":   g.Seal,
	} {
		if err := call(); !errors.Is(err, segment.ErrSealed) {
			t.Errorf("%s of a sealed segment: got %v, want ErrSealed", name, err)
		}
	}
	must(t, g.Sync())
	readAll(t, g, l, 1<<20)
}

// What an earlier open wrote beyond what its checkpoint counts is overwritten, and does not end up behind the footer.
func TestLeftoversBehindLength(t *testing.T) {
	s, l := newStore(t, 0), newLog(0, 0)
	g := s.create(1, l)
	must(t, g.Append(l.make(plain(3, 10))))
	must(t, g.Align())
	m := g.Meta()
	must(t, g.Append(newLog(3, 3).make(plain(50, 1000))))
	s.reopen()
	g = s.dir.Open(partition, m)
	readAll(t, g, l, 1<<20)
	must(t, g.Append(l.make(plain(5, 7))))
	readAll(t, g, l, 1<<20)
	must(t, g.Seal())
	p, err := s.fs.Contents(g.Name())
	must(t, err)
	if end := string(p[len(p)-8:]); end != "leatend\x00" {
		t.Fatalf("the sealed file ends with %q, not with the footer", end)
	}
	m = g.Meta()
	s.reopen()
	readAll(t, s.dir.Open(partition, m), l, 1<<20)
}

// What a Sync covered survives every crash, on a device that ruins sectors it writes to as well, if Align went before.
func TestSyncSurvivesCrash(t *testing.T) {
	for _, mode := range append(memfs.Modes(), memfs.GarbageWholeSectors) {
		for seed := range uint64(20) {
			s, l := newStore(t, 0), newLog(100, 40)
			g := s.create(1, l)
			must(t, g.Append(l.make(plain(3, 10))))
			must(t, g.Align())
			must(t, g.Sync())
			m := g.Meta()
			durable := *l
			must(t, g.Append(l.make(plain(3, 3000))))
			if seed%2 == 0 {
				must(t, g.Seal())
			}
			s.fs = s.fs.Crash(mode, seed)
			s.dir = segment.NewDir(s.fs, identity, 0)
			g = s.dir.Open(partition, m)
			readAll(t, g, &durable, 1<<20)
			more := durable
			if err := g.Append(more.make(plain(30, 1000))); seed%2 != 0 || !errors.Is(err, segment.ErrSealed) {
				must(t, err)
				durable = more
			}
			readAll(t, g, &durable, 1<<20)
			if t.Failed() {
				t.Fatalf("mode %v, seed %d", mode, seed)
			}
		}
	}
}

// A file that was sealed once may have another name, in a snapshot: nothing is written to it, even if the checkpoint that an open stands on is older.
func TestSealedOnce(t *testing.T) {
	s, l := newStore(t, 0), newLog(0, 0)
	g := s.create(1, l)
	must(t, g.Append(l.make(plain(3, 10))))
	must(t, g.Align())
	m, known := g.Meta(), *l
	must(t, g.Append(l.make(plain(3, 3000))))
	must(t, g.Seal())
	s.reopen()
	before, err := s.fs.Contents(g.Name())
	must(t, err)
	g = s.dir.Open(partition, m)
	more := known
	for name, err := range map[string]error{"append": g.Append(more.make(plain(1, 10))), "seal": g.Seal()} {
		if !errors.Is(err, segment.ErrSealed) {
			t.Errorf("%s: got %v, want %v", name, err, segment.ErrSealed)
		}
	}
	readAll(t, g, &known, 1<<20)
	if after, err := s.fs.Contents(g.Name()); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was written to: %v", err)
	}
}

// The first Sync makes the names durable too, each directory once, and a later one syncs nothing that is not new.
func TestSyncOnce(t *testing.T) {
	s := newStore(t, 0)
	a, b := s.create(1, newLog(0, 0)), s.create(2, newLog(0, 0))
	ops := map[string]int{}
	s.fs.OnOp(func(op vfs.Op) error {
		ops[op.Kind.String()+" "+op.Name]++
		return nil
	})
	for range 2 {
		must(t, a.Sync())
		must(t, b.Sync())
	}
	for name, want := range map[string]int{
		"syncdata " + a.Name(): 1, "syncdata " + b.Name(): 1, "syncdir seg/00000007": 2, "syncdir seg": 1, "syncdir .": 1,
	} {
		if ops[name] != want {
			t.Errorf("%s: %d times, want %d", name, ops[name], want)
		}
	}
	must(t, a.Append(newLog(0, 0).make(plain(1, 1))))
	must(t, a.Sync())
	if n := ops["syncdata "+a.Name()]; n != 2 {
		t.Errorf("syncs after another append: %d, want 2", n)
	}
	if n := ops["syncdir seg/00000007"]; n != 2 {
		t.Errorf("syncs of the directory after another append: %d, want 2", n)
	}
}
