package disk_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

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
	ends  bool              // the script's context ends then: nothing fails but what it is given to
	every bool              // the operations that it counts are so few that most are tried
}

// err is what the operations fail with.
func (f *failure) err() error {
	switch {
	case f.full:
		return syscall.ENOSPC
	case f.ends:
		return context.Canceled
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

// These are tried on scripts that ask for them.
var (
	contextEnds = failure{name: "the context ends", ends: true}
	readFails   = failure{name: "a read fails once", fault: errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Err: syscall.EIO}, every: true}
)

// TestFault has the k-th operation of a script fail, for every k until none is left to fail, once and for ever, and looks at the
// store before and after it is opened again, with and without a loss of power in between (M6, M7).
func TestFault(t *testing.T) {
	f := &faults{tally: newTally()}
	scripts := 0
	t.Run("scripts", func(t *testing.T) {
		for i := range faultScripts {
			s := &faultScripts[i]
			for seed := range uint64(sized(t, 1, s.seeds, 2*s.seeds)) {
				scripts++
				start := s.begin(t, seed)
				for _, how := range s.failures() {
					t.Run(fmt.Sprintf("%s, %s, seed %d", s.name, how.name, seed), func(t *testing.T) {
						t.Parallel()
						for side := range max(1, s.sides) {
							f.every(faultRun{t: t, faults: f, script: s, start: start, how: how, seed: seed, side: side})
						}
					})
				}
			}
		}
	})
	line := fmt.Sprintf("%d runs of %d scripts with %d kinds of failure, %d faults injected; %d stores stopped, %d opens refused, %d entries acknowledged, %d unknown, %d stores full; %d copies good all the same, %d not",
		f.get("runs"), scripts, len(failures), f.get("injected"), f.get("stopped"), f.get("refused opens"), f.get("acknowledged"), f.get("unknown"), f.get("full"), f.get("good"), f.get("no copy"))
	f.end(t, "fault loop", line, "runs", "injected", "cut soon", "stopped", "refused opens", "acknowledged", "unknown", "full", "spills", "checkpoints",
		"rewritten", "removed", "trimmed", "good", "no copy", "salvaged again", "mended again", "rebuilt again", "refused")
}

type faults struct{ *tally }

// faultRun is a script in which one operation fails.
type faultRun struct {
	*faults
	t      *testing.T
	script *faultScript
	start  *faultStart
	how    failure
	seed   uint64
	side   int // which directory it fails in
	k      int
	where  string

	ctx   context.Context // of what the script does beside appending
	inner *memfs.FS
	h     *storagetest.History
	fs    *errfs.FS // the store's directory
	to    *errfs.FS // of scripts with two sides: that of a copy
	lossy bool      // a rebuild took bytes that could not be read for damage
}

func (f *faults) every(r faultRun) {
	long := max(1, r.script.long)
	stride := sized(r.t, 40*long-20, 4*long, 1)
	if r.how.sync != 0 || r.how.every { // these are few, and each counts
		stride = sized(r.t, 10*long-5, long, 1)
	}
	rng := newRand(r.seed, 5)
	for k := 1 + rng.IntN(stride); !f.failed(); k += stride {
		one := r
		one.k, one.where = k, fmt.Sprintf("%s, %s, seed %d, side %d, k %d", r.script.name, r.how.name, r.seed, r.side, k)
		if !one.run() {
			return
		}
		f.count("runs of "+r.script.name, 1)
	}
}

// run lets operation k fail; it returns false if the script has none.
func (r *faultRun) run() bool {
	r.inner, r.h = memfs.New(), storagetest.NewHistory()
	if s := r.start; s != nil {
		r.inner, r.h = s.fs.Clone(memfs.Everything, 1), s.h.Fork(s.h.Mark())
	}
	soon := r.cutLater(r.inner, r.h, newRand(r.seed, uint64(r.k)))
	ctx, end := context.WithCancel(context.Background())
	defer end()
	r.ctx = ctx
	r.arm(func() {
		soon.armed.Store(true)
		if r.how.ends {
			end()
		}
	})
	if err := r.script.play(r); err != nil {
		r.count("refused opens", 1)
		r.typed(err, "open")
	}
	if r.injected() == 0 {
		return false
	}
	r.count("runs", 1)
	r.count("injected", r.injected())
	r.count("acknowledged", r.h.Acked())
	r.inner.OnOp(nil)
	r.inner.SetCapacity(-1)
	r.where += fmt.Sprint(", ", r.hit())
	if soon.fs != nil && r.script.whole == nil {
		r.count("cut soon", 1)
		soon.fs.SetCapacity(-1)
		r.check(r.storeIn(soon.fs), soon.history, storagetest.PowerLost, r.seed, r.where+fmt.Sprintf(", %v %d changes later", soon.mode, soon.at), nil)
	}
	r.later()
	return true
}

// arm makes the file systems of which one fails.
func (r *faultRun) arm(before func()) {
	fault := r.how.fault
	fault.Nth = r.k
	fault.Before = func(vfs.Op) {
		r.inner.FailSync(r.how.sync)
		if r.how.full {
			r.inner.FillUp()
		}
		before()
	}
	of := func(side int, inner vfs.FS) *errfs.FS {
		if side == r.side {
			return errfs.New(inner, fault)
		}
		return errfs.New(inner)
	}
	r.fs = of(0, r.storeIn(r.inner))
	if r.script.sides == 2 {
		r.to = of(1, copyIn(r.inner))
	}
}

// storeIn returns the store's directory of what is left.
func (r *faultRun) storeIn(fs *memfs.FS) vfs.FS {
	if r.script.sides == 2 {
		return fs.Sub("store")
	}
	return fs
}

func copyIn(fs *memfs.FS) vfs.FS { return fs.Sub("copy") }

func (r *faultRun) injected() int {
	if r.side == 1 {
		return r.to.Injected()
	}
	return r.fs.Injected()
}

func (r *faultRun) hit() vfs.Op {
	if r.side == 1 {
		return r.to.Hits()[0]
	}
	return r.fs.Hits()[0]
}

// cut is a loss of power a few changes after some moment: if the store goes on after a fault as if nothing had happened, or stands on
// what only the cache holds, this tells what that was worth.
type cut struct {
	armed   atomic.Bool
	changes atomic.Int64
	taking  atomic.Bool
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
		if !op.Kind.Changes() || !c.armed.Load() || c.changes.Add(1) < c.at || !c.taking.CompareAndSwap(false, true) {
			return nil
		}
		var image *memfs.FS
		if known, ok := h.Image(func() { image = fs.Clone(c.mode, seed) }); ok {
			c.fs, c.history = image, known
			return nil
		}
		c.taking.Store(false) // at the next change
		return nil
	})
	return c
}

