package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// faultScript is what is done while an operation fails.
type faultScript struct {
	name  string
	seeds int  // that are tried at ci
	sides int  // 2: the store is in one directory, and a copy of it is made in another
	long  int  // so many times fewer operations are tried, but at full
	ends  bool // it does what takes a context, which ends at the k-th operation in other runs
	reads bool // its reads are tried one by one, too
	// start makes what the script starts with; nil: an empty directory.
	start func(t *testing.T, seed uint64) *faultStart
	// play returns the error of an open that is refused.
	play func(r *faultRun) error
	// whole looks at what is left in place of the history, and may change it.
	whole func(r *faultRun, fs *memfs.FS, where string)
}

// faultStart is a directory, and what is known of it.
type faultStart struct {
	fs     *memfs.FS
	h      *storagetest.History
	want   map[storage.PartitionID][]storage.Record
	backup *memfs.FS
	after  []string  // what a salvage leaves, or a Rebuild
	before *memfs.FS // the same, whole
	damage []string  // that a Rebuild reports
	lost   int64     // records, that damage has taken
}

// failures are those that the script is tried with.
func (s *faultScript) failures() []failure {
	all := slices.Clone(failures)
	if s.ends {
		all = append(all, contextEnds)
	}
	if s.reads {
		all = append(all, readFails)
	}
	return all
}

func (s *faultScript) begin(t *testing.T, seed uint64) *faultStart {
	if s.start == nil {
		return nil
	}
	return s.start(t, seed)
}

var faultScripts = []faultScript{
	{name: "mixed", seeds: 2, play: playMixed},
	{name: "removing", seeds: 1, long: 3, play: playRemoving},
	{name: "rewriting", seeds: 1, long: 12, play: playRewriting},
	{name: "many partitions", seeds: 1, long: 6, play: playMany},
	{name: "refusing", seeds: 1, long: 4, play: playRefusing, whole: refusedAreNotThere},
	{name: "filling", seeds: 1, long: 3, play: playFilling},
	{name: "recovering", seeds: 1, long: 3, start: startKilled, play: playRecovering},
	{name: "reading", seeds: 1, long: 3, start: startStopped, play: playReading},
	{name: "holes", seeds: 1, long: 3, ends: true, reads: true, start: startHoles, play: playHoles, whole: holesAreTheSame},
	{name: "mending", seeds: 1, sides: 2, long: 8, ends: true, start: startHarmed, play: playMending, whole: mendsAgain},
	{name: "salvaging", seeds: 1, long: 4, reads: true, start: startRuined, play: playSalvaging, whole: salvagesTheSame},
	{name: "salvaging what was resumed", seeds: 2, long: 8, reads: true, start: startResumed, play: playSalvaging, whole: salvagesTheSame},
	{name: "snapshot", seeds: 1, sides: 2, long: 4, ends: true, start: startApart, play: playSnapshot},
	{name: "restoring", seeds: 1, sides: 2, long: 3, ends: true, start: startApart, play: playRestoring},
	{name: "rebuilding", seeds: 3, sides: 2, long: 12, ends: true, reads: true, start: startNoCheckpoint, play: playRebuilding, whole: rebuildsTheSame},
	{name: "restoring again", seeds: 1, sides: 2, long: 2, ends: true, start: startRestored, play: playRestoring},
	{name: "salvaging again", seeds: 1, long: 8, reads: true, start: startSalvaged, play: playSalvaging, whole: salvagesTheSame},
	{name: "verifying", seeds: 3, long: 20, ends: true, reads: true, play: playVerifying, whole: opensOrIsSalvaged},
	{name: "reading what is damaged", seeds: 3, long: 2, ends: true, reads: true, start: startDamaged, play: playReadingDamaged, whole: isUnchanged},
	{name: "forged frames", seeds: 10, long: 20, start: startForged, play: playForged, whole: isSalvagedOrNewer},
	{name: "foreign files", seeds: 2, long: 12, start: startForeign, play: playRecovering},
	{name: "mending from what is unfit", seeds: 3, sides: 2, long: 30, ends: true, start: startUnfit, play: playMending, whole: mendsAgain},
	{name: "mending holes", seeds: 1, sides: 2, long: 6, ends: true, start: startHolesApart, play: playMendingHoles, whole: mendsAgain},
	{name: "copying what is damaged", seeds: 1, sides: 2, long: 8, ends: true, start: startHarmedAlone, play: playCopyingDamaged, whole: mendsAgain},
	{name: "following what is damaged", seeds: 1, sides: 2, long: 10, start: startHarmedAlone, play: playFollowingDamaged, whole: mendsAgain},
	{name: "resuming", seeds: 1, long: 3, reads: true, start: startKilledTwice, play: playResuming},
	{name: "compacting", seeds: 3, long: 18, ends: true, reads: true, start: startCompacted, play: playCompacting, whole: keepsTheNewest},
	{name: "following", seeds: 1, sides: 2, long: 4, start: startApart, play: playFollowing},
}

