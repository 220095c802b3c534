package segment_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

func TestScan(t *testing.T) {
	s := newStore(t, 0)
	if found, foreign, err := s.dir.Scan(); len(found)+len(foreign) > 0 || err != nil {
		t.Fatalf("scan of nothing: %v, %v, %v", found, foreign, err)
	}
	l := newLog(5, 2)
	g := s.create(0xab, l)
	must(t, g.Append(l.make(plain(1, 100))))
	size := g.Meta().Length
	if _, err := s.dir.Create(0xfffffffe, 1, 0, 0, 9); err != nil {
		t.Fatal(err)
	}
	if _, err := s.dir.Create(partition, 0xab, 0, 0, 3); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("create with a number that is taken: %v", err)
	}
	other := newStore(t, 0)
	other.dir = segment.NewDir(other.fs, segment.Identity{Store: 1, Seed: identity.Seed}, 0)
	strange, err := other.fs.Contents(other.create(0xcd, l).Name())
	must(t, err)
	mine, err := s.fs.Contents(g.Name())
	must(t, err)
	must(t, errors.Join(s.fs.Mkdir("seg/00000008"), s.fs.Mkdir("seg/0000000A"), s.fs.Mkdir("seg/00000007/00000000000000aa")))
	for name, content := range map[string][]byte{
		"seg/README":                    nil,
		"seg/00000009":                  nil,
		"seg/00000007/notes":            nil,
		"seg/00000007/00000000000000CD": mine,
		"seg/00000007/00000000000000cd": strange,
		"seg/00000007/00000000000000ce": mine,
		"seg/00000008/00000000000000ab": mine,
		"seg/00000007/00000000000000cf": mine[:4095],
		"seg/00000007/00000000000000d0": nil,
	} {
		must(t, s.fs.SetContents(name, content))
	}
	found, foreign, err := s.dir.Scan()
	must(t, err)
	want := []segment.Found{
		{Partition: partition, File: 0xab, Epoch: 3, Base: 5, Ordinal: 2, Name: "seg/00000007/00000000000000ab", Size: size},
		{Partition: 0xfffffffe, File: 1, Epoch: 9, Name: "seg/fffffffe/0000000000000001", Size: 4096},
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	wantForeign := []string{
		"seg/00000007/00000000000000CD", "seg/00000007/00000000000000aa", "seg/00000007/00000000000000cd", "seg/00000007/00000000000000ce",
		"seg/00000007/00000000000000cf", "seg/00000007/00000000000000d0", "seg/00000007/notes", "seg/00000008/00000000000000ab",
		"seg/00000009", "seg/0000000A", "seg/README",
	}
	if slices.Sort(foreign); !slices.Equal(foreign, wantForeign) {
		t.Errorf("foreign %q, want %q", foreign, wantForeign)
	}
	must(t, s.dir.Remove(found[1]))
	if err := s.dir.Remove(found[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove again: %v", err)
	}
	if found, _, err := s.dir.Scan(); err != nil || len(found) != 1 {
		t.Errorf("found %v, %v after the removal", found, err)
	}
}

// A header block that the medium does not give back is not that of somebody else.
func TestScanOfWhatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		err  error
		name bool // the file is known by its name
	}{{syscall.EIO, true}, {syscall.EACCES, false}} {
		s := newStore(t, 0)
		g := s.create(0xab, newLog(5, 2))
		must(t, g.Sync())
		n := 0
		fail := failAt(&n, 1, c.err)
		s.fs.OnOp(func(op vfs.Op) error {
			if op.Kind != vfs.OpRead {
				return nil
			}
			return fail(op)
		})
		found, foreign, err := s.dir.Scan()
		if len(foreign) > 0 {
			t.Errorf("%v: foreign %q", c.err, foreign)
		}
		if c.name {
			must(t, err)
			want := segment.Found{Partition: partition, File: 0xab, Base: segment.Unknown, Ordinal: segment.Unknown, Name: g.Name(), Size: g.Meta().Length}
			if len(found) != 1 || !errors.Is(found[0].Unread, c.err) {
				t.Fatalf("%v: found %+v", c.err, found)
			}
			if found[0].Unread = nil; found[0] != want {
				t.Errorf("%v: found %+v, want %+v", c.err, found[0], want)
			}
		} else if !errors.Is(err, c.err) {
			t.Errorf("found %+v, %v, want %v", found, err, c.err)
		}
	}
}

// Every operation of a script fails once: the call that did it says so, and what was appended before stays readable.
func TestEveryFaultIsReported(t *testing.T) {
	broken := fmt.Errorf("broken: %w", syscall.EIO)
	for op := 1; ; op++ {
		s, l, n := newStore(t, 1), newLog(0, 0), 0
		closed := false
		fail := failAt(&n, op, broken)
		s.fs.OnOp(func(o vfs.Op) error {
			err := fail(o)
			closed = closed || err != nil && o.Kind == vfs.OpClose
			return err
		})
		err := script(s, l)
		s.fs.OnOp(nil)
		if n < op {
			if err != nil || op < 20 {
				t.Fatalf("the script does %d operations: %v", n, err)
			}
			return
		}
		if !errors.Is(err, broken) && !closed { // closing what is synced loses nothing
			t.Fatalf("operation %d failed and the script returned %v", op, err)
		}
		s.dir.Close()
	}
}

// script uses all calls, with one open file, so that files are closed and opened in between.
func script(s *store, l *log) error {
	a, err := s.dir.Create(partition, 1, 0, 0, 3)
	if err != nil {
		return err
	}
	err = errors.Join(a.Append(l.make(plain(2, 10))), a.Align(), a.Sync())
	b, createErr := s.dir.Create(partition, 2, l.next, 2, 3)
	if err = errors.Join(err, createErr); err != nil {
		return err
	}
	err = errors.Join(err, b.Append(l.make(plain(2, 10))), a.Seal(), b.Seal(), a.Sync(), b.Sync())
	for _, g := range []*segment.Segment{a, b} {
		_, readErr := g.Read(g.Meta().Base, 1)
		_, _, timeErr := g.OffsetAt(l.time)
		_, countErr := g.Ordinal(g.Meta().Base + 1)
		err = errors.Join(err, readErr, timeErr, countErr)
	}
	found, _, scanErr := s.dir.Scan()
	if err = errors.Join(err, scanErr, s.dir.Close()); err != nil {
		return err
	}
	for _, f := range found {
		err = errors.Join(err, f.Unread)
	}
	return errors.Join(err, s.dir.Remove(found[0]))
}
