package disk_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

func journalFiles(fs *memfs.FS) (names []string) {
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "journal/") {
			names = append(names, name)
		}
	}
	return names
}

// ruinOne returns a store with one of its journal files ruined by do so that it has to be salvaged; with another seed it is another one.
func ruinOne(t *testing.T, seed uint64, make func(seed uint64) *memfs.FS, do func(fs *memfs.FS, name string), fits func(disk.SalvageReport) bool) *faultStart {
	t.Helper()
	for try := range uint64(40) {
		fs := make(seed + 2*try)
		for _, name := range journalFiles(fs) {
			im := memfs.New()
			move(t, fs, im, "") // all of it synced
			do(im, name)
			r, err := salvage(im.Clone(memfs.Everything, 1))
			must(t, err)
			if r.Damaged && fits(r) {
				return startSalvage(t, im)
			}
		}
	}
	t.Fatal("none is damaged in this way")
	return nil
}

// startHeadless is a store that was resumed several times, and of which a journal file has lost its beginning.
func startHeadless(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	lose := func(fs *memfs.FS, name string) {
		b, err := fs.Contents(name)
		must(t, err)
		copy(b, "somebody else's, all of it")
		must(t, fs.SetContents(name, b))
	}
	if seed == 1 { // one that has no other
		fs, _, _ := journalOnly(t, storage.SyncAlways, 30)
		lose(fs, "journal/00")
		return startSalvage(t, fs)
	}
	return ruinOne(t, seed, func(seed uint64) *memfs.FS { return resumedStore(t, seed) }, lose, func(r disk.SalvageReport) bool { return r.Journal.Entries > 0 })
}

// startEpochLost is a store that was killed, resumed and killed before it came to a checkpoint of its own, and has lost all frames of its first life.
func startEpochLost(t *testing.T, _ uint64) *faultStart {
	t.Helper()
	fs, _, _ := journalOnly(t, storage.SyncAlways, 30)
	name, release := "", make(chan struct{})
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind != vfs.OpWrite || !strings.HasPrefix(op.Name, "checkpoint-") {
			return nil
		}
		if name == "" {
			name = op.Name
		}
		if op.Name != name { // the second one
			<-release
		}
		return nil
	})
	st, err := disk.OpenFS(fs, long())
	must(t, err)
	for range 20 {
		must(t, putRaw(t.Context(), st, record(st.Topics()[0].First, "more")))
	}
	killed := memfs.New()
	move(t, fs, killed, "") // all of it synced
	close(release)
	must(t, st.Close(t.Context()))
	must(t, killed.ZeroRange("journal/00", 4096, 256<<10))
	return startSalvage(t, killed)
}

// startEmptied is a store of which all frames of the journal are gone, and the ends of its files.
func startEmptied(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs := ruinedStore(t, seed)
	for _, name := range journalFiles(fs) {
		must(t, fs.ZeroRange(name, 4096, 12<<10))
		must(t, fs.Resize(name, 16<<10))
	}
	return startSalvage(t, fs.Clone(memfs.Everything, 1))
}

// startTorn is a killed store with a frame lost in the middle of each entry, of the last one too, of which nothing shows that it was synced.
func startTorn(t *testing.T, _ uint64) *faultStart {
	t.Helper()
	fs, h := memfs.New(), storagetest.NewHistory()
	st, err := disk.OpenFS(fs, long())
	must(t, err)
	create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(t.Context(), s) }
	topic, err := h.CreateTopic(create, storage.TopicSpec{Name: "t", Partitions: 6, Strategy: storage.Strategy{Sync: storage.SyncAlways}})
	must(t, err)
	for range 20 {
		var plan storagetest.Plan
		for n := range topic.Partitions {
			plan.Batches = append(plan.Batches, storagetest.PlanBatch{Partition: topic.Partition(n), Sizes: []int{3000}})
		}
		must(t, put1(t.Context(), st, h, plan))
	}
	killed := fs.Clone(memfs.Everything, 1)
	must(t, st.Close(t.Context()))
	b, err := killed.Contents("journal/00")
	must(t, err)
	batches := 0
	for _, f := range framesOf(t, b) {
		if f.Count == 0 {
			continue
		}
		if batches++; batches%6 == 3 {
			must(t, killed.ZeroRange("journal/00", f.from, 64))
		}
	}
	return startSalvage(t, killed.Clone(memfs.Everything, 1))
}

// startSpilled is a store that has lost nearly all of a journal file whose records are in segments, too.
func startSpilled(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	busy := func(seed uint64) *memfs.FS {
		fs, h := closed(t, 100+seed)
		st, err := open(fs)
		must(t, err)
		must(t, fill(st, h, 900+seed, 40))
		killed := fs.Clone(memfs.Everything, 1)
		must(t, st.Close(context.Background()))
		return killed
	}
	lose := func(fs *memfs.FS, name string) {
		b, err := fs.Contents(name)
		must(t, err)
		frames := framesOf(t, b)
		if n := len(frames); n > 4 {
			must(t, fs.ZeroRange(name, 4096, frames[n-3].from-4096))
		}
	}
	return ruinOne(t, seed, busy, lose, func(r disk.SalvageReport) bool { return r.Spilled > 2 && len(r.Uncertain) > 0 })
}

