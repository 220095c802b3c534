package segment_test

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// failAt makes the k-th operation fail, and counts them in n.
func failAt(n *int, k int, err error) func(vfs.Op) error {
	return func(vfs.Op) error {
		if *n++; *n == k {
			return err
		}
		return nil
	}
}

// fill makes so many segments with a frame each.
func fill(s *store, n int) (segments []*segment.Segment, logs []*log) {
	s.t.Helper()
	for i := range n {
		l := newLog(0, 0)
		g := s.create(uint64(i), l)
		must(s.t, g.Append(l.make(plain(2, 10+i))))
		segments, logs = append(segments, g), append(logs, l)
	}
	return segments, logs
}

func TestOpenFilesAreBounded(t *testing.T) {
	s := newStore(t, 3)
	segments, logs := fill(s, 10)
	for round := range 3 {
		for i, g := range segments {
			readAll(t, g, logs[i], 1)
			must(t, g.Append(logs[i].make(plain(1, 5))))
			if n := s.dir.OpenFiles(); n > 3 {
				t.Fatalf("round %d: %d files are open, bound 3", round, n)
			}
		}
	}
	must(t, s.dir.Close())
	if n := s.dir.OpenFiles(); n != 0 {
		t.Fatalf("%d files are open after Close", n)
	}
	if _, err := segments[0].Read(0, 1); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("read after Close: got %v, want ErrClosed", err)
	}
	must(t, s.dir.Close())
}

// A file that was written to is synced before it is closed, even if nobody asked, and is the last to be closed.
func TestSyncedBeforeClosed(t *testing.T) {
	s := newStore(t, 2)
	unsynced := map[string]bool{}
	var mu sync.Mutex
	s.fs.OnOp(func(op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch op.Kind {
		case vfs.OpWrite:
			unsynced[op.Name] = true
		case vfs.OpSyncData:
			unsynced[op.Name] = false
		case vfs.OpClose:
			if unsynced[op.Name] {
				t.Errorf("%s was closed with unsynced writes", op.Name)
			}
		}
		return nil
	})
	segments, logs := fill(s, 6)
	must(t, segments[4].Sync())
	readAll(t, segments[0], logs[0], 1) // closes 4, the one without unsynced writes, although 5 was used before it
	mu.Lock()
	if !unsynced[segments[5].Name()] {
		t.Error("a file was synced to be closed while another needed no sync")
	}
	mu.Unlock()
	must(t, s.dir.Close())
}

// A sync that fails while a file is closed to make room is not lost, and does not hit a bystander: the call that needed the room goes on, and the
// segment's next Sync fails, for good.
func TestSyncFailsWhileMakingRoom(t *testing.T) {
	s := newStore(t, 1)
	l := newLog(0, 0)
	victim := s.create(1, l)
	must(t, victim.Append(l.make(plain(1, 10))))
	s.fs.FailSync(memfs.PagesDropped)
	if _, err := s.dir.Create(partition, 2, 0, 0, 3); err != nil {
		t.Fatalf("the call that closed the file: %v", err)
	}
	for range 2 {
		if err := victim.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("sync of the segment: got %v, want EIO", err)
		}
	}
	if err := victim.Append(l.make(plain(1, 10))); !errors.Is(err, syscall.EIO) {
		t.Fatalf("append to the segment: got %v, want EIO", err)
	}
	if _, err := victim.Read(0, 1); err != nil {
		t.Fatalf("read of the segment: %v", err)
	}
	if _, err := s.dir.Create(partition, 3, 0, 0, 3); err != nil {
		t.Fatalf("a later call must not see the failure of another segment: %v", err)
	}
}

