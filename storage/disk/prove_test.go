package disk_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// The files of a journal are made once: an open does not write those again that a checkpoint lists.
func TestJournalIsNotMadeAgain(t *testing.T) {
	fs := memfs.New()
	var written atomic.Int64
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && strings.HasPrefix(op.Name, "journal/") {
			written.Add(1)
		}
		return nil
	})
	for i, most := range []int64{int64(tiny().Tuning.Slots), 0, 0} {
		written.Store(0)
		closeStore(t, opened(t, fs, tiny()))
		if n := written.Load(); n > most {
			t.Errorf("open %d wrote %d times to the journal, want at most %d", i+1, n, most)
		}
	}
}

// A file that an owner made, and could not sync before it died, is in the cache of the system alone. An open that finds it makes it again before
// a checkpoint lists it, or a loss of power would look like a file cut short by somebody.
func TestUnprovenJournalFile(t *testing.T) {
	fs := memfs.New()
	st := opened(t, fs, tiny())
	closeStore(t, st)
	f, err := fs.Create("journal/02")
	if err == nil {
		_, err = f.WriteAt(make([]byte, 64<<10), 0)
	}
	if err == nil {
		err = errors.Join(f.Close(), fs.SyncDir("journal"))
	}
	if err != nil {
		t.Fatal(err)
	}
	st = opened(t, fs, tiny())
	lost := fs.Clone(memfs.SyncedOnly, 1)
	closeStore(t, st)
	closeStore(t, opened(t, lost, tiny()))
}
