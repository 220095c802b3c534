package disk_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// weather is what befalls the stores of a model test.
type weather struct {
	fs  *memfs.FS
	off atomic.Int64 // of the wall clock
}

var beginning = time.Now()

func (w *weather) open() (storage.Store, error) {
	return disk.OpenFS(w.fs, disk.TurnClock(tiny(), func() (wall, mono int64) {
		mono = int64(time.Since(beginning))
		return beginning.UnixNano() + mono + w.off.Load(), mono
	}))
}

// seal makes a snapshot, and throws it away: it is of segments alone.
func (w *weather) seal(s storage.Store) error {
	_, err := s.(*disk.Store).SnapshotFS(context.Background(), memfs.New(), disk.SnapshotOptions{})
	return err
}

// damage writes over bytes of a segment.
func (w *weather) damage(_ storage.Store, pick func(n int) int) (p storage.PartitionID, mend func(storage.Store) error, err error) {
	var files []string
	for _, name := range w.fs.Files() {
		if b, err := w.fs.Contents(name); err == nil && strings.HasPrefix(name, "seg/") && len(b) > headerBytes {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		return 0, nil, nil
	}
	name := files[pick(len(files))]
	if _, err := fmt.Sscanf(name, "seg/%x/", &p); err != nil {
		return 0, nil, err
	}
	whole := w.fs.Clone(memfs.Everything, 1)
	f, err := w.fs.Open(name, vfs.ReadWrite)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	size, err := f.Size()
	if err == nil {
		at := headerBytes + pick(int(size)-headerBytes)
		_, err = f.WriteAt([]byte("ruined")[:min(6, int(size)-at)], int64(at))
	}
	mend = func(s storage.Store) error {
		r, err := s.(*disk.Store).MendFS(context.Background(), whole, disk.MendOptions{})
		if err == nil && len(r.Left) > 0 {
			err = fmt.Errorf("left damaged: %v", r.Left)
		}
		return err
	}
	return p, mend, errors.Join(err, f.Close())
}

// headerBytes are of a segment's header block.
const headerBytes = 4096

func (w *weather) skip(s storage.Store, d *storage.DamageError) error {
	return s.(*disk.Store).Skip(context.Background(), d.Partition, d.First, d.Next)
}
