package embedded

import (
	"context"

	"github.com/leatmq/leat/storage/disk"
)

// Snapshot writes a checked copy of the queue as it is at one moment, topics, messages and groups with their cursors, to dir, which is missing or empty, while
// everything goes on. Files that are never written to again get a second name where dir is on the same file system. Topics in memory, and those of a
// storage.Strategy with NoBackup, are in it without messages. See the method of disk.Store.
func (e *Engine) Snapshot(ctx context.Context, dir string, o disk.SnapshotOptions) (disk.SnapshotReport, error) {
	s, err := e.disk()
	if err != nil {
		return disk.SnapshotReport{}, err
	}
	r, err := s.Snapshot(ctx, dir, o)
	return r, translate(err)
}

// Restore makes a directory that Open opens in to, which is missing or empty, of the one in from: a snapshot, or a directory that nobody has open. Messages
// that are in the copy keep their positions; positions of those that are not are queue.ErrNotFound from then on. See disk.Restore.
func Restore(ctx context.Context, from, to string, o disk.RestoreOptions) (disk.RestoreReport, error) {
	r, err := disk.Restore(ctx, from, to, o)
	return r, translate(err)
}
