package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// failure is a way in which operations fail.
type failure struct {
	name  string
	fault errfs.Fault
	sync  memfs.SyncFailure // for the sync models: what becomes of the data
	full  bool              // from then on there is no space: nothing fails that needs none
}

// err is what the operations fail with.
func (f *failure) err() error {
	switch {
	case f.full:
		return syscall.ENOSPC
	case f.fault.Err == nil:
		return syscall.EIO
	}
	return f.fault.Err
}

var anyChange = []vfs.Kind{vfs.OpCreate, vfs.OpMkdir, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir, vfs.OpWrite, vfs.OpTruncate, vfs.OpAllocate, vfs.OpSyncData}

var (
	anyOpen = []vfs.Kind{vfs.OpOpen, vfs.OpCreate, vfs.OpList, vfs.OpSyncDir, vfs.OpLock} // what takes a descriptor
	anyName = []vfs.Kind{vfs.OpOpen, vfs.OpCreate, vfs.OpMkdir, vfs.OpRename, vfs.OpRemove, vfs.OpList}
)

// failures are tried on every operation in turn.
var failures = []failure{
	{name: "EIO once", fault: errfs.Fault{Err: syscall.EIO}},
	{name: "EIO for ever", fault: errfs.Fault{Err: syscall.EIO, Always: true}},
	{name: "ENOSPC once", fault: errfs.Fault{Kinds: anyChange, Err: syscall.ENOSPC}},
	{name: "disk full", fault: errfs.Fault{Kinds: anyChange}, full: true},
	{name: "short write once", fault: errfs.Fault{Kinds: []vfs.Kind{vfs.OpWrite}, Err: syscall.ENOSPC, Short: true}},
	{name: "short writes for ever", fault: errfs.Fault{Kinds: []vfs.Kind{vfs.OpWrite}, Err: syscall.EIO, Short: true, Always: true}},
	{name: "EROFS for ever", fault: errfs.Fault{Kinds: anyChange, Err: syscall.EROFS, Always: true}},
	{name: "EMFILE once", fault: errfs.Fault{Kinds: anyOpen, Err: syscall.EMFILE}},
	{name: "EACCES once", fault: errfs.Fault{Kinds: anyName, Err: syscall.EACCES}},
	{name: "EINTR once", fault: errfs.Fault{Err: syscall.EINTR}},
	{name: "sync drops the pages", fault: errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncData}}, sync: memfs.PagesDropped},
	{name: "sync takes the cache back", fault: errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncData}}, sync: memfs.CacheReverts},
	{name: "sync fails once", fault: errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncData}}, sync: memfs.StaysDirty},
}

// TestFault has the k-th operation of a script fail, for every k until none is left to fail, once and for ever, and looks at the
// store before and after it is opened again, with and without a loss of power in between.
func TestFault(t *testing.T) {
	f := &faults{tally: newTally(), stride: sized(t, 12, 3, 1)}
	scripts := sized(t, 1, 3, 6)
	t.Run("scripts", func(t *testing.T) {
		for seed := range uint64(scripts) {
			for _, how := range failures {
				t.Run(fmt.Sprintf("%s, seed %d", how.name, seed), func(t *testing.T) {
					t.Parallel()
					f.every(t, how, seed)
				})
			}
		}
	})
	line := fmt.Sprintf("%d runs of %d scripts with %d kinds of failure, %d faults injected; %d stores stopped, %d opens refused, %d entries acknowledged, %d unknown, %d stores full",
		f.get("runs"), scripts, len(failures), f.get("injected"), f.get("stopped"), f.get("refused opens"), f.get("acknowledged"), f.get("unknown"), f.get("full"))
	f.end(t, "fault loop", line, "runs", "injected", "cut soon", "stopped", "refused opens", "acknowledged", "unknown", "full", "spills", "checkpoints")
}

type faults struct {
	*tally
	stride int // every so many operations
}

func (f *faults) every(t *testing.T, how failure, seed uint64) {
	rng := newRand(seed, 5)
	for k := 1 + rng.IntN(f.stride); !f.failed(); k += f.stride {
		if !f.run(how, seed, k) {
			if k <= 3*f.stride {
				t.Errorf("nothing was injected at operation %d", k)
			}
			return
		}
	}
}