// After a failed write or sync the segment takes no more, and a sync is never tried again.
func TestFailureSticks(t *testing.T) {
	for _, kind := range []vfs.Kind{vfs.OpWrite, vfs.OpSyncData, vfs.OpSyncDir} {
		s, l := newStore(t, 0), newLog(0, 0)
		g := s.create(1, l)
		must(t, g.Append(l.make(plain(2, 10))))
		calls := 0
		s.fs.OnOp(func(op vfs.Op) error {
			if op.Kind != kind {
				return nil
			}
			if calls++; calls == 1 {
				return syscall.EIO
			}
			return nil
		})
		extra := newLog(2, 2).make(plain(1, 1))
		errs := []error{g.Append(extra), g.Sync(), g.Sync(), g.Align(), g.Seal()}
		if kind != vfs.OpWrite {
			errs = errs[1:]
			l.frames, l.next = append(l.frames, modelFrame{}), 3
		}
		for i, err := range errs {
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%v failed: call %d behind it returned %v", kind, i, err)
			}
		}
		if calls != 1 {
			t.Errorf("%v was tried %d times", kind, calls)
		}
		if got := g.Meta(); got.Next != l.next {
			t.Errorf("%v failed: described as %+v", kind, got)
		}
		if got, err := g.Read(0, 1); err != nil || len(got) == 0 {
			t.Errorf("%v failed: read returned %d bytes, %v", kind, len(got), err)
		}
	}
}

// With too many files open in the process, half of those that are idle are closed and the call is tried once more.
func TestTooManyOpenFiles(t *testing.T) {
	for _, limit := range []error{syscall.EMFILE, syscall.ENFILE} {
		s := newStore(t, 0)
		segments, logs := fill(s, 9)
		for _, g := range segments {
			must(t, g.Sync())
		}
		s.fs.OnOp(func(op vfs.Op) error {
			if (op.Kind == vfs.OpOpen || op.Kind == vfs.OpCreate) && s.dir.OpenFiles() > 5 {
				return limit
			}
			return nil
		})
		l := newLog(0, 0)
		g := s.create(100, l) // 9 are open, so it closes 5
		if n := s.dir.OpenFiles(); n != 5 {
			t.Fatalf("%d files are open after %v, want 4 and the new one", n, limit)
		}
		must(t, g.Append(l.make(plain(1, 1))))
		for i, g := range segments {
			readAll(t, g, logs[i], 1)
		}
		s.fs.OnOp(func(op vfs.Op) error {
			if op.Kind == vfs.OpOpen {
				return limit
			}
			return nil
		})
		for _, g := range segments {
			_, err := g.Read(0, 1)
			var d *storage.DamageError
			if err != nil && (!errors.Is(err, limit) || errors.As(err, &d)) {
				t.Fatalf("got %v, want %v and no damage", err, limit)
			}
		}
	}
}

// Many readers, one writer, one that syncs, and few files.
func TestConcurrently(t *testing.T) {
	s := newStore(t, 2)
	const n = 5
	done := make(chan error)
	for i := range n {
		l := newLog(0, 0)
		var frames [][]byte
		for range 60 {
			frames = append(frames, l.make(plain(3, 3000)))
		}
		g := s.create(uint64(i), l)
		written := make(chan struct{})
		go func() { done <- write(g, frames, written) }()
		go func() { done <- syncUntil(g, written) }()
		for range 2 {
			go func() { done <- follow(g, l) }()
		}
	}
	for range 4 * n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func write(g *segment.Segment, frames [][]byte, written chan struct{}) error {
	defer close(written)
	for i, f := range frames {
		if err := g.Append(f); err != nil {
			return err
		}
		if i%7 == 0 {
			if err := g.Align(); err != nil {
				return err
			}
		}
	}
	return g.Seal()
}

func syncUntil(g *segment.Segment, written chan struct{}) error {
	for {
		if err := g.Sync(); err != nil {
			return err
		}
		select {
		case <-written:
			return g.Sync()
		default:
		}
	}
}

// follow reads until all of l was there.
func follow(g *segment.Segment, l *log) error {
	var from int64
	for from < l.next {
		end := g.Meta().Next
		got, err := g.Read(from, 20_000)
		if err != nil {
			return err
		}
		if len(got) == 0 && from < end {
			return fmt.Errorf("read from %d returned nothing, and offsets up to %d were appended", from, end)
		}
		if len(got) > 0 {
			if from, err = l.checkRead(got, from, 20_000); err != nil {
				return err
			}
		}
		m := g.Meta()
		if n, err := g.Ordinal(m.Next); err != nil || n < m.Count {
			return fmt.Errorf("ordinal of the end: %d, %w", n, err)
		}
		if from < m.Next {
			if n, err := g.Ordinal(from); err != nil || n != from {
				return fmt.Errorf("ordinal of %d: %d, %w", from, n, err)
			}
		}
	}
	return nil
}
