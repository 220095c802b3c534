package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestFaultDirectories gives what works on a directory one that is missing, that cannot be made, that holds no store or an open one, and stores that are closed or only read:
// each refuses it with an error that says so, and makes nothing.
func TestFaultDirectories(t *testing.T) {
	ctx, top := t.Context(), t.TempDir()
	in := func(name string) string { return filepath.Join(top, name) }
	must(t, os.WriteFile(in("file"), []byte("x"), 0o600))
	must(t, os.Mkdir(in("empty"), 0o700))
	st, err := disk.Open(in("store"), tiny())
	must(t, err)
	must(t, run(st, storagetest.NewHistory(), 1, 10))
	closed, err := disk.OpenFS(memfs.New(), tiny())
	must(t, err)
	must(t, closed.Close(ctx))
	bad := tiny()
	bad.MemoryBytes = -1
	nowhere := in("file/below")
	for _, c := range []struct {
		name string
		want error // nil: any
		do   func() error
	}{
		{"read what is missing", fs.ErrNotExist, func() error { _, err := disk.OpenReadOnly(in("none"), tiny()); return err }},
		{"read what is empty", storage.ErrFormat, func() error { _, err := disk.OpenReadOnly(in("empty"), tiny()); return err }},
		{"salvage what is missing", fs.ErrNotExist, func() error { _, err := disk.Salvage(in("none"), disk.SalvageOptions{}); return err }},
		{"salvage what is open", storage.ErrInUse, func() error { _, err := disk.Salvage(in("store"), disk.SalvageOptions{}); return err }},
		{"restore what is missing", fs.ErrNotExist, func() error { _, err := disk.Restore(ctx, in("none"), in("a"), disk.RestoreOptions{}); return err }},
		{"restore to nowhere", nil, func() error { _, err := disk.Restore(ctx, in("empty"), nowhere, disk.RestoreOptions{}); return err }},
		{"restore what is open", storage.ErrInUse, func() error { _, err := disk.Restore(ctx, in("store"), in("a"), disk.RestoreOptions{}); return err }},
		{"rebuild what is missing", fs.ErrNotExist, func() error { _, err := disk.Rebuild(ctx, in("none"), in("a"), disk.RebuildOptions{}); return err }},
		{"rebuild to nowhere", nil, func() error { _, err := disk.Rebuild(ctx, in("empty"), nowhere, disk.RebuildOptions{}); return err }},
		{"rebuild what is empty", storage.ErrNotFound, func() error { _, err := disk.Rebuild(ctx, in("empty"), in("a"), disk.RebuildOptions{}); return err }},
		{"rebuild what is open", storage.ErrInUse, func() error { _, err := disk.Rebuild(ctx, in("store"), in("a"), disk.RebuildOptions{}); return err }},
		{"rebuild with options that are none", nil, func() error {
			_, err := disk.Rebuild(ctx, in("empty"), in("a"), disk.RebuildOptions{Store: bad})
			return err
		}},
		{"mend from what is missing", fs.ErrNotExist, func() error { _, err := st.Mend(ctx, in("none"), disk.MendOptions{}); return err }},
		{"snapshot to nowhere", nil, func() error { _, err := st.Snapshot(ctx, nowhere, disk.SnapshotOptions{}); return err }},
		{"snapshot to what is not empty", storage.ErrNotEmpty, func() error { _, err := st.Snapshot(ctx, top, disk.SnapshotOptions{}); return err }},
		{"snapshot of what is closed", storage.ErrClosed, func() error { _, err := closed.SnapshotFS(ctx, memfs.New(), disk.SnapshotOptions{}); return err }},
		{"mend what is closed", storage.ErrClosed, func() error { _, err := closed.MendFS(ctx, memfs.New(), disk.MendOptions{}); return err }},
	} {
		if err := c.do(); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	must(t, st.Close(ctx))
	if r, err := disk.Salvage(in("store"), disk.SalvageOptions{}); err != nil || r.Damaged {
		t.Errorf("salvage of what is whole: %+v, %v", r, err)
	}
	if names, err := os.ReadDir(in("a")); err == nil && len(names) > 1 { // the lock
		t.Errorf("what was refused has left %v", names)
	}
}

// TestFaultUnsupported: a system without locks, or without second names for files, makes copies all the same; another error of a link is one.
func TestFaultUnsupported(t *testing.T) {
	a, without := newTally(), func(inner vfs.FS, kind vfs.Kind, err error) *errfs.FS {
		return errfs.New(inner, errfs.Fault{Kinds: []vfs.Kind{kind}, Err: err, Always: true})
	}
	left, h := stopped(t, 1)
	to := memfs.New()
	from := without(left, vfs.OpLock, errors.ErrUnsupported)
	_, err := disk.RestoreFS(t.Context(), from, to, disk.RestoreOptions{})
	must(t, err)
	holds(a, to, h, "restored without locks")
	full, h := closed(t, 1)
	for _, c := range []struct{ err, want error }{{errors.ErrUnsupported, nil}, {syscall.EIO, syscall.EIO}} {
		both := memfs.New()
		move(t, full, both, "store/")
		fsys := without(both.Sub("store"), vfs.OpLink, c.err)
		st, err := open(fsys)
		must(t, err)
		if _, err := st.SnapshotFS(t.Context(), both.Sub("copy"), disk.SnapshotOptions{}); !errors.Is(err, c.want) {
			t.Errorf("snapshot without links: got %v, want %v", err, c.want)
		} else if err == nil {
			holds(a, both.Sub("copy"), h.Fork(h.Mark()), "snapshot without links")
		}
		if fsys.Injected() == 0 {
			t.Error("nothing was linked")
		}
		must(t, st.Close(context.Background()))
	}
	a.end(t, "without", "locks and links")
}
