package disk_test

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestHeaderThatCannotBeRead: that the medium does not give back the header block of a segment makes it nobody else's. One that the checkpoint knows is not needed yet; whether another is
// needed cannot be told, and the open fails, or the salvage, until it can be read.
func TestHeaderThatCannotBeRead(t *testing.T) {
	killed, ruined, _ := leftoverStore(t, 0)
	refused, opened := 0, 0
	for n := 1; ; n++ {
		fs := headerFails(killed, n)
		st, err := disk.OpenFS(fs, tiny())
		if fs.Injected() == 0 {
			must(t, err)
			if closeHit(t, st, fs); fs.Injected() == 0 {
				break
			}
			continue
		}
		if err != nil {
			if refused++; !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), fs.Hits()[0].Name) {
				t.Errorf("%v: open: %v", fs.Hits(), err)
			}
			continue
		}
		opened++
		if r := st.Report(); len(r.Foreign) > 0 {
			t.Errorf("%v: foreign: %q", fs.Hits(), r.Foreign)
		}
		closeHit(t, st, fs)
	}
	if refused == 0 || opened == 0 {
		t.Errorf("%d opens refused, %d not: want some of each", refused, opened)
	}
	unknown := 0 // that a checkpoint does not know
	for n := 1; ; n++ {
		fs := headerFails(ruined, n)
		_, err := salvage(fs)
		if fs.Injected() == 0 {
			must(t, err)
			break
		}
		if err != nil && !errors.Is(err, syscall.EIO) {
			t.Errorf("%v: salvage: %v", fs.Hits(), err)
		}
		if err != nil && strings.Contains(err.Error(), "cannot be told") {
			unknown++
		}
	}
	if unknown == 0 {
		t.Error("no salvage was refused for the header of a segment")
	}
}

// closeHit closes a store, which fails if it was the work in the background that the fault hit.
func closeHit(t *testing.T, st storage.Store, fs *errfs.FS) {
	t.Helper()
	if err := st.Close(t.Context()); err != nil && (fs.Injected() == 0 || !errors.Is(err, syscall.EIO)) {
		t.Errorf("%v: close: %v", fs.Hits(), err)
	}
}

// leftoverStore returns the first, from a seed on, killed store with segments that no checkpoint knows, and such that one does, and the same with its journal ruined.
func leftoverStore(t *testing.T, from uint64) (killed, ruined *memfs.FS, h *storagetest.History) {
	t.Helper()
	for seed := from; seed < from+100; seed++ {
		killed, h = stopped(t, 2*seed)
		st, err := open(killed.Clone(memfs.Everything, 1))
		must(t, err)
		must(t, st.Close(t.Context()))
		names := killed.Files()
		segments := len(names) - len(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasPrefix(name, "seg/") }))
		if n := st.Report().Leftovers; n == 0 || n == segments {
			continue
		}
		for _, name := range names {
			ruined = killed.Clone(memfs.Everything, 1)
			if !strings.HasPrefix(name, "journal/") || ruined.ZeroRange(name, 4096, 64) != nil {
				continue
			}
			var refused *storage.JournalError
			st, err := open(ruined.Clone(memfs.Everything, 1))
			if errors.As(err, &refused) {
				return killed, ruined, h
			}
			must(t, err)
			must(t, st.Close(t.Context()))
		}
	}
	t.Fatal("no store leaves segments behind")
	return nil, nil, nil
}

// startLeftovers is such a store.
func startLeftovers(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs, _, h := leftoverStore(t, 20*seed)
	return &faultStart{fs: fs, h: h}
}

// playReclaiming opens a store, and waits until what nobody needs is gone.
func playReclaiming(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	if err := st.Reclaim(r.ctx); err != nil {
		r.typed(err, "reclaim")
	}
	r.close(st)
	return nil
}

// headerFails has the n-th read of a file of segments fail.
func headerFails(start *memfs.FS, n int) *errfs.FS {
	return errfs.New(start.Clone(memfs.Everything, 1), errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Prefix: "seg/", Nth: n, Err: syscall.EIO})
}
