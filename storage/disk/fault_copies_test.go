package disk_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// startApart is a store in a directory beside which there is room for another.
func startApart(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs, h := stopped(t, seed)
	s := &faultStart{fs: memfs.New(), h: h}
	move(t, fs, s.fs, "store/")
	return s
}

// playSnapshot makes a snapshot of a running store, which goes on if it was not its own directory that failed.
func playSnapshot(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	r.life(st, func() error {
		if err := run(st, r.h, r.seed, 15); err != nil {
			return err
		}
		_, err := st.SnapshotFS(r.ctx, r.to, disk.SnapshotOptions{})
		if err != nil {
			r.typed(err, "snapshot")
		}
		r.copied(err)
		if st.StopCause() != nil {
			return err
		}
		return run(st, r.h, r.seed<<8, 3)
	})
	return nil
}

func playRestoring(r *faultRun) error {
	_, err := disk.RestoreFS(r.ctx, r.fs, r.to, disk.RestoreOptions{})
	if err != nil {
		r.typed(err, "restore")
	}
	r.copied(err)
	if !unchanged(r.t, r.inner, r.start.fs, "store/") {
		r.wrong("%s: the store that was restored is not what it was", r.where)
	}
	return nil
}

// copied looks at what a copy that returned err has left on the disk: it is good, or says that it is none.
func (r *faultRun) copied(err error) {
	kept := copyIn(r.inner.Clone(memfs.SyncedOnly, 1))
	if err == nil {
		r.count("good", min(1, r.injected()))
		holds(r.tally, kept, r.h, r.where)
		return
	}
	r.count("no copy", 1)
	st, openErr := disk.OpenReadOnlyFS(kept, tiny())
	switch {
	case openErr == nil: // then it is one, and only its end was not reported well
		r.judge(r.h.Fork(r.h.Mark()).Check(asBefore{st}, storagetest.Died, 1), r.where)
		_ = st.Close(context.Background())
	case !errors.Is(openErr, storage.ErrUnfinished) && !errors.Is(openErr, storage.ErrFormat):
		r.wrong("%s, %v: the copy that was not made: %v", r.where, err, openErr)
	}
}

// playFollowing has a store followed into another directory. Whatever fails there, the store goes on; and it is followed again, later.
func playFollowing(r *faultRun) (refused error) {
	synctest.Test(r.t, func(*testing.T) {
		st, err := r.open(disk.FollowFS(tiny(), r.to))
		if err != nil {
			refused = err
			return
		}
		r.life(st, func() error {
			if err := fill(st, r.h, r.seed, 25); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			err := st.WaitFollowed(ctx)
			switch kept := copyIn(r.inner.Clone(memfs.SyncedOnly, 1)); {
			case err == nil && st.StopCause() == nil:
				r.count("good", 1)
				followed(r.tally, kept, r.h, storagetest.PowerLost, r.where+", followed")
			case r.side == 1 && st.StopCause() != nil:
				r.wrong("%s: the store stopped because the follower failed: %v", r.where, st.StopCause())
			}
			if err != nil && st.StopCause() == nil {
				r.typed(err, "following")
				return nil
			}
			return err
		})
	})
	return refused
}