// startHalfMended is a store with a hole whose records are back, as a mend leaves it that is cut short before that is written down.
func startHalfMended(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s := startHolesApart(t, seed)
	fs := s.fs.Clone(memfs.Everything, 1)
	st, err := open(fs.Sub("store"))
	must(t, err)
	defer st.Close(context.Background())
	images := crashed(t, fs, seed, func() error {
		_, err := st.MendFS(t.Context(), copyIn(fs), disk.MendOptions{})
		return err
	})
	for _, im := range images {
		apart := memfs.New()
		move(t, im.fs, apart, "")
		if isHalfMended(t, apart.Clone(memfs.Everything, 1)) {
			s.fs = apart
			return s
		}
	}
	t.Fatal("none is half mended")
	return nil
}

// isHalfMended tells whether a mend has nothing to do but to write down that it is done.
func isHalfMended(t *testing.T, fs *memfs.FS) bool {
	t.Helper()
	st, err := open(fs.Sub("store"))
	must(t, err)
	defer st.Close(context.Background())
	holes := len(st.Damaged())
	r, err := st.MendFS(t.Context(), copyIn(fs), disk.MendOptions{})
	must(t, err)
	return len(r.Mended) < holes && len(r.Left) == 0 && len(st.Damaged()) == 0
}

// startOneFile is a killed store with one journal file, so that what is in doubt needs another.
func startOneFile(t *testing.T, _ uint64) *faultStart {
	t.Helper()
	fs, h, _ := journalOnly(t, storage.SyncAlways, 30)
	return &faultStart{fs: fs, h: h}
}

// startBrokenHeader is a closed store with a frame in a segment, longer than what is read at once, whose header is damaged, but for its length.
func startBrokenHeader(t *testing.T, _ uint64) *faultStart {
	t.Helper()
	fs, o := memfs.New(), long()
	o.Tuning.SegmentBytes = 1 << 20
	st, err := disk.OpenFS(fs, o)
	must(t, err)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
	must(t, err)
	for range 4 {
		must(t, putRaw(t.Context(), st, big(topic.First, 150_000)))
	}
	must(t, st.Close(t.Context()))
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "seg/") {
			must(t, fs.FlipBit(name, 4096+20, 1))
		}
	}
	all := memfs.New()
	move(t, fs, all, "") // all of it synced
	return &faultStart{fs: all, h: storagetest.NewHistory()}
}

// playVerifyingBroken verifies such a store.
func playVerifyingBroken(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	if v, err := st.Verify(r.ctx, disk.VerifyOptions{}); err != nil {
		r.typed(err, "verify")
	} else if len(v.Damage) == 0 {
		r.wrong("%s: a damaged header is not reported", r.where)
	}
	r.close(st)
	return nil
}

// raiseSlot makes the header of a journal file one of a newer version.
func raiseSlot(b []byte) {
	binary.LittleEndian.PutUint32(b[8:], 2)
	binary.LittleEndian.PutUint32(b[56:], crc32.Checksum(b[:56], crc32.MakeTable(crc32.Castagnoli)))
}

// raiseCheckpoint makes the header of a checkpoint one of a newer version.
func raiseCheckpoint(b []byte) {
	if len(b) > 128 && b[0] != 0 {
		binary.LittleEndian.PutUint32(b[8:], 2)
		binary.LittleEndian.PutUint32(b[124:], crc32.Checksum(b[:124], crc32.MakeTable(crc32.Castagnoli)))
	}
}

// TestFaultNewer: a directory of which anything is of a newer format is refused by whatever works on it.
func TestFaultNewer(t *testing.T) {
	fs, _, _ := journalOnly(t, storage.SyncAlways, 10)
	refused := func(what string, err error) {
		var damage *storage.DamageError
		if !errors.Is(err, storage.ErrFormat) || errors.As(err, &damage) {
			t.Errorf("%s: %v, want ErrFormat alone", what, err)
		}
	}
	newer := func(raise func(b []byte), names ...string) *memfs.FS {
		im := fs.Clone(memfs.Everything, 1)
		for _, name := range names {
			b, err := im.Contents(name)
			must(t, err)
			raise(b)
			must(t, im.SetContents(name, b))
		}
		return im.Clone(memfs.Everything, 1)
	}
	im := newer(raiseSlot, "journal/00")
	_, err := open(im)
	refused("opening a newer journal file", err)
	_, err = salvage(im)
	refused("salvaging a newer journal file", err)
	im = newer(raiseCheckpoint, "checkpoint-a", "checkpoint-b", "checkpoint-c")
	_, err = open(im)
	refused("opening a newer checkpoint", err)
	_, err = rebuild(t.Context(), im, memfs.New())
	refused("rebuilding of a newer checkpoint", err)
}

// TestFaultSnapshotOfClosing: a snapshot that fails while the store is being closed says that.
func TestFaultSnapshotOfClosing(t *testing.T) {
	fs, _ := stopped(t, 1)
	st, err := open(fs)
	must(t, err)
	closed := make(chan error, 1)
	to := errfs.New(memfs.New(), errfs.Fault{Kinds: []vfs.Kind{vfs.OpCreate}, Nth: 2, Err: syscall.EIO, Before: func(vfs.Op) {
		go func() { closed <- st.Close(context.Background()) }()
		for st.Reclaim(t.Context()) == nil { // until it is being closed
			runtime.Gosched()
		}
	}})
	_, err = st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{})
	if !errors.Is(err, storage.ErrClosed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("%v, want ErrClosed and EIO", err)
	}
	must(t, <-closed)
}
