package disk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// SnapshotOptions say how a snapshot is made. The zero value is a good default.
type SnapshotOptions struct {
	// BytesPerSecond bounds how fast files are copied and checked; 0: as fast as the disks go.
	BytesPerSecond int64
	// Progress is called now and then with the bytes copied and checked and those of the whole, in the goroutine of the call.
	Progress func(done, total int64)
	// AcceptDamage makes a snapshot of a store with damaged segments, too: it lacks what they lack, and the report says what. Otherwise
	// the first damage is the error, and there is no snapshot.
	AcceptDamage bool
}

// SnapshotReport is what a snapshot holds.
type SnapshotReport struct {
	CopyReport
	At   time.Time // the point in time
	Took time.Duration
}

// Snapshot writes a copy of the store, as it was at one point of its journal, to dir, which is missing or empty, and checks every frame of the copy before it says that it is good: a
// directory like that of a store that was closed. Everything goes on meanwhile. What was acknowledged as Synced before the call is in it, and of everything else a prefix.
// Files that are never written to again get a second name, where dir is on the same file system, so that they take no space; the others are copied.
// Topics with Strategy.NoBackup, and those in memory only, are in it without records, together with the cursors on them; offsets go on behind those they had.
//
// Restore puts it back; it can also be opened as it is: either way its topics get new incarnations.
//
// Errors: storage.ErrNotEmpty; storage.ErrReadOnly of a store that is only read; *storage.DamageError of the store or of the copy; ErrClosed, *StoppedError, ctx's, and those of the file systems. After an
// error dir is empty again, or says that it is unfinished: see storage.ErrUnfinished.
func (st *Store) Snapshot(ctx context.Context, dir string, o SnapshotOptions) (SnapshotReport, error) {
	to, err := osfs.Open(dir)
	if err != nil {
		return SnapshotReport{}, fmt.Errorf("storage: snapshot: %w", err)
	}
	r, err := st.SnapshotFS(ctx, to, o)
	return r, errors.Join(err, to.Close())
}

// SnapshotFS is Snapshot on a file system of this module, for tests.
func (st *Store) SnapshotFS(ctx context.Context, to vfs.FS, o SnapshotOptions) (SnapshotReport, error) {
	began := time.Now()
	if st.readOnly {
		return SnapshotReport{}, fmt.Errorf("%w: restore the directory instead", storage.ErrReadOnly)
	}
	ctx, done, err := st.guests.enter(ctx)
	if err != nil {
		return SnapshotReport{}, err
	}
	defer done()
	x := &copier{from: st.fs, to: to, link: true, accept: o.AcceptDamage}
	r := SnapshotReport{}
	err = inCopy(to, func() error {
		c, release, err := st.capture(ctx)
		if err != nil {
			return err
		}
		defer release()
		r.At = time.Now()
		c.forBackup()
		x.pace = newHeadway(o.BytesPerSecond, 2*c.size(), o.Progress)
		if err := x.segments(ctx, c); err != nil {
			return err
		}
		if err := x.checkpoint(c); err != nil {
			return err
		}
		return x.prove(ctx)
	})
	if err != nil && st.guests.closing() {
		err = errors.Join(storage.ErrClosed, err)
	}
	r.CopyReport, r.Took = x.report, time.Since(began)
	return r, err
}

// inCopy has write make a copy of a store in to, and removes what it left if it could not.
func inCopy(to vfs.FS, write func() error) (err error) {
	l, err := lockDir(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := beginCopy(to); err != nil {
		return err
	}
	err = write()
	if err == nil {
		return endCopy(to)
	}
	infos, listErr := to.List(".")
	if listErr == nil {
		listErr = removeCopy(to, infos)
	}
	if listErr == nil {
		listErr = endCopy(to)
	}
	return errors.Join(err, listErr)
}

// forBackup makes c the checkpoint of a copy, which has no journal, without what is not to be copied.
func (c *checkpoint) forBackup() {
	c.clean, c.copied, c.files, c.doomed = true, true, nil, nil
	c.from = mark{lsn: c.applied, seq: c.from.seq, pos: sector}
	for i := range c.topics {
		t := &c.topics[i]
		s := &t.topic.Strategy
		for n := range t.parts {
			p := &t.parts[n]
			if s.NoBackup || s.Level == storage.MemoryOnly {
				p.first, p.segments, p.holes = p.reach.next, nil, nil
			}
		}
	}
}
