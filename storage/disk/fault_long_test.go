package disk_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// long has journal files that are longer than what is read of them at once, so that frames lie across the end of that.
func long() disk.Options {
	o := tiny()
	o.Tuning.SlotBytes, o.Tuning.JournalBytes, o.Tuning.SpillBytes = 2<<20, 16<<20, 4<<20
	return o
}

// lengthen appends records that end where a read ends; then topics with settings that do not fit in what is read behind a batch that was passed over; and then both, lying across
// the end of a read.
func lengthen(st *disk.Store, h *storagetest.History) error {
	create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(context.Background(), s) }
	topic, err := h.CreateTopic(create, storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncAlways}})
	for n := 0; n < 70 && err == nil; n++ {
		size := 15_500 // with padding, 16 of them in 256 KiB
		switch {
		case n >= 43:
			size = 3000
		case n >= 40:
			size = 40_000
		}
		err = put1(context.Background(), st, h, storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: topic.First, Sizes: []int{size}}}})
		if n >= 40 && err == nil {
			_, err = h.CreateTopic(create, storage.TopicSpec{Name: fmt.Sprint("settings ", n), Partitions: 1, Settings: make([]byte, 20_000)})
		}
	}
	return err
}

// startLong is a killed store with such a journal.
func startLong(t *testing.T, _ uint64) *faultStart {
	t.Helper()
	fs, h := memfs.New(), storagetest.NewHistory()
	st, err := disk.OpenFS(fs, long())
	must(t, err)
	must(t, lengthen(st, h))
	s := &faultStart{fs: fs.Clone(memfs.Everything, 1), h: h}
	must(t, st.Close(t.Context()))
	return s
}

// startLongRuined is one of which the header of a frame is ruined, near the beginning.
func startLongRuined(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs := startLong(t, seed).fs
	b, err := fs.Contents("journal/00")
	must(t, err)
	must(t, fs.ZeroRange("journal/00", framesOf(t, b)[6].from, 64))
	return startSalvage(t, fs)
}

// playOpening opens a store and closes it.
func playOpening(r *faultRun) error {
	st, err := r.open(tiny())
	if err == nil {
		r.close(st)
	}
	return err
}

// playOpeningWithoutNotes opens a store that reads its journal twice, and closes it.
func playOpeningWithoutNotes(r *faultRun) error {
	st, err := r.open(disk.BoundNotes(tiny(), 1))
	if err == nil {
		r.close(st)
	}
	return err
}

// startUsed is a closed store whose checkpoints are gone.
func startUsed(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs, h := closed(t, seed)
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "checkpoint") {
			must(t, fs.Remove(name))
		}
	}
	must(t, fs.SyncDir("."))
	return &faultStart{fs: fs.Clone(memfs.Everything, 1), h: h}
}

// playOpeningUsed opens such a store, which is refused.
func playOpeningUsed(r *faultRun) error {
	st, err := r.open(tiny())
	switch {
	case err == nil:
		r.close(st)
		return errors.New("it is taken for a new one")
	case errors.As(err, new(*storage.DamageError)):
		return nil
	}
	return err
}

// isUsed: nobody takes the directory for a new one.
func isUsed(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	if err == nil {
		err = errors.Join(errors.New("it is taken for a new one"), st.Close(context.Background()))
	}
	if !errors.As(err, new(*storage.DamageError)) {
		r.wrong("%s: %v", where, err)
	}
}

// playVerifyingLong verifies such a journal while it is in use.
func playVerifyingLong(r *faultRun) error {
	st, err := r.open(long())
	if err != nil {
		return err
	}
	if err := lengthen(st, r.h); err == nil {
		if _, err := st.Verify(r.ctx, disk.VerifyOptions{}); err != nil {
			r.typed(err, "verify")
		}
	}
	r.close(st)
	return nil
}

