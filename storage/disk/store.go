// Package disk is a storage.Store in a directory.
//
// One preallocated, recycled journal is the only thing that commits: an entry is whole in it, or not there. Committed records are copied, unchanged
// and when there is time, to the segments of their partitions; a checkpoint makes those durable, together with the small state, and gives
// journal files back. While the store runs, the journal is only written: reads come from memory or from a segment. Only what an open has replayed is read
// from the journal, until it is in segments, too.
//
// The files, as storage/FORMAT.md draws them:
//
//	LOCK                       who has the directory
//	journal/00, 01, ...        slots of the journal, written over and over
//	checkpoint-a, -b, -c       the small state, written in turn
//	seg/PARTITION/FILE         segments
//	reserve                    takes space, to be given up when there is none
//
// Goroutines: the committer writes and syncs the journal; the keeper spills, evicts and makes checkpoints; the cleaner applies policies; the rewriter compresses
// and compacts; the janitor removes files; the lookout tells events. The syncs of a checkpoint, and the
// making of a journal file, run beside it while they last.
//
// It is not for network file systems, and not for two processes at once: the second is refused.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// Store is a storage.Store in a directory.
type Store struct {
	core.Face
	core     *core.Core
	fs       vfs.FS
	lock     lock
	opt      Options
	pool     *core.Pool
	memory   *core.Pool // for topics that are in memory only
	ring     *ring
	segments *segment.Dir
	journal  *journal
	keeper   *keeper
	lookout  *lookout
	janitor  *janitor
	cleaner  *cleaner
	rewriter *rewriter
	works    works
	report   storage.OpenReport
	holed    map[*core.Partition]bool // that got holes during the open
	resumed  resumption
	raised   map[storage.PartitionID]int64 // next offsets that the open has raised
	orphans  []segment.Found               // found by an open after an unclean stop, to be removed by it
	headless []segment.Found               // found by it under names of segments, and left alone: whose they are cannot be read

	readOnly bool // nothing is ever written, and no goroutine runs

	guests   guests
	scrubber *scrubber // nil if nobody asked for one
	follower *follower // nil if there is none

	closing atomic.Bool
	closed  chan struct{} // closed when Close has ended
	err     error         // of Close; read after closed
}

type lock interface{ Close() error }

var _ storage.Store = (*Store)(nil)

// Open opens the store in dir, or makes one there if dir is missing or empty. One store has a directory at a time: storage.ErrInUse.
// After an unclean stop it serves what it replays out of the journal, and copies it to segments beside the ongoing work. What topics under SyncAlways have is durable when it returns; where
// more of the journal's end than a few MiB may never have been synced, the rest becomes so meanwhile, and appends wait until it is.
// Other errors: storage.ErrReadOnly if the directory is not for writing, *storage.LimitError for options, *storage.DamageError if the journal is
// damaged in front of what was synced, storage.ErrFormat, storage.ErrNoSpace if there is none even for a recovery, and those of the file system. A store that does not open has changed nothing that counts.
func Open(dir string, o Options) (*Store, error) {
	if _, err := o.withDefaults(); err != nil { // before a directory is made
		return nil, err
	}
	if o.fs != nil {
		return OpenFS(o.fs, o)
	}
	fsys, err := osfs.Open(dir)
	if err != nil {
		return nil, unwritable(fmt.Errorf("storage: %w", err))
	}
	st, err := OpenFS(fsys, o)
	if err != nil {
		return nil, errors.Join(err, fsys.Close())
	}
	return st, nil
}

// FS is what the store was opened on, for tests.
func (st *Store) FS() vfs.FS { return st.fs }

// OpenFS is Open on a file system of this module, for tests. The store closes fsys if it is an io.Closer.
func OpenFS(fsys vfs.FS, o Options) (*Store, error) {
	st, err := take(fsys, o, (*Store).open)
	if err != nil {
		return nil, unwritable(short(err))
	}
	if st.opt.Follower.on() {
		st.follower = newFollower(st)
		go st.follower.run()
	}
	go st.committer().run()
	go st.keeper.run()
	go st.janitor.run()
	go st.cleaner.run()
	go st.rewriter.run()
	go st.lookout.run()
	if o.ScrubEvery > 0 {
		st.scrubber = newScrubber(st)
		go st.scrubber.run()
	}
	return st, nil
}

