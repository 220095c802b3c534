package disk_test

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestFaultInTrail has a follower fall behind, and each read fail with which it looks for its place in a long journal then, and catches up.
func TestFaultInTrail(t *testing.T) {
	a := newTally()
	for k := 1; a.trail(t, k); k++ {
		a.count("faults", 1)
	}
	a.end(t, "fault in a trail", "all of them follow in the end", "faults")
}

// trail returns false if there is no k-th read.
func (a *tally) trail(t *testing.T, k int) (failed bool) {
	synctest.Test(t, func(t *testing.T) {
		inner, copied, h := memfs.New(), memfs.New(), storagetest.NewHistory()
		var reading, away atomic.Bool
		var reads atomic.Int64
		fs := errfs.New(inner)
		inner.OnOp(func(op vfs.Op) error {
			if reading.Load() && op.Kind == vfs.OpRead && strings.HasPrefix(op.Name, "journal/") && reads.Add(1) == int64(k) {
				return syscall.EIO
			}
			return nil
		})
		copied.OnOp(func(op vfs.Op) error {
			if away.Load() && op.Kind == vfs.OpWrite {
				return syscall.EIO
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		o := long()
		o.MemoryBytes = 64 << 20
		st, err := disk.OpenFS(fs, disk.FollowFS(o, copied))
		must(t, err)
		defer st.Close(context.Background())
		must(t, fill(st, h, 1, 10))
		must(t, st.WaitFollowed(ctx))
		away.Store(true)
		must(t, lengthen(st, h))
		time.Sleep(5 * time.Second)
		if lag, ok := st.Lag(); !ok || lag.Err == nil {
			a.wrong("read %d: the second directory fails, and the follower does not say so: %+v", k, lag)
		}
		reading.Store(true)
		away.Store(false)
		for st.WaitFollowed(ctx) != nil && ctx.Err() == nil {
			time.Sleep(time.Second)
		}
		must(t, ctx.Err())
		failed = reads.Load() >= int64(k)
		reading.Store(false)
		must(t, st.Close(t.Context()))
		followed(a, copied.Clone(memfs.SyncedOnly, 1), h, storagetest.PowerLost, "followed")
	})
	return failed
}