// playMixed has a store do everything that a workload does, in two lives.
func playMixed(r *faultRun) error {
	for life := range uint64(2) {
		st, err := r.open(tiny())
		if err != nil {
			return err
		}
		r.life(st, func() error { return run(st, r.h, r.seed<<8|life, 35) })
		if r.injected() > 0 {
			return nil
		}
	}
	st, err := r.open(tiny())
	if err == nil {
		r.close(st)
	}
	return err
}

// playRemoving trims, cleans and deletes, and waits for the space.
func playRemoving(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	r.life(st, func() error {
		for n := range 45 {
			if err := remove(context.Background(), st, r.h, n); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond) // it does not end while no checkpoint can be made
		defer cancel()
		return st.Reclaim(ctx)
	})
	return nil
}

// remove is a step of playRemoving.
func remove(ctx context.Context, st *disk.Store, h *storagetest.History, n int) error {
	topics := st.Topics()
	if len(topics) < 3 {
		s := storage.Strategy{Sync: storage.SyncOS, Cleanup: storage.CleanupPolicy{MaxRecords: int64(20 * (n % 2))}}
		create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(ctx, s) }
		_, err := h.CreateTopic(create, storage.TopicSpec{Name: fmt.Sprint("topic ", n), Partitions: 2, Strategy: s})
		return err
	}
	t := topics[n%len(topics)]
	switch p := t.Partition(n % 2); {
	case n%20 == 19:
		return h.DeleteTopic(t.Name, func() error { return st.DeleteTopic(ctx, t.Name) })
	case n%10 == 8:
		b, err := st.Bounds(p)
		if err != nil {
			return err
		}
		return h.Trim(p, b.Next, func() error { return st.Trim(ctx, p, b.Next) })
	case n%10 == 4:
		var ps []storage.PartitionID
		for _, t := range topics {
			ps = append(ps, t.Partition(0), t.Partition(1))
		}
		return h.Clean(ps, func() error { return st.Clean(ctx) })
	default:
		return put1(ctx, st, h, storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: p, Sizes: []int{5000, 100, 9000}}}})
	}
}

// put1 appends an entry.
func put1(ctx context.Context, st *disk.Store, h *storagetest.History, p storagetest.Plan) error {
	a := h.Begin(p)
	d, err := st.Append(ctx, a.Entry)
	if bad := h.End(a, d, err); bad != nil {
		return &storagetest.Violation{Err: bad}
	}
	return err
}

// playRewriting has segments compressed and compacted. What fails of that is as it was, and the store goes on.
func playRewriting(r *faultRun) error {
	var busy atomic.Bool
	for life := range uint64(2) {
		st, err := r.open(tiny())
		if err != nil {
			return err
		}
		r.life(st, func() error {
			err := rewriting(st, r.h, r.seed<<8|life, 55, &busy)
			if err == nil || r.how.fault.Always || r.how.full || st.StopCause() != nil {
				return err
			}
			return errors.Join(rewriting(st, r.h, r.seed<<8|life|4, 3, &busy), r.h.Clean(nil, func() error { return st.Clean(context.Background()) }))
		})
		if r.injected() > 0 {
			return nil
		}
	}
	return nil
}

// playMany has more partitions than files may be open, levels that keep nothing in memory, an entry that fits no journal file, and reads everything.
func playMany(r *faultRun) error {
	o := tiny()
	o.Tuning.OpenFiles = 1
	for life := range uint64(2) {
		st, err := r.open(o)
		if err != nil {
			return err
		}
		r.life(st, func() error {
			if err := many(st, r.h, newRand(r.seed, life)); err != nil {
				return err
			}
			return everywhere(st, r.h)
		})
		if r.injected() > 0 {
			return nil
		}
	}
	return nil
}

