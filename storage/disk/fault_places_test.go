package disk_test

import (
	"context"
	"errors"
	"path"

	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// playVerifying ruins a journal that is in use, and a checkpoint, and has the running store verified.
func playVerifying(r *faultRun) error {
	o := tiny()
	o.Tuning.SlotBytes, o.Tuning.JournalBytes, o.Tuning.SpillBytes = 512<<10, 8<<20, 4<<20
	st, err := r.open(o)
	if err != nil {
		return err
	}
	if err := run(st, r.h, r.seed, 40); err == nil {
		ruinInUse(r.t, r.inner, r.seed)
		v, err := st.Verify(r.ctx, disk.VerifyOptions{})
		switch {
		case err != nil:
			r.typed(err, "verify")
		case len(v.Damage) == 0:
			r.wrong("%s: verify found no damage of the journal", r.where)
		}
	}
	r.close(st)
	return nil
}

// ruinInUse ruins the journal of a store that runs, in one of several ways.
func ruinInUse(t *testing.T, fs *memfs.FS, seed uint64) {
	t.Helper()
	const name = "journal/00"
	b, err := fs.Contents(name)
	must(t, err)
	switch frames := framesOf(t, b); seed % 4 {
	case 0: // the header of the file, the body of a frame and the header of another
		must(t, fs.FlipBit(name, 40, 1))
		if len(frames) > 4 {
			must(t, fs.FlipBit(name, frames[1].from+70, 1))
			must(t, fs.FlipBit(name, frames[3].from+20, 1))
		}
	case 1:
		must(t, fs.Delete(name))
		must(t, fs.Delete("checkpoint-c")) // which is not the newest yet
	case 2: // in the middle of a frame
		must(t, fs.Resize(name, frames[len(frames)/2].from+80))
	case 3:
		must(t, fs.ZeroRange(name, frames[1].from, int64(len(b))-frames[1].from))
	}
}

// opensOrIsSalvaged: what was ruined is damage, and nothing but a salvage is needed.
func opensOrIsSalvaged(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	if damage := (*storage.DamageError)(nil); errors.As(err, &damage) {
		if _, err := salvage(fs); err != nil {
			r.wrong("%s: %v, and a salvage: %v", where, damage, err)
			return
		}
		r.count("salvaged again", 1)
		st, err = open(fs)
	}
	if err == nil {
		err = st.Close(context.Background())
	}
	if err != nil {
		r.wrong("%s: %v", where, err)
	}
}

// startDamaged is a store that cannot be opened but to be read: its journal is ruined, missing, or too short.
func startDamaged(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s := &faultStart{fs: ruinedStore(t, 40+seed), h: storagetest.NewHistory()}
	for _, name := range s.fs.Files() {
		if !strings.HasPrefix(name, "journal/") {
			continue
		}
		switch seed % 3 {
		case 1:
			must(t, s.fs.Delete(name))
		case 2:
			must(t, s.fs.Resize(name, 20<<10))
		}
	}
	if seed%3 == 1 {
		must(t, s.fs.Remove("journal"))
	}
	s.fs = s.fs.Clone(memfs.Everything, 1)
	return s
}

// playReadingDamaged reads what there is of such a store, and verifies it.
func playReadingDamaged(r *faultRun) error {
	st, err := disk.OpenReadOnlyFS(r.fs, tiny())
	if err != nil {
		r.typed(err, "opening to read")
		return nil
	}
	if len(st.Report().Damage) == 0 {
		r.wrong("%s: opened to be read, and no damage is reported", r.where)
	}
	if v, err := st.Verify(r.ctx, disk.VerifyOptions{}); err != nil {
		r.typed(err, "verify")
	} else if len(v.Damage) == 0 {
		r.wrong("%s: verify found no damage", r.where)
	}
	if err := st.Close(context.Background()); err != nil {
		r.typed(err, "closing what was read")
	}
	return nil
}

// isUnchanged: reading changes nothing.
func isUnchanged(r *faultRun, fs *memfs.FS, where string) {
	if !unchanged(r.t, fs, r.start.fs, "") {
		r.wrong("%s: what was opened to be read was changed", where)
	}
}

// startForeign is a store with files of somebody else under names that it uses; or a directory that has nothing but these.
func startForeign(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s := &faultStart{fs: memfs.New(), h: storagetest.NewHistory()}
	names := []string{"checkpoint-a", "journal/00"}
	if seed%2 == 0 {
		s.fs, s.h = stopped(t, 2*seed)
		names = []string{oldestCheckpoint(t, s.fs), "journal/70"}
		must(t, s.fs.Delete("reserve"))
		names = append(names, "reserve")
	} else {
		must(t, s.fs.Mkdir("journal"))
	}
	for _, name := range names {
		must(t, s.fs.SetContents(name, []byte("somebody's")))
		must(t, s.fs.SetContents(name+".found-1", []byte("and this")))
		if path.Dir(name) == "." {
			must(t, s.fs.Mkdir(name+".found-2"))
		}
	}
	s.fs = s.fs.Clone(memfs.Everything, 1)
	return s
}

// oldestCheckpoint returns the file that the next checkpoint is written to.
func oldestCheckpoint(t *testing.T, fs *memfs.FS) string {
	t.Helper()
	st, err := disk.OpenReadOnlyFS(fs.Clone(memfs.Everything, 1), tiny())
	must(t, err)
	defer st.Close(context.Background())
	v, err := st.Verify(t.Context(), disk.VerifyOptions{})
	must(t, err)
	oldest := v.Checkpoints[0]
	for _, c := range v.Checkpoints[1:] {
		if c.Seq < oldest.Seq {
			oldest = c
		}
	}
	return oldest.File
}

// startUnfit is a closed store with damaged segments, beside a copy that does not help: it lacks the records, is of another life, is damaged itself, or has what was compacted.
func startUnfit(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s := &faultStart{fs: memfs.New(), h: storagetest.NewHistory()}
	early, fs := agedStore(t, 200+seed)
	unfit := vfs.FS(early) // of the beginning
	switch seed % 4 {
	case 1: // it went its own way
		other := memfs.New()
		_, err := disk.RestoreFS(t.Context(), early, other, disk.RestoreOptions{})
		must(t, err)
		st, err := open(other)
		must(t, err)
		for _, topic := range st.Topics() {
			for n := range 100 {
				b := storage.Batch{Partition: topic.Partition(n % topic.Partitions), Records: []storage.Record{{Value: make([]byte, 1000)}}}
				_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{b}})
				must(t, err)
			}
		}
		must(t, st.Close(t.Context()))
		unfit = other
	case 2:
		unfit = fs.Clone(memfs.SyncedOnly, 1)
	case 3:
		x := newRewritten(t, latestByKey(storage.DiskOnly))
		fs, unfit = x.fs, x.copies["before"]
	}
	whole, rng := fs.Clone(memfs.SyncedOnly, 1), newRand(seed, 41)
	s.want, s.backup = right(everything(fs.Clone(memfs.SyncedOnly, 1))), whole
	for range 4 {
		name, err := harm(fs, whole, rng)
		must(t, err)
		if seed%4 == 2 {
			must(t, unfit.(*memfs.FS).ZeroRange(name, 4096, 1000)) // as damaged
		}
	}
	move(t, fs, s.fs, "store/")
	move(t, unfit.(*memfs.FS), s.fs, "copy/")
	return s
}