// take locks the directory and has recovery bring the store to where its last owner left it.
func take(fsys vfs.FS, o Options, recovery func(*Store) error) (*Store, error) {
	began := time.Now()
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := lockDir(fsys)
	if err != nil {
		return nil, err
	}
	st := &Store{fs: fsys, lock: l, opt: o, closed: make(chan struct{}), holed: map[*core.Partition]bool{}, raised: map[storage.PartitionID]int64{}}
	if st.report.Exposed, err = exposed(fsys); err != nil {
		return nil, errors.Join(fmt.Errorf("storage: %w", err), st.release())
	}
	if err := recovery(st); err != nil {
		return nil, errors.Join(err, st.release())
	}
	st.report.Took = time.Since(began)
	return st, nil
}

// exposed tells whether others may write in the directory, where the file system knows.
func exposed(fsys vfs.FS) (bool, error) {
	if f, ok := fsys.(interface{ Exposed() (bool, error) }); ok {
		return f.Exposed()
	}
	return false, nil
}

// unwritable adds storage.ErrReadOnly to an error that says that the directory, or what is in it, is not for writing.
func unwritable(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", storage.ErrReadOnly, err)
	}
	return err
}

// lockDir takes the directory for this process: storage.ErrInUse if it has an owner.
func lockDir(fsys vfs.FS) (lock, error) {
	l, err := fsys.Lock(osfs.Process() + " since " + time.Now().Format(time.RFC3339))
	return l, inUse(err)
}

// inUse adds what the package promises to the error of a lock.
func inUse(err error) error {
	var held *vfs.HeldError
	switch {
	case errors.As(err, &held):
		return fmt.Errorf("%w: %w", storage.ErrInUse, err)
	case err != nil:
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

// Stats implements storage.Store.
func (st *Store) Stats() storage.Stats {
	s := st.core.Stats()
	j, k := st.journal, st.keeper
	s.Commits, s.Syncs = j.commits.Load(), j.syncs.Load()
	s.MemoryBytes = st.pool.Live() + st.memory.Live()
	s.JournalBytes, _, _ = st.ring.usage()
	s.Spills, s.Checkpoints = k.spills.Load(), k.checkpoints.Load()
	s.Segments, s.SegmentBytes = k.parts.count()
	st.works.note(unlinkWork, func(w *storage.Work) { w.Backlog = k.graves.backlog() })
	s.Work = st.works.all()
	s.OpenFiles = st.segments.OpenFiles()
	j.mu.Lock()
	s.UnspilledBytes, s.Full = j.unspilled, j.full != nil
	j.mu.Unlock()
	return s
}

// Report implements storage.Store.
func (st *Store) Report() storage.OpenReport { return st.report }

// Close implements storage.Store. It returns the cause if the store had stopped writing.
func (st *Store) Close(ctx context.Context) error {
	if st.closing.CompareAndSwap(false, true) {
		go st.close()
	}
	select {
	case <-st.closed:
		return st.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (st *Store) close() {
	defer close(st.closed)
	st.guests.leave()
	if st.scrubber != nil {
		close(st.scrubber.quit)
		<-st.scrubber.done
	}
	st.core.Shut()
	if st.readOnly {
		st.err = st.release()
		return
	}
	if st.follower != nil {
		st.follower.cut()
	}
	close(st.cleaner.quit)
	<-st.cleaner.done
	st.rewriter.stop()
	close(st.janitor.quit)
	<-st.janitor.done
	close(st.journal.quit)
	<-st.journal.done
	close(st.keeper.quit)
	<-st.keeper.done
	err := st.core.StopCause()
	if err == nil {
		err = st.keeper.finish()
	}
	st.ring.stop()
	if st.follower != nil {
		st.follower.end()
	}
	close(st.lookout.quit)
	<-st.lookout.done
	st.err = errors.Join(err, st.release())
}

// finish makes the checkpoint of a store that is closed: everything is in it, and nothing behind it.
func (k *keeper) finish() error { return k.whole(true) }

// whole makes a checkpoint while nothing else goes on. Without space it gives the reserve up for it.
func (k *keeper) whole(clean bool) error {
	return k.must(func() error {
		c, dirty, err := k.capture(clean)
		if err == nil && c == nil {
			err = k.told
		}
		if err != nil {
			return err
		}
		if err = k.complete(c, dirty); later(err) {
			k.unmade = dirty
		}
		return err
	})
}

// release closes what is open, the lock last.
func (st *Store) release() error {
	var errs []error
	if st.ring != nil {
		errs = append(errs, st.ring.close())
	}
	if st.keeper != nil {
		for _, f := range st.keeper.files {
			if f != nil {
				errs = append(errs, f.Close())
			}
		}
	}
	if st.keeper != nil && st.keeper.reserve != nil {
		errs = append(errs, st.keeper.reserve.file.Close())
	}
	if st.segments != nil {
		errs = append(errs, st.segments.Close())
	}
	errs = append(errs, st.lock.Close())
	if c, ok := st.fs.(lock); ok {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
