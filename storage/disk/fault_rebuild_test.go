package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

func rebuild(ctx context.Context, from, to vfs.FS) (disk.RebuildReport, error) {
	return disk.RebuildFS(ctx, from, to, disk.RebuildOptions{Store: tiny()})
}

// startNoCheckpoint is a store of which no checkpoint is whole, and some segments neither: one was killed, and topics of it are forgotten; one was closed; one is compressed.
func startNoCheckpoint(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	s := &faultStart{fs: memfs.New(), h: storagetest.NewHistory()}
	fs, rng := noCheckpointStore(t, seed), newRand(seed, 50)
	how := []string{"flipped", "without header", "deleted"}[seed%3]
	for {
		from, whole := fs.Clone(memfs.SyncedOnly, 1), memfs.New()
		if done := noCheckpoint(t, from, rng); !strings.HasSuffix(done, how) {
			continue
		}
		behead(t, from, rng)
		if seed%3 == 1 {
			_, err := spoil(from, rng)
			must(t, err)
		}
		r, err := rebuild(t.Context(), from, whole)
		must(t, err)
		if how == "flipped" && len(r.Unnamed) == 0 {
			continue
		}
		s.backup, s.damage, s.after, s.want = from, texts(r.Damage), after(t, whole), aroundAll(t, whole)
		move(t, from, s.fs, "store/")
		return s
	}
}

func texts(all []*storage.DamageError) (lines []string) {
	for _, d := range all {
		lines = append(lines, d.Error())
	}
	slices.Sort(lines)
	return lines
}

// behead takes the header block of a segment, and puts what is none among the segments.
func behead(t *testing.T, fs *memfs.FS, rng *rand.Rand) {
	t.Helper()
	var names []string
	for _, name := range fs.Files() {
		if b, err := fs.Contents(name); err == nil && strings.HasPrefix(name, "seg/") && len(b) > 4096 {
			names = append(names, name)
		}
	}
	name := names[rng.IntN(len(names))]
	must(t, fs.ZeroRange(name, 0, 4096))
	must(t, fs.SetContents(path.Dir(name)+"/stranger", []byte("not a segment")))
	must(t, fs.Mkdir(path.Dir(name)+"/00000000000fffff"))
	must(t, fs.SyncDir(path.Dir(name)))
}

// aroundAll reads all that a store has around its holes.
func aroundAll(t *testing.T, fs vfs.FS) map[storage.PartitionID][]storage.Record {
	t.Helper()
	st, err := open(fs)
	must(t, err)
	defer st.Close(context.Background())
	all := map[storage.PartitionID][]storage.Record{}
	for _, topic := range st.Topics() {
		for i := range topic.Partitions {
			all[topic.Partition(i)], _, err = around(st, topic.Partition(i))
			must(t, err)
		}
	}
	return all
}

// noCheckpointStore makes the store whose checkpoints are ruined then.
func noCheckpointStore(t *testing.T, seed uint64) *memfs.FS {
	t.Helper()
	switch seed % 3 {
	case 0:
		fs, _ := stopped(t, 2*seed)
		return fs
	case 1:
		fs, _ := closed(t, 200+seed)
		return fs
	}
	fs := memfs.New()
	c := newClerk(t, fs, quiet(), storage.Strategy{Level: storage.Compressed, Compression: storage.CompressionPolicy{BlockBytes: 8 << 10}})
	c.lines(3000)
	c.reopen()
	c.clean()
	c.lines(200)
	must(t, c.st.Close(t.Context()))
	return fs
}

func playRebuilding(r *faultRun) error {
	report, err := rebuild(r.ctx, r.fs, r.to)
	switch {
	case err != nil:
		r.typed(err, "rebuild")
	case !slices.Equal(texts(report.Damage), r.start.damage):
		r.lossy = true
		if !errors.Is(r.how.err(), syscall.EIO) { // bytes that a medium does not give back are damage
			r.wrong("%s: rebuilt, and %v is taken for damage", r.where, report.Damage)
		}
	}
	if !unchanged(r.t, r.inner, r.start.fs, "store/") {
		r.wrong("%s: the store that was rebuilt is not what it was", r.where)
	}
	return nil
}

// rebuildsTheSame: what was made is whole, or says that it is not, and is made again.
func rebuildsTheSame(r *faultRun, fs *memfs.FS, where string) {
	r.rebuiltAgain(r.t, fs, r.start, r.lossy, where)
}

// rebuiltAgain makes a rebuild again that was cut short, and looks at the new store. Of one that is lossy some records may be missing.
func (a *tally) rebuiltAgain(t *testing.T, fs *memfs.FS, s *faultStart, lossy bool, where string) {
	to := copyIn(fs)
	st, err := disk.OpenReadOnlyFS(to, tiny())
	switch {
	case err == nil:
		err = st.Close(context.Background())
		a.count("rebuilt", 1)
	case errors.Is(err, storage.ErrUnfinished), errors.Is(err, storage.ErrFormat):
		lossy = false
		a.count("rebuilt again", 1)
		_, err = rebuild(context.Background(), fs.Sub("store"), to)
	}
	if err != nil {
		a.wrong("%s: %v", where, err)
		return
	}
	if lossy {
		a.hasNothingElse(t, to, s.want, where)
		return
	}
	if got := after(t, to); !slices.Equal(got, s.after) {
		a.wrong("%s: %d lines are left, want %d: %.500q, want %.500q", where, len(got), len(s.after), got, s.after)
	}
}

// hasNothingElse checks that a store has no records but those of want.
func (a *tally) hasNothingElse(t *testing.T, fs vfs.FS, want map[storage.PartitionID][]storage.Record, where string) {
	for p, all := range aroundAll(t, fs) {
		i := 0
		for j := range want[p] {
			if i < len(all) && same(&all[i], &want[p][j]) {
				i++
			}
		}
		if i < len(all) {
			a.wrong("%s: partition %d: offset %d is wrong", where, p, all[i].Offset)
		}
	}
}

// TestRebuildCrash cuts the power, in every way, at every operation of a Rebuild that changes the disk: what is left is whole, or says that it is not, and is made again then.
func TestRebuildCrash(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 2, 3, 30)) {
		s := startNoCheckpoint(t, seed)
		fsys := s.fs.Clone(memfs.SyncedOnly, 1)
		images := crashed(t, fsys, seed, func() error {
			_, err := rebuild(t.Context(), fsys.Sub("store"), fsys.Sub("copy"))
			return err
		})
		for _, im := range images {
			a.count("points", 1)
			if !unchanged(t, im.fs, s.fs, "store/") {
				a.wrong("%s: the store that was rebuilt is not what it was", im.where)
			}
			a.rebuiltAgain(t, im.fs, s, false, im.where)
		}
	}
	line := fmt.Sprintf("%d crash points, %d whole, %d made again", a.get("points"), a.get("rebuilt"), a.get("rebuilt again"))
	a.end(t, "crashed rebuild", line, "points", "rebuilt", "rebuilt again")
}