// agedStore makes a store, and returns it as it was after its first life, too.
func agedStore(t *testing.T, seed uint64) (early, late *memfs.FS) {
	t.Helper()
	fs, h := memfs.New(), storagetest.NewHistory()
	for life := range uint64(3) {
		st, err := open(fs)
		must(t, err)
		must(t, fill(st, h, seed<<8|life, 40))
		must(t, st.Close(t.Context()))
		if life == 0 {
			early = fs.Clone(memfs.SyncedOnly, 1)
		}
	}
	return early, fs
}

// startHolesApart is a killed store with bodies of its journal ruined, beside a copy from before.
func startHolesApart(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s, apart := startHoles(t, seed), memfs.New()
	s.backup = s.before
	move(t, s.fs, apart, "store/")
	move(t, s.before, apart, "copy/")
	s.fs = apart
	return s
}

// playMendingHoles fills the holes.
func playMendingHoles(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	if _, err := st.MendFS(r.ctx, r.to, disk.MendOptions{}); err != nil {
		r.typed(err, "mend")
	}
	r.close(st)
	return nil
}

// startHarmedAlone is a closed store with damaged segments, and room for a copy beside it.
func startHarmedAlone(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s := startHarmed(t, 20+seed)
	both := s.fs
	s.fs = memfs.New()
	for name, b := range contents(t, both) {
		if rest, ok := strings.CutPrefix(name, "store/"); ok {
			one := memfs.New()
			makeParents(t, one, rest)
			must(t, one.SetContents(rest, b))
			move(t, one, s.fs, "store/")
		}
	}
	return s
}

