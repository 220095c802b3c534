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
			o := disk.BoundNotes(tiny(), bytes)
			a.count(fmt.Sprint("reads ", bytes), journalReads(t, left.Clone(memfs.Everything, 1), o))
			st, err := disk.OpenFS(left.Clone(memfs.Everything, 1), o)
			must(t, err)
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

// journalReads counts the reads of an open, to be read only: then nothing reads the journal beside it.
func journalReads(t *testing.T, fs *memfs.FS, o disk.Options) int {
	t.Helper()
	var reads atomic.Int64
	count := errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Prefix: "journal/", Always: true, Before: func(vfs.Op) { reads.Add(1) }}
	st, err := disk.OpenReadOnlyFS(errfs.New(fs, count), o)
	must(t, err)
	n := int(reads.Load())
	must(t, st.Close(t.Context()))
	return n
}
