package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// RestoreOptions say how a store is restored. The zero value is a good default.
type RestoreOptions struct {
	// BytesPerSecond bounds how fast files are copied and checked; 0: as fast as the disks go.
	BytesPerSecond int64
	// Progress is called now and then with the bytes copied and checked and those of the whole, in the goroutine of the call.
	Progress func(done, total int64)
	// AcceptDamage restores what is whole, and the report says what is not. Otherwise the first damage of a segment is the error.
	AcceptDamage bool
}

// RestoreReport is what was restored.
type RestoreReport struct {
	CopyReport
	Open storage.OpenReport // of the copy: what its journal held
	Took time.Duration
}

// Restore makes a store in to, which is missing or empty, of the one in from, which nobody has open: a snapshot, the directory of a follower, or that of a store,
// whether it was closed or not. It is copied, what its journal holds is put in its place, and every frame is checked before the copy is a store; from is not changed.
//
// The copy goes its own way: its topics get new incarnations, so that a position kept elsewhere of a message that is not in the copy is found out, and not taken for
// one that was published afterwards. Positions of messages that are in the copy stay as they were: see storage.Topic.Past.
//
// Errors: storage.ErrNotEmpty; ErrInUse; ErrNotFound if from holds no store; ErrFormat; ErrUnfinished if from is no whole copy; *storage.DamageError;
// ctx's, and those of the file systems. After an error to is empty again, or says that it is unfinished: see storage.ErrUnfinished.
func Restore(ctx context.Context, from, to string, o RestoreOptions) (RestoreReport, error) {
	src, err := osfs.OpenExisting(from)
	if err != nil {
		return RestoreReport{}, fmt.Errorf("storage: restore from: %w", err)
	}
	dst, err := osfs.Open(to)
	if err != nil {
		return RestoreReport{}, errors.Join(fmt.Errorf("storage: restore to: %w", err), src.Close())
	}
	r, err := RestoreFS(ctx, src, dst, o)
	return r, errors.Join(err, dst.Close(), src.Close())
}

// RestoreFS is Restore on file systems of this module, for tests.
func RestoreFS(ctx context.Context, from, to vfs.FS, o RestoreOptions) (RestoreReport, error) {
	began := time.Now()
	l, err := lockToRead(from)
	if err != nil {
		return RestoreReport{}, err
	}
	r := RestoreReport{}
	err = inCopy(to, func() error {
		x := &copier{from: from, to: to, accept: o.AcceptDamage}
		defer func() { r.CopyReport = x.report }()
		if err := x.store(ctx, o.BytesPerSecond, o.Progress); err != nil {
			return err
		}
		var err error
		if r.Open, err = settle(ctx, to); err != nil {
			return fmt.Errorf("storage: opening the copy: %w", err)
		}
		return x.prove(ctx)
	})
	r.Took = time.Since(began)
	return r, errors.Join(err, l.Close())
}

// lockToRead takes a directory that is only read: storage.ErrInUse if it has an owner.
func lockToRead(fsys vfs.FS) (lock, error) {
	l, err := fsys.LockShared()
	if errors.Is(err, errors.ErrUnsupported) {
		return noLock{}, nil
	}
	return l, inUse(err)
}

type noLock struct{}

func (noLock) Close() error { return nil }

// store copies a directory that is closed: the newest checkpoint, what it names, and the journal behind it.
func (x *copier) store(ctx context.Context, perSecond int64, tell func(done, total int64)) error {
	if err := refuseUnfinished(x.from); err != nil {
		return err
	}
	c, _, err := newestCheckpoint(x.from)
	if err == nil && c == nil {
		err = fmt.Errorf("%w: the directory holds no store", storage.ErrNotFound)
	}
	if err != nil {
		return err
	}
	x.pace = newHeadway(perSecond, 2*c.size(), tell)
	if err := x.segments(ctx, c); err != nil {
		return err
	}
	if err := x.journal(ctx, c); err != nil {
		return err
	}
	c.copied = true
	return x.checkpoint(c)
}

// journal copies the slots that were in use; one that was written over since the checkpoint was made is among them.
func (x *copier) journal(ctx context.Context, c *checkpoint) error {
	if c.clean {
		c.files = nil
		return nil
	}
	infos, err := x.from.List(journalDir)
	if err != nil {
		return fmt.Errorf("storage: copying the journal: %w", err)
	}
	for _, info := range infos {
		if _, ok := slotNumber(info.Name); !ok || !info.Regular {
			continue
		}
		if _, err := x.file(ctx, journalDir+"/"+info.Name, min(info.Size, maxSlotFile)); err != nil {
			return fmt.Errorf("storage: copying the journal: %w", err)
		}
	}
	if err := x.to.SyncDir(journalDir); err != nil {
		return fmt.Errorf("storage: copying the journal: %w", err)
	}
	return nil
}

// settle opens the copy, which brings what its journal holds to segments and gives it its new identity, and closes it.
func settle(ctx context.Context, to vfs.FS) (storage.OpenReport, error) {
	st, err := OpenFS(owned{to}, Options{finishing: true})
	if err != nil {
		return storage.OpenReport{}, err
	}
	return st.Report(), st.Close(context.WithoutCancel(ctx))
}

// owned is a directory whose lock the caller has, and which the caller closes.
type owned struct{ vfs.FS }

// Lock implements vfs.FS.
func (owned) Lock(string) (io.Closer, error) { return noLock{}, nil }

// LockShared implements vfs.FS.
func (owned) LockShared() (io.Closer, error) { return noLock{}, nil }