// later opens what is left: as it is, after a loss of power, and after a loss of power that follows a life on what was left.
func (r *faultRun) later() {
	died := storagetest.Died
	if r.how.sync == memfs.CacheReverts {
		died = storagetest.PowerLost // what was written and not synced is gone without a crash
	}
	seed := r.seed + uint64(r.k)
	rng := newRand(seed, 7)
	mode := memfs.Modes()[rng.IntN(len(memfs.Modes()))]
	loss := storagetest.PowerLost
	if mode == memfs.Everything {
		loss = died
	}
	r.left(r.inner.Clone(mode, seed), loss, fmt.Sprintf("%s, then %v (seed %d)", r.where, mode, seed))
	r.left(r.inner.Clone(memfs.SyncedOnly, seed), storagetest.PowerLost, r.where+", then power lost")
	mended := r.inner.Clone(memfs.Everything, seed)
	if r.script.whole != nil {
		r.left(mended, died, r.where+", opened again")
		return
	}
	again := r.cutLater(mended, r.h, rng)
	again.armed.Store(true)
	var last *memfs.FS
	var known *storagetest.History
	r.check(r.storeIn(mended), r.h, died, seed, r.where+", opened again", func(st *disk.Store) {
		if err := run(st, r.h, seed, 5); err != nil {
			r.wrong("%s, opened again: %v", r.where, err)
		}
		known = r.h.Fork(r.h.Mark())
		last = mended.Clone(memfs.SyncedOnly, seed)
	})
	mended.OnOp(nil)
	if again.fs != nil {
		r.check(r.storeIn(again.fs), again.history, storagetest.PowerLost, seed, r.where+fmt.Sprintf(", opened again, %v at change %d", again.mode, again.at), nil)
	}
	if last != nil {
		r.check(r.storeIn(last), known, storagetest.PowerLost, seed, r.where+", opened again, then power lost", nil)
	}
}

// left opens what is left in one way.
func (r *faultRun) left(fs *memfs.FS, loss storagetest.Loss, where string) {
	if r.script.whole != nil {
		r.script.whole(r, fs, where)
		return
	}
	r.check(r.storeIn(fs), r.h.Fork(r.h.Mark()), loss, r.seed+uint64(r.k), where, nil)
}
