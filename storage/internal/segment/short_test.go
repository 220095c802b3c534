package segment_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// What fails because something is short can be called again, and then all is there; a sync that failed, for whatever reason, can not (G21, G22, G23).
func TestWhatIsShortIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		kind   vfs.Kind
		err    error
		sticks bool
	}{
		{vfs.OpCreate, syscall.ENOSPC, false},
		{vfs.OpCreate, syscall.EMFILE, false},
		{vfs.OpMkdir, syscall.ENOSPC, false},
		{vfs.OpWrite, syscall.ENOSPC, false},
		{vfs.OpWrite, syscall.EDQUOT, false},
		{vfs.OpWrite, syscall.EIO, true},
		{vfs.OpSyncDir, syscall.EMFILE, false},
		{vfs.OpSyncDir, syscall.ENOSPC, true},
		{vfs.OpSyncData, syscall.ENOSPC, true},
		{vfs.OpSyncData, syscall.EMFILE, true},
	} {
		s, l := newStore(t, 0), newLog(0, 0)
		short, hits := true, 0
		s.fs.OnOp(func(op vfs.Op) error {
			if op.Kind == c.kind && short {
				hits++
				return c.err
			}
			return nil
		})
		frames := l.make(plain(2, 5000))
		err := filled(s, frames)
		if !errors.Is(err, c.err) || hits == 0 {
			t.Errorf("%v: got %v, want %v", c.kind, err, c.err)
		}
		short = false
		g, err := s.dir.Create(partition, 2, 0, 0, 3)
		must(t, err)
		s.fs.OnOp(func(op vfs.Op) error {
			if op.Kind == c.kind && short {
				return c.err
			}
			return nil
		})
		must(t, g.Append(frames))
		more := l.make(plain(3, 5000))
		short = true
		first := errors.Join(g.Append(more), g.Sync())
		short = false
		again := g.Sync()
		if g.Meta().Next != l.next {
			again = errors.Join(g.Append(more), g.Sync())
		}
		if c.kind != vfs.OpCreate && c.kind != vfs.OpMkdir && !errors.Is(first, c.err) {
			t.Errorf("%v, %v: the first call returned %v", c.kind, c.err, first)
		}
		if c.sticks != errors.Is(again, c.err) || !c.sticks && again != nil {
			t.Errorf("%v, %v: the second call returned %v", c.kind, c.err, again)
		}
		if !c.sticks {
			readAll(t, g, l, 1)
		}
		if infos, err := s.fs.List("seg/00000007"); err != nil || len(infos) > 2 {
			t.Errorf("%v, %v: the file that could not be made is there", c.kind, c.err)
		}
	}
}

// filled makes a segment and puts frames into it.
func filled(s *store, frames []byte) error {
	g, err := s.dir.Create(partition, 1, 0, 0, 3)
	if err != nil {
		return err
	}
	return errors.Join(g.Append(frames), g.Sync())
}