// playVerifyingRuined verifies such a journal, of which a header is ruined meanwhile.
func playVerifyingRuined(r *faultRun) error {
	st, err := r.open(long())
	if err != nil {
		return err
	}
	if err := lengthen(st, r.h); err == nil {
		b, err := r.inner.Contents("journal/00")
		must(r.t, err)
		for _, f := range framesOf(r.t, b) { // where what is read at once ends: the next frame is not among it
			if end := f.from + int64(f.Size()); f.from < 256<<10 && end > 240<<10 {
				must(r.t, r.inner.ZeroRange("journal/00", f.from, 64))
			}
		}
		if report, err := st.Verify(r.ctx, disk.VerifyOptions{}); err != nil {
			r.typed(err, "verify")
		} else if len(report.Damage) == 0 {
			r.wrong("%s: the ruined header is not found", r.where)
		}
	}
	r.close(st)
	return nil
}

// opensOrIsRefused: what is ruined is not believed.
func opensOrIsRefused(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	if err == nil {
		err = st.Close(context.Background())
	}
	if err != nil && !errors.As(err, new(*storage.DamageError)) {
		r.wrong("%s: %v", where, err)
	}
}

// opensWhole: what could not be read once is there.
func opensWhole(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	if err != nil {
		r.wrong("%s: %v", where, err)
		return
	}
	if damage := st.Report().Damage; len(damage) > 0 {
		r.wrong("%s: %v is called damage", where, damage)
	}
	r.judge(r.h.Fork(r.h.Mark()).Check(st, storagetest.PowerLost, 1), where)
	if err := st.Close(context.Background()); err != nil {
		r.wrong("%s: close: %v", where, err)
	}
}

// startLostBodies is a killed store with segments behind its checkpoint and a frame of the journal whose body is lost.
func startLostBodies(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	for try := range uint64(50) {
		fs, h := closed(t, 100+seed)
		st, err := open(fs)
		must(t, err)
		must(t, fill(st, h, 900+seed+100*try, 40))
		killed := fs.Clone(memfs.Everything, 1)
		must(t, st.Close(t.Context()))
		for _, name := range killed.Files() {
			if !strings.HasPrefix(name, "journal/") {
				continue
			}
			if im := loseBody(t, killed, name); im != nil {
				return &faultStart{fs: im.Clone(memfs.Everything, 1), h: h}
			}
		}
	}
	t.Fatal("no body is lost")
	return nil
}

// loseBody ruins the body of a batch in a journal file that an open misses; nil if there is none.
func loseBody(t *testing.T, fs *memfs.FS, name string) *memfs.FS {
	t.Helper()
	b, err := fs.Contents(name)
	must(t, err)
	for _, f := range framesOf(t, b) {
		if f.Count == 0 {
			continue
		}
		im := fs.Clone(memfs.Everything, 1)
		must(t, im.FlipBit(name, f.from+70, 1))
		opened := im.Clone(memfs.Everything, 1)
		st, err := open(opened)
		if damage := (*storage.DamageError)(nil); errors.As(err, &damage) {
			continue
		}
		must(t, err)
		must(t, st.Close(t.Context()))
		if kept, err := opened.List("aside/frames"); err == nil && len(kept) > 0 {
			return im
		}
	}
	return nil
}

// opens: whatever it has lost, the store opens.
func opens(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	if err == nil {
		err = st.Close(context.Background())
	}
	if err != nil {
		r.wrong("%s: %v", where, err)
	}
}

// startManyFrames is a killed store with so many frames in its journal that an open does not keep all of their places in memory.
func startManyFrames(t *testing.T, _ uint64) *faultStart {
	t.Helper()
	fs := memfs.New()
	o := long()
	o.Tuning.SpillBytes, o.MemoryBytes = 16<<20, 64<<20
	st, err := disk.OpenFS(fs, o)
	must(t, err)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 500})
	must(t, err)
	for range 68 {
		e := &storage.Entry{}
		for n := range topic.Partitions {
			e.Batches = append(e.Batches, record(topic.Partition(n), "x"))
		}
		_, err := st.Append(t.Context(), e)
		must(t, err)
	}
	s := &faultStart{fs: fs.Clone(memfs.Everything, 1), h: storagetest.NewHistory()}
	must(t, st.Close(t.Context()))
	return s
}

