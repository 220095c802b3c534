package disk_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestReplayEndsWhereItWasVerified: the last batch of a journal has a header that is whole and a body that is torn, and there is no room to note what was seen of it. A replay that
// goes by headers alone ends in front of it nevertheless, where the sums said that the journal does; it would be a record of which the bytes are not there.
func TestReplayEndsWhereItWasVerified(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries int // of 20 KiB each, of which nothing shows that they were synced
		resumed string
		open    func(*memfs.FS, disk.Options) (*disk.Store, error)
	}{
		{"to be read only", 3, "anew", func(fs *memfs.FS, o disk.Options) (*disk.Store, error) { return disk.OpenReadOnlyFS(fs, o) }},
		{"with a long end in doubt", 40, disk.InDoubt, func(fs *memfs.FS, o disk.Options) (*disk.Store, error) { return disk.OpenFS(fs, o) }},
		{"with a short one", 3, "taken over", func(fs *memfs.FS, o disk.Options) (*disk.Store, error) { return disk.OpenFS(fs, o) }},
	} {
		for _, notes := range []int64{1, 1 << 20} {
			t.Run(fmt.Sprintf("%s, notes of %d bytes", c.name, notes), func(t *testing.T) {
				left, p := tornBody(t, c.entries)
				st, err := c.open(left, disk.BoundNotes(oneSlot(), notes))
				must(t, err)
				if got := disk.Resumed(st); got != c.resumed {
					t.Errorf("the open went on %q, want %q", got, c.resumed)
				}
				rs, err := storagetest.ReadAll(st, p, newRand(1, 1))
				if err != nil || len(rs) != c.entries {
					t.Errorf("%d records, %v, want the %d in front of the torn one", len(rs), err, c.entries)
				}
				must(t, st.Close(context.Background()))
			})
		}
	}
}

// oneSlot has all in one file of the journal, more than half of which is too much to be written again when it is in doubt.
func oneSlot() disk.Options {
	o := roomy()
	o.Tuning.JournalBytes = 8 * o.Tuning.SlotBytes
	return o
}

// tornBody leaves a journal with n whole batches and one more, of which a bit did not reach the disk.
func tornBody(t *testing.T, n int) (*memfs.FS, storage.PartitionID) {
	t.Helper()
	fs := memfs.New()
	st, err := disk.OpenFS(fs, oneSlot())
	must(t, err)
	defer st.Close(context.Background())
	p := turnTopic(t, st, storage.SyncOS, "t")
	e := &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: make([]byte, 20<<10)}}}}}
	for range n + 1 {
		_, err := st.Append(t.Context(), e)
		must(t, err)
	}
	left := fs.Clone(memfs.Everything, 1)
	const name = "journal/00"
	b, err := left.Contents(name)
	must(t, err)
	frames := framesOf(t, b)
	last := frames[len(frames)-1]
	must(t, left.FlipBit(name, last.to-9, 3))
	return left, p
}