// run lets operation k fail; it returns false if the script has none.
func (f *faults) run(how failure, seed uint64, k int) bool {
	inner := memfs.New()
	h := storagetest.NewHistory()
	soon := f.cutLater(inner, h, newRand(seed, uint64(k)))
	fault := how.fault
	fault.Nth = k
	fault.Before = func(vfs.Op) {
		inner.FailSync(how.sync)
		if how.full {
			inner.FillUp()
		}
		soon.armed.Store(true)
	}
	fs := errfs.New(inner, fault)
	where := fmt.Sprintf("%s, seed %d, k %d", how.name, seed, k)
	st, err := open(fs)
	for life := uint64(0); err == nil && life < 2; life++ {
		f.life(st, h, &how, seed<<8|life, where)
		f.stats(st.Stats())
		f.closed(st, fs, where)
		if fs.Injected() > 0 {
			break
		}
		if st, err = open(fs); err == nil && life == 1 {
			f.closed(st, fs, where)
		}
	}
	if fs.Injected() == 0 {
		return false
	}
	f.count("runs", 1)
	f.count("injected", fs.Injected())
	f.count("acknowledged", h.Acked())
	if err != nil {
		f.count("refused opens", 1)
	}
	inner.OnOp(nil)
	inner.SetCapacity(-1)
	where += fmt.Sprint(", ", fs.Hits()[0])
	if soon.fs != nil {
		f.count("cut soon", 1)
		soon.fs.SetCapacity(-1)
		f.check(soon.fs, soon.history, storagetest.PowerLost, seed, where+fmt.Sprintf(", %v %d changes later", soon.mode, soon.at), nil)
	}
	died := storagetest.Died
	if how.sync == memfs.CacheReverts {
		died = storagetest.PowerLost // what was written and not synced is gone without a crash
	}
	f.later(inner, h, died, where, seed+uint64(k))
	return true
}

// cut is a loss of power a few changes after some moment: if the store goes on after a fault as if nothing had happened, or stands on
// what only the cache holds, this tells what that was worth.
type cut struct {
	armed   atomic.Bool
	changes atomic.Int64
	at      int64
	mode    memfs.Mode
	fs      *memfs.FS
	history *storagetest.History
}

func (f *faults) cutLater(fs *memfs.FS, h *storagetest.History, rng *rand.Rand) *cut {
	c := &cut{at: int64(2 + rng.IntN(1<<(1+rng.IntN(5)))), mode: memfs.SyncedOnly}
	if rng.IntN(3) == 0 {
		c.mode = crashes[rng.IntN(len(crashes))]
	}
	seed := rng.Uint64()
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind.Changes() && c.armed.Load() && c.changes.Add(1) == c.at {
			mark := h.Mark()
			c.fs = fs.Clone(c.mode, seed)
			c.history = h.Fork(mark)
		}
		return nil
	})
	return c
}

// life runs a part of the script, and looks at what a store that stopped still does.
func (f *faults) life(st *disk.Store, h *storagetest.History, how *failure, seed uint64, where string) {
	err := run(st, h, seed, 35)
	if violation(err) {
		f.wrong("%s: %v", where, err)
	}
	if st.StopCause() == nil {
		if errors.Is(err, storage.ErrIndeterminate) {
			f.wrong("%s: the store goes on after an unknown outcome: %v", where, err)
		}
		if errors.Is(err, storage.ErrNoSpace) {
			f.full(st, h, err, where)
		}
		return
	}
	<-st.Stopped()
	f.count("stopped", 1)
	if errors.Is(err, storage.ErrIndeterminate) {
		f.count("unknown", 1)
	}
	var stopped *storage.StoppedError
	if cause := st.StopCause(); !errors.As(cause, &stopped) || !errors.Is(cause, how.err()) {
		f.wrong("%s: stopped because of %v", where, cause)
	}
	for _, t := range st.Topics() {
		a := h.Begin(storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: t.First, Sizes: []int{100}}}})
		d, err := st.Append(context.Background(), a.Entry)
		if !errors.As(err, &stopped) || errors.Is(err, storage.ErrIndeterminate) {
			f.wrong("%s: an append to a stopped store: %v", where, err)
		}
		if bad := h.End(a, d, err); bad != nil {
			f.wrong("%s: %v", where, bad)
		}
		for i := range t.Partitions {
			f.reads(st, h, how, t.Partition(i), where)
		}
	}
}

