package embedded

import (
	"context"
	"fmt"

	"github.com/leatmq/leat/queue"
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

// Lag tells how far the second directory, which disk.FollowerOptions have the queue copied to all the time, is behind it, and why it is not copied to, if that is
// so. It is queue.ErrNotFound without one. When the first directory is gone, open the second with disk.Options.Promote.
func (e *Engine) Lag() (disk.Lag, error) {
	s, err := e.disk()
	if err != nil {
		return disk.Lag{}, err
	}
	l, ok := s.Lag()
	if !ok {
		return disk.Lag{}, fmt.Errorf("%w: no second directory; Options.Disk.Follower names one", queue.ErrNotFound)
	}
	return l, nil
}

// WaitFollowed waits until everything that was published and done before the call is durable in the second directory, too. It returns why that is not so if nothing is
// copied to it now.
func (e *Engine) WaitFollowed(ctx context.Context) error {
	s, err := e.disk()
	if err != nil {
		return err
	}
	return translate(s.WaitFollowed(ctx))
}