func many(st *disk.Store, h *storagetest.History, rng *rand.Rand) error {
	ctx := context.Background()
	for i, level := range []storage.Level{storage.MemoryAndDisk, storage.DiskOnly, storage.Compressed} {
		if len(st.Topics()) > i {
			continue
		}
		create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(ctx, s) }
		spec := storage.TopicSpec{Name: fmt.Sprint("topic ", i), Partitions: 5, Strategy: storage.Strategy{Sync: storage.SyncOS, Level: level}}
		if _, err := h.CreateTopic(create, spec); err != nil {
			return err
		}
	}
	for n := range 40 {
		var p storagetest.Plan
		for _, t := range st.Topics() {
			p.Batches = append(p.Batches, storagetest.PlanBatch{Partition: t.Partition(rng.IntN(t.Partitions)), Sizes: []int{100 + rng.IntN(2000)}})
		}
		if n == 20 {
			p.Batches[0].Sizes = []int{90_000}
		}
		if err := put1(ctx, st, h, p); err != nil {
			return err
		}
	}
	return nil
}

// everywhere reads all of a store, and finds its way by time.
func everywhere(st *disk.Store, h *storagetest.History) error {
	var errs []error
	for _, t := range st.Topics() {
		for i := range t.Partitions {
			p := t.Partition(i)
			rs, err := storagetest.ReadAll(st, p, newRand(1, uint64(i)))
			if bad := h.Saw(p, rs); bad != nil {
				return &storagetest.Violation{Err: bad}
			}
			for n := 0; n < len(rs) && err == nil; n += 1 + len(rs)/3 {
				_, err = st.OffsetAt(p, rs[n].Appended)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// playFilling fills the disk and frees it again, twice.
func playFilling(r *faultRun) (refused error) {
	synctest.Test(r.t, func(*testing.T) {
		o := tiny()
		o.Tuning.RoomEvery = time.Second
		st, err := r.open(o)
		if err != nil {
			refused = err
			return
		}
		r.life(st, func() error {
			// Whoever takes the space that the reserve has just given up has the store wait, with a group that it took, until there is some.
			defer time.AfterFunc(10*time.Minute, func() { r.inner.SetCapacity(-1) }).Stop()
			for round := range uint64(2) {
				r.inner.SetCapacity(1200 << 10)
				err := fill(st, r.h, r.seed<<8|round, 50)
				if err == nil || !errors.Is(err, storage.ErrFull) {
					return err
				}
				r.full(st, err)
				r.inner.SetCapacity(-1)
				time.Sleep(15 * time.Second)
				if st.Stats().Full && st.StopCause() == nil && !r.how.fault.Always && !r.how.full {
					return &storagetest.Violation{Err: errors.New("the disk is free, and the store is still full")}
				}
			}
			return fill(st, r.h, r.seed<<8|9, 10)
		})
	})
	return refused
}

// startKilled is what a kill left: a journal to be replayed, segments that nothing names.
func startKilled(t *testing.T, seed uint64) *faultStart {
	fs, h := stopped(t, 2*seed)
	return &faultStart{fs: fs, h: h}
}

// startStopped is what a kill left, or a close.
func startStopped(t *testing.T, seed uint64) *faultStart {
	fs, h := stopped(t, seed+1)
	return &faultStart{fs: fs, h: h}
}

func playRecovering(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	r.life(st, func() error { return run(st, r.h, r.seed, 5) })
	return nil
}

// playReading reads a store without writing to it, and then as its owner, with one file open at a time.
func playReading(r *faultRun) error {
	st, err := disk.OpenReadOnlyFS(r.fs, tiny())
	if err != nil {
		r.typed(err, "opening to read")
		return nil
	}
	if err := errors.Join(everywhere(st, r.h), r.verify(st)); err != nil {
		r.typed(err, "reading")
	}
	if err := st.Close(context.Background()); err != nil {
		r.typed(err, "closing what was read")
	}
	if r.injected() > 0 {
		return nil
	}
	o := tiny()
	o.Tuning.OpenFiles = 1
	if st, err = r.open(o); err != nil {
		return err
	}
	r.life(st, func() error { return errors.Join(everywhere(st, r.h), r.verify(st), everywhere(st, r.h)) })
	return nil
}

// verify has a store verified that is whole, but for bytes that a medium does not give back.
func (r *faultRun) verify(st *disk.Store) error {
	v, err := st.Verify(context.Background(), disk.VerifyOptions{})
	for _, d := range v.Damage {
		if r.injected() == 0 || !errors.Is(r.how.err(), syscall.EIO) {
			r.wrong("%s: verify calls damage what is none: %v", r.where, d)
		}
	}
	return err
}