// full looks at a store that found no space: it refuses records, with errors that say so, and takes what has none.
func (f *faults) full(st *disk.Store, h *storagetest.History, err error, where string) {
	f.count("full", 1)
	if !errors.Is(err, storage.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		f.wrong("%s: refused for want of space with %v", where, err)
	}
	_, err = h.CreateGroup(func(n string) (storage.Group, error) { return st.CreateGroup(context.Background(), n) }, "while full")
	if err != nil && st.StopCause() == nil {
		f.wrong("%s: a group cannot be made on a full disk: %v", where, err)
	}
}

// reads checks that what was committed can be read from a store that stopped.
func (f *faults) reads(st *disk.Store, h *storagetest.History, how *failure, p storage.PartitionID, where string) {
	b, err := st.Bounds(p)
	if err != nil {
		f.wrong("%s: bounds of a stopped store: %v", where, err)
		return
	}
	trimmed, err := st.Ordinal(p, b.First)
	if err != nil {
		f.wrong("%s: ordinal in a stopped store: %v", where, err)
		return
	}
	rs, err := storagetest.ReadAll(st, p, newRand(1, 6))
	switch {
	case err == nil && int64(len(rs)) != b.Records-trimmed:
		f.wrong("%s: partition %d of a stopped store: read %d of %d records", where, p, len(rs), b.Records-trimmed)
	case err != nil && !errors.Is(err, how.err()): // a disk that fails for ever fails reads, too
		f.wrong("%s: partition %d of a stopped store: %v", where, p, err)
	}
	if bad := h.Saw(p, rs); bad != nil {
		f.wrong("%s: %v", where, bad)
	}
}

// closed closes a store whose disk may have failed.
func (f *faults) closed(st *disk.Store, fs *errfs.FS, where string) {
	if err := st.Close(context.Background()); err != nil && fs.Injected() == 0 {
		f.wrong("%s: close: %v", where, err)
	}
	if st.Close(context.Background()) != nil && fs.Injected() == 0 {
		f.wrong("%s: a second close fails", where)
	}
}

// later opens what is left: as it is, after a loss of power, and after a loss of power that follows a life on what was left.
func (f *faults) later(inner *memfs.FS, h *storagetest.History, died storagetest.Loss, where string, seed uint64) {
	rng := newRand(seed, 7)
	mode := memfs.Modes()[rng.IntN(len(memfs.Modes()))]
	loss := storagetest.PowerLost
	if mode == memfs.Everything {
		loss = died
	}
	f.check(inner.Clone(mode, seed), h.Fork(h.Mark()), loss, seed, fmt.Sprintf("%s, then %v (seed %d)", where, mode, seed), nil)
	f.check(inner.Clone(memfs.SyncedOnly, seed), h.Fork(h.Mark()), storagetest.PowerLost, seed, where+", then power lost", nil)
	mended := inner.Clone(memfs.Everything, seed)
	again := f.cutLater(mended, h, rng)
	again.armed.Store(true)
	var last *memfs.FS
	var known *storagetest.History
	f.check(mended, h, died, seed, where+", opened again", func(st *disk.Store) {
		if err := run(st, h, seed, 5); err != nil {
			f.wrong("%s, opened again: %v", where, err)
		}
		known = h.Fork(h.Mark())
		last = mended.Clone(memfs.SyncedOnly, seed)
	})
	mended.OnOp(nil)
	if again.fs != nil {
		f.check(again.fs, again.history, storagetest.PowerLost, seed, where+fmt.Sprintf(", opened again, %v at change %d", again.mode, again.at), nil)
	}
	if last != nil {
		f.check(last, known, storagetest.PowerLost, seed, where+", opened again, then power lost", nil)
	}
}