// startKeptLong is a killed store with more in its journal than an open with less memory holds, which has to read all of it since a body is lost: first one record of
// a partition, then many of another.
func startKeptLong(t *testing.T, _ uint64) *faultStart {
	t.Helper()
	fs, h := memfs.New(), storagetest.NewHistory()
	o := long()
	o.MemoryBytes, o.Tuning.JournalBytes, o.Tuning.SpillBytes = 64<<20, 32<<20, 8<<20
	st, err := disk.OpenFS(fs, o)
	must(t, err)
	create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(t.Context(), s) }
	topic, err := h.CreateTopic(create, storage.TopicSpec{Name: "t", Partitions: 2, Strategy: storage.Strategy{Level: storage.MemoryAndDisk, Sync: storage.SyncAlways}})
	must(t, err)
	for n := range 1200 {
		size := 4000
		if n == 0 {
			size = 100
		}
		must(t, put1(t.Context(), st, h, storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: topic.Partition(min(n, 1)), Sizes: []int{size}}}}))
	}
	b, err := fs.Contents("journal/00")
	must(t, err)
	killed := fs.Clone(memfs.Everything, 1)
	must(t, killed.FlipBit("journal/00", framesOf(t, b)[20].from+70, 1))
	s := &faultStart{fs: killed.Clone(memfs.Everything, 1), h: h}
	must(t, st.Close(t.Context()))
	return s
}

// startForgedLast is a killed store whose last frame, of which nothing shows that it was synced, is forged.
func startForgedLast(t *testing.T, _ uint64) *faultStart {
	t.Helper()
	fs, h, lastGroup := journalOnly(t, storage.SyncAlways, 30)
	const name = "journal/00"
	b, err := fs.Contents(name)
	must(t, err)
	f := frameAt(framesOf(t, b), lastGroup)
	another(&f.Header, frame.Cursor, b[f.from:], frame.Seed(binary.LittleEndian.Uint32(b[12:])))
	must(t, fs.SetContents(name, b))
	return &faultStart{fs: fs.Clone(memfs.Everything, 1), h: h}
}

// startBitten is a store without a checkpoint, of which the first segment of each partition has lost something in the middle.
func startBitten(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs, _ := closed(t, 200+seed)
	bitten := map[string]bool{}
	names := fs.Files()
	slices.Sort(names)
	for _, name := range names {
		b, err := fs.Contents(name)
		must(t, err)
		switch {
		case strings.HasPrefix(name, "checkpoint"):
			must(t, fs.Delete(name))
		case strings.HasPrefix(name, "seg/") && !bitten[path.Dir(name)]:
			bitten[path.Dir(name)] = true
			must(t, fs.FlipBit(name, int64(len(b)+4096)/2, 1))
		}
	}
	return startRebuild(t, fs)
}

func startRebuild(t *testing.T, fs *memfs.FS) *faultStart {
	t.Helper()
	s, whole := &faultStart{fs: memfs.New(), h: storagetest.NewHistory()}, memfs.New()
	r, err := rebuild(t.Context(), fs, whole)
	must(t, err)
	s.backup, s.damage, s.after, s.want = fs, texts(r.Damage), after(t, whole), aroundAll(t, whole)
	move(t, fs, s.fs, "store/")
	return s
}

// startLongBare is a store with a long journal and no checkpoint.
func startLongBare(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs := startLong(t, seed).fs
	for _, name := range []string{"checkpoint-a", "checkpoint-b", "checkpoint-c"} {
		must(t, fs.ZeroRange(name, 0, 4096))
	}
	return startRebuild(t, fs)
}
