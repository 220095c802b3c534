package disk_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// TestFullTmpfs is TestFullAndFreed on a real file system of 32 MiB that is full (T8).
func TestFullTmpfs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tmpfs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("no tmpfs can be mounted here, which takes root: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	fs, err := osfs.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	beside, err := osfs.Open(filepath.Join(dir, "beside"))
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	var log eventLog
	room := make(chan struct{}, 1)
	o := tiny()
	o.Tuning.RoomEvery = 5 * time.Millisecond
	o.Events = func(e storage.Event) {
		log.note(e)
		if e.Kind == storage.EventRoom {
			room <- struct{}{}
		}
	}
	st, err := disk.OpenFS(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	r, f := newFullRun(t, st), newFiller(t, beside)
	const cycles = 20
	for i := range cycles {
		r.cycle(f, int64(i%5)*100_000, 200, func() { <-room })
	}
	if n := len(log.of(storage.EventFull)); n != cycles {
		t.Errorf("told %d times that the disk is full, want %d", n, cycles)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.file.Close(); err != nil {
		t.Fatal(err)
	}
	if fs, err = osfs.Open(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	r.reopened(fs, fmt.Sprintf("%d cycles on tmpfs, no restart: %d entries acknowledged, %d refused, %d cursors moved while full", cycles, r.acked, r.refused, r.cursors))
}