// playCopyingDamaged makes a snapshot of a store with damaged segments, in which these are left out, and has it followed.
func playCopyingDamaged(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	made, err := st.SnapshotFS(r.ctx, r.to, disk.SnapshotOptions{AcceptDamage: true})
	switch {
	case err != nil:
		r.typed(err, "snapshot")
	case len(made.Damage) == 0:
		r.wrong("%s: a snapshot of a damaged store says that it lacks nothing", r.where)
	}
	r.close(st)
	return nil
}

// playFollowingDamaged has a damaged store followed from its beginning: what cannot be read is a hole of the second directory.
func playFollowingDamaged(r *faultRun) (refused error) {
	synctest.Test(r.t, func(*testing.T) {
		st, err := r.open(disk.FollowFS(tiny(), r.to))
		if err != nil {
			refused = err
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := st.WaitFollowed(ctx); err != nil && r.injected() == 0 {
			r.wrong("%s: following: %v", r.where, err)
		}
		r.close(st)
	})
	return refused
}

// startRestored is a store beside a copy of it that was cut short.
func startRestored(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s := startApart(t, seed)
	images := crashed(t, s.fs, seed, func() error {
		_, err := disk.RestoreFS(t.Context(), s.fs.Sub("store"), s.fs.Sub("copy"), disk.RestoreOptions{})
		return err
	})
	for at := 2 * len(images) / 3; ; at++ {
		fs := images[at].fs
		if st, err := disk.OpenReadOnlyFS(copyIn(fs), tiny()); err == nil {
			t.Fatal("the copy is whole", st.Close(t.Context()))
		} else if names, _ := fs.List("copy/seg"); errors.Is(err, storage.ErrUnfinished) && len(names) > 0 {
			s.fs = fs.Clone(memfs.Everything, 1)
			return s
		}
	}
}

// startSalvaged is a damaged store of which a salvage was cut short when it had copied everything aside.
func startSalvaged(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s := startSalvage(t, ruinedStore(t, 60+seed))
	var left *memfs.FS
	for _, im := range salvageImages(t, s.fs, seed) {
		st, err := open(im.fs.Clone(memfs.Everything, 1))
		if damage := (*storage.DamageError)(nil); errors.As(err, &damage) {
			left = im.fs
			continue
		}
		must(t, err)
		must(t, st.Close(t.Context()))
	}
	s.fs = left.Clone(memfs.Everything, 1)
	return s
}

// startKilledTwice is a store that was killed, resumed, and killed.
func startKilledTwice(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs, h := stopped(t, 2*seed)
	st, err := disk.OpenFS(fs, tiny())
	must(t, err)
	must(t, run(st, h, 50+seed, 10))
	s := &faultStart{fs: fs.Clone(memfs.Everything, 1), h: h}
	must(t, st.Close(t.Context()))
	return s
}

// playResuming resumes such a store.
func playResuming(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	r.life(st, func() error { return run(st, r.h, r.seed, 5) })
	return nil
}
