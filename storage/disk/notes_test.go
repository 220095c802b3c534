package disk_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestReplayOutOfNotes opens stores that were killed with room for notes of nothing, of parts and of all of the journal: each comes to the same, and who has noted all reads less.
func TestReplayOutOfNotes(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 20, 60, 400)) {
		left, h := stopped(t, 2*seed)
		for _, bytes := range []int64{1, 500, 2000, 8000, 1 << 20} {
			var reads atomic.Int64
			count := errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Prefix: "journal/", Always: true, Before: func(vfs.Op) { reads.Add(1) }}
			st, err := disk.OpenFS(errfs.New(left.Clone(memfs.Everything, 1), count), disk.BoundNotes(tiny(), bytes))
			must(t, err)
			a.count(fmt.Sprint("reads ", bytes), int(reads.Load()))
			a.judge(h.Fork(h.Mark()).Check(st, storagetest.Died, 1), fmt.Sprintf("seed %d, notes of %d bytes", seed, bytes))
			must(t, st.Close(t.Context()))
		}
	}
	none, all := a.get("reads 1"), a.get("reads 1048576")
	if all >= none {
		t.Errorf("%d reads of the journal with notes of all of it, %d with none", all, none)
	}
	a.end(t, "replay out of notes", fmt.Sprintf("%d reads of journals with notes of all, %d with none", all, none), "reads 1", "reads 1048576")
}
