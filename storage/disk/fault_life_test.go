package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/storagetest"
)

// open opens the store of the script.
func (r *faultRun) open(o disk.Options) (*disk.Store, error) { return disk.OpenFS(r.fs, o) }

// typed checks that an error says what failed, and takes nothing for damage that is not (G20, G21).
func (r *faultRun) typed(err error, what string) {
	var damage *storage.DamageError
	switch cause := r.how.err(); {
	case r.injected() == 0:
		r.wrong("%s: %s failed, and nothing was injected: %v", r.where, what, err)
	case !errors.Is(err, cause) && !(what == "mend" && errors.Is(cause, syscall.EIO)): // bytes that a medium does not give back are damage there
		r.wrong("%s: %s returned %v, want %v", r.where, what, err, cause)
	case errors.As(err, &damage) && !errors.Is(cause, syscall.EIO):
		r.wrong("%s: %s calls damage what is none: %v", r.where, what, err)
	case what == "open" && (errors.Is(cause, fs.ErrPermission) || errors.Is(cause, syscall.EROFS)) && !errors.Is(err, storage.ErrReadOnly):
		r.wrong("%s: %s: %v, want %v", r.where, what, err, storage.ErrReadOnly)
	}
}

// life has steps use the store, and closes it. A store that stopped meanwhile is looked at.
func (r *faultRun) life(st *disk.Store, steps func() error) {
	err := steps()
	if violation(err) {
		r.wrong("%s: %v", r.where, err)
	}
	switch {
	case st.StopCause() != nil:
		<-st.Stopped()
		r.stopped(st, err)
	case errors.Is(err, storage.ErrIndeterminate):
		r.wrong("%s: the store goes on after an unknown outcome: %v", r.where, err)
	case errors.Is(err, storage.ErrNoSpace):
		r.full(st, err)
	}
	r.stats(st.Stats())
	r.close(st)
}

// stopped looks at a store that stopped: it says why, takes nothing, and serves what was committed.
func (r *faultRun) stopped(st *disk.Store, err error) {
	r.count("stopped", 1)
	if errors.Is(err, storage.ErrIndeterminate) {
		r.count("unknown", 1)
	}
	var stopped *storage.StoppedError
	if cause := st.StopCause(); !errors.As(cause, &stopped) || !errors.Is(cause, r.how.err()) {
		r.wrong("%s: stopped because of %v", r.where, cause)
	}
	for _, t := range st.Topics() {
		a := r.h.Begin(storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: t.First, Sizes: []int{100}}}})
		d, err := st.Append(context.Background(), a.Entry)
		if !errors.As(err, &stopped) || errors.Is(err, storage.ErrIndeterminate) {
			r.wrong("%s: an append to a stopped store: %v", r.where, err)
		}
		if bad := r.h.End(a, d, err); bad != nil {
			r.wrong("%s: %v", r.where, bad)
		}
		for i := range t.Partitions {
			r.reads(st, &t, t.Partition(i))
		}
	}
}

// full looks at a store that found no space: it refuses records, with errors that say so, and takes what has none.
func (r *faultRun) full(st *disk.Store, err error) {
	r.count("full", 1)
	if !errors.Is(err, storage.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		r.wrong("%s: refused for want of space with %v", r.where, err)
	}
	_, err = r.h.CreateGroup(func(n string) (storage.Group, error) { return st.CreateGroup(context.Background(), n) }, "while full")
	if err != nil && st.StopCause() == nil {
		r.wrong("%s: a group cannot be made on a full disk: %v", r.where, err)
	}
}

// reads checks that what was committed can be read from a store that stopped.
func (r *faultRun) reads(st *disk.Store, t *storage.Topic, p storage.PartitionID) {
	b, err := st.Bounds(p)
	if err != nil {
		r.wrong("%s: bounds of a stopped store: %v", r.where, err)
		return
	}
	trimmed, err := st.Ordinal(p, b.First)
	if err != nil {
		r.wrong("%s: ordinal in a stopped store: %v", r.where, err)
		return
	}
	rs, err := storagetest.ReadAll(st, p, newRand(1, 6))
	if now, again := st.Bounds(p); again == nil && now != b { // what was under way when it stopped has come to its end: a trim, of an unknown outcome
		r.reads(st, t, p)
		return
	}
	var damage *storage.DamageError
	switch there := b.Records - trimmed; {
	case err == nil && int64(len(rs)) != there && !(t.Strategy.Cleanup.LatestByKey && int64(len(rs)) < there):
		r.wrong("%s: partition %d of a stopped store: read %d of %d records", r.where, p, len(rs), there)
	case err != nil && !errors.Is(err, r.how.err()), errors.As(err, &damage): // a disk that fails for ever fails reads, too
		r.wrong("%s: partition %d of a stopped store: %v", r.where, p, err)
	}
	if bad := r.h.Saw(p, rs); bad != nil {
		r.wrong("%s: %v", r.where, bad)
	}
}

// close closes a store whose disk may have failed.
func (r *faultRun) close(st *disk.Store) {
	if err := st.Close(context.Background()); err != nil && r.injected() == 0 {
		r.wrong("%s: close: %v", r.where, err)
	}
	if st.Close(context.Background()) != nil && r.injected() == 0 {
		r.wrong("%s: a second close fails", r.where)
	}
}
