package segment_test

import (
	"errors"
	"runtime"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// undone fails the test unless err is that of the sync that took the bytes away, and not damage: they were never durable.
func undone(t *testing.T, what string, err error) {
	t.Helper()
	var d *storage.DamageError
	if !errors.Is(err, syscall.EIO) || errors.As(err, &d) {
		t.Errorf("%s: got %v, want EIO and no damage", what, err)
	}
}

// A sync that fails may take away what was written since the one before. That is not damage, whoever finds it; and what is durable is served (G21, G22).
func TestWhatAFailedSyncTakesAwayIsNotDamage(t *testing.T) {
	for _, durable := range []int{0, 5} {
		s, l := newStore(t, 0), newLog(0, 0)
		g := s.create(1, l)
		for range durable {
			must(t, g.Append(l.make(plain(3, 700))))
		}
		if durable > 0 {
			must(t, g.Sync())
		}
		safe, later := l.next, l.time+1
		for range 5 {
			must(t, g.Append(l.make(plain(3, 700))))
		}
		s.fs.FailSync(memfs.CacheReverts)
		undone(t, "sync", g.Sync())
		frames, err := g.Read(0, 1<<20)
		if durable == 0 {
			undone(t, "read of a segment that was never synced", err)
		} else if _, err := l.checkRead(frames, 0, 1<<20); err != nil || nextOf(frames) != safe {
			t.Errorf("read of what is durable: %v, up to %d, want %d", err, nextOf(frames), safe)
		}
		_, err = g.Read(safe, 1)
		undone(t, "read", err)
		_, _, err = g.OffsetAt(later)
		undone(t, "offset at a time", err)
		undone(t, "check", g.Check(func(int) error { return nil }))
		v, err := g.Verify(func(int) error { return nil })
		if undone(t, "verify", err); len(v.Damage) > 0 {
			t.Errorf("verify found %v", v.Damage)
		}
	}
}

// So it is once the file was closed, and its index is forgotten.
func TestWhatAFailedSyncTakesAwayOfASealedSegment(t *testing.T) {
	s, l := newStore(t, 1), newLog(0, 0)
	g := s.create(1, l)
	must(t, g.Append(l.make(plain(3, 700))))
	must(t, g.Sync())
	safe := l.next
	must(t, g.Append(l.make(plain(3, 700))))
	must(t, g.Seal())
	s.fs.FailSync(memfs.CacheReverts)
	_, err := s.dir.Create(partition, 2, 0, 0, 3) // closes the file
	must(t, err)
	frames, err := g.Read(0, 1<<20)
	must(t, err)
	if nextOf(frames) != safe {
		t.Errorf("read up to %d, want %d", nextOf(frames), safe)
	}
	_, err = g.Read(safe, 1)
	undone(t, "read", err)
}

// A body of which a part is gone is not damage either, and one below what was synced is.
func TestDamageBesideAFailedSync(t *testing.T) {
	s, l := newStore(t, 0), newLog(0, 0)
	g := s.create(1, l)
	must(t, g.Append(l.make(plain(1, 3000))))
	must(t, g.Sync())
	at := g.Meta().Length
	must(t, g.Append(l.make(plain(1, 3000))))
	s.fs.FailSync(memfs.PagesDropped)
	undone(t, "sync", g.Sync())
	must(t, s.fs.FlipBit(g.Name(), at+1000, 3))
	_, err := g.Read(1, 1)
	undone(t, "read", err)
	_, err = g.Verify(func(int) error { return nil })
	undone(t, "verify", err)
	must(t, s.fs.FlipBit(g.Name(), at-1000, 3))
	_, err = g.Read(0, 1)
	damage(t, err)
}

// slowToFail lets a sync that failed return only when told.
type slowToFail struct {
	*memfs.FS
	failed, goOn chan struct{}
}

type slowFile struct {
	vfs.File
	fs *slowToFail
}

func (f *slowToFail) Create(name string) (vfs.File, error) {
	file, err := f.FS.Create(name)
	return &slowFile{file, f}, err
}

func (f *slowFile) SyncData() error {
	err := f.File.SyncData()
	close(f.fs.failed)
	<-f.fs.goOn
	return err
}

// A reader that comes before the sync has returned waits to learn how it ended.
func TestReadBesideASyncThatFails(t *testing.T) {
	fs := &slowToFail{memfs.New(), make(chan struct{}), make(chan struct{})}
	dir, l := segment.NewDir(fs, identity, 0), newLog(0, 0)
	defer dir.Close()
	g, err := dir.Create(partition, 1, 0, 0, 3)
	must(t, err)
	must(t, g.Append(l.make(plain(3, 700))))
	fs.FailSync(memfs.CacheReverts)
	synced, read := make(chan error, 1), make(chan error, 1)
	go func() { synced <- g.Sync() }()
	<-fs.failed
	go func() {
		_, err := g.Read(0, 1)
		read <- err
	}()
	for range 1000 { // time for a reader that does not wait
		runtime.Gosched()
	}
	close(fs.goOn)
	undone(t, "sync", <-synced)
	undone(t, "read", <-read)
}
