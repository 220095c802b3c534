package disk_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestMendGoesOnWhenThereIsSpace has the checkpoints that a mend waits for fail once for want of space, each in turn: they are made again, though nobody writes
// anything, and the mend comes to its end.
func TestMendGoesOnWhenThereIsSpace(t *testing.T) {
	whole, _ := closed(t, 200)
	failed := 0
	for seed := range uint64(4) {
		harmed := whole.Clone(memfs.SyncedOnly, 1)
		for range 4 {
			if _, err := harm(harmed, whole, newRand(seed, 41)); err != nil {
				t.Fatal(err)
			}
		}
		for nth := 1; ; nth++ {
			fs := errfs.New(harmed.Clone(memfs.Everything, 1), errfs.Fault{Kinds: []vfs.Kind{vfs.OpWrite}, Prefix: "checkpoint-", Nth: nth, Err: syscall.ENOSPC})
			st, err := open(fs)
			if err != nil {
				if fs.Injected() == 0 {
					t.Fatal(err)
				}
				continue
			}
			before := fs.Injected()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if _, err := st.MendFS(ctx, whole.Clone(memfs.Everything, 1), disk.MendOptions{}); err != nil {
				t.Errorf("seed %d, write %d of a checkpoint: %v", seed, nth, err)
			}
			cancel()
			met := fs.Injected() - before
			if err := st.Close(t.Context()); err != nil && fs.Injected() == 0 {
				t.Error(err)
			}
			failed += met
			if t.Failed() || before == 0 && met == 0 {
				break
			}
		}
	}
	if failed == 0 {
		t.Error("no checkpoint failed while somebody waited for it")
	}
}
