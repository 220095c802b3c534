package disk_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// While the disk is full, space is looked for once a second, whenever checkpoints are made: not more often, and no later (G23).
func TestRoomIsLookedForEverySecond(t *testing.T) {
	for _, checkpoints := range []time.Duration{-1, 0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			fs, o := memfs.New(), tiny()
			o.Tuning.CheckpointEvery, o.Tuning.RoomEvery = checkpoints, 0
			var log eventLog
			o.Events = log.note
			st, err := disk.OpenFS(fs, o)
			must(t, err)
			defer freed(fs, st)
			r, f := newFullRun(t, st), newFiller(t, fs)
			fs.SetCapacity(4 << 20)
			f.fill(t, 0)
			if !r.publish(8 << 20) {
				t.Fatal("the disk is full, and 8 MiB were taken")
			}
			time.Sleep(time.Second)
			var looks atomic.Int64
			fs.OnOp(func(op vfs.Op) error {
				if op.Kind == vfs.OpAllocate && op.Name == "reserve" {
					looks.Add(1)
				}
				return nil
			})
			time.Sleep(10 * time.Second)
			fs.OnOp(nil)
			if n := looks.Load(); n < 9 || n > 11 {
				t.Errorf("checkpoints every %v: looked %d times in 10 s", checkpoints, n)
			}
			f.free(t)
			time.Sleep(time.Second + time.Millisecond)
			if len(log.of(storage.EventRoom)) == 0 || r.publish(10_000) {
				t.Errorf("checkpoints every %v: there is space for a second, and records are refused", checkpoints)
			}
		})
	}
}
