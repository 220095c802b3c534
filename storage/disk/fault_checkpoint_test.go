package disk_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestFaultInCheckpoint has each sync of a checkpoint fail and leave the checkpoint in the cache only, so that the next open finds it whole and
// stands on it; and cuts the power at every change of that open.
func TestFaultInCheckpoint(t *testing.T) {
	a := newTally()
	for nth := 1; nth == 1 || a.get("faults") == int64(nth-1); nth++ {
		inner, h := memfs.New(), storagetest.NewHistory()
		fs := errfs.New(inner, errfs.Fault{
			Kinds: []vfs.Kind{vfs.OpSyncData}, Prefix: "checkpoint-", Nth: nth, Before: func(vfs.Op) { inner.FailSync(memfs.PagesDropped) },
		})
		for life := range uint64(2) {
			st, err := open(fs)
			if err != nil {
				break
			}
			a.judge(h.Check(st, storagetest.Died, 1), fmt.Sprint("fault ", nth))
			err = run(st, h, 40+life, 40)
			st.Close(context.Background())
			if fs.Injected() > 0 || err != nil {
				break
			}
		}
		if fs.Injected() == 0 {
			break
		}
		a.count("faults", 1)
		a.everyChange(inner.Clone(memfs.Everything, 1), h, fmt.Sprint("fault ", nth))
	}
	a.end(t, "fault in a checkpoint", fmt.Sprintf("%d syncs failed, %d power cuts in the next open", a.get("faults"), a.get("cuts")), "faults", "cuts")
}

// everyChange opens fs, and what is left of it if the power is cut at any change of that open.
func (a *tally) everyChange(fs *memfs.FS, h *storagetest.History, where string) {
	var mu sync.Mutex // segments are synced by several goroutines
	var images []image
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind.Changes() {
			mu.Lock()
			defer mu.Unlock()
			images = append(images, image{fs: fs.Clone(memfs.SyncedOnly, 1), history: h.Fork(h.Mark()), where: fmt.Sprintf("%s, power cut at %v of the next open", where, op)})
		}
		return nil
	})
	st, err := open(fs)
	fs.OnOp(nil)
	if err != nil {
		a.wrong("%s: open: %v", where, err)
		return
	}
	a.judge(h.Check(st, storagetest.Died, 1), where)
	st.Close(context.Background())
	for _, im := range images {
		a.count("cuts", 1)
		a.check(im.fs, im.history, storagetest.PowerLost, 1, im.where, nil)
	}
}
