package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestDamageInJournal flips bits below the synced mark of a journal that must be replayed. In the body of a batch that costs exactly its records:
// the store opens and reports them, readers are told, everything else is there, now and after another open. Elsewhere the open is refused with the
// place, and changes nothing. In the last group a flip looks like a torn write, and costs that group and no more.
func TestDamageInJournal(t *testing.T) {
	fs, h, lastGroup := journalOnly(t, storage.SyncAlways, 100)
	const name = "journal/00"
	content, err := fs.Contents(name)
	if err != nil {
		t.Fatal(err)
	}
	want, err := everything(fs.Clone(memfs.Everything, 1))
	if err != nil {
		t.Fatal(err)
	}
	frames := framesOf(t, content)
	a, rng := newTally(), newRand(1, 10)
	for range sized(t, 120, 1000, 5000) {
		at, bit := rng.Int64N(int64(len(bytes.TrimRight(content, "\x00")))), uint(rng.IntN(8))
		where := fmt.Sprintf("bit %d of byte %d", bit, at)
		im := fs.Clone(memfs.SyncedOnly, 1)
		if err := im.FlipBit(name, at, bit); err != nil {
			t.Fatal(err)
		}
		f := frameAt(frames, at)
		switch {
		case at >= lastGroup:
			a.lastGroup(im, h, where)
		case f == nil || at < f.from+64 || f.Count == 0 && at < f.from+64+int64(f.BodyLen):
			a.refused(t, im, name, at, where)
		case at >= f.from+64+int64(f.BodyLen):
			a.padding(im, h, where)
		default:
			a.hole(im, maps.Clone(want), f, where)
		}
	}
	line := fmt.Sprintf("%d flips refused, %d in padding, %d in the last group, %d cost %d records",
		a.get("refused"), a.get("in padding"), a.get("last group"), a.get("holes"), a.get("in holes"))
	a.end(t, "damage in the journal", line, "refused", "last group", "holes", "in holes")
}

// refused opens what must not open.
func (a *tally) refused(t *testing.T, im *memfs.FS, name string, at int64, where string) {
	before := contents(t, im)
	st, err := open(im)
	if err == nil {
		st.Close(context.Background())
		if at < 4096 { // zeros behind the header of the file
			a.count("in padding", 1)
			return
		}
		a.wrong("%s: opened", where)
		return
	}
	var damage *storage.DamageError
	if !errors.As(err, &damage) {
		a.wrong("%s: %v, want *DamageError", where, err)
		return
	}
	if at >= 4096 && (damage.File != name || damage.From > at) {
		a.wrong("%s of %s: reported in %s from byte %d", where, name, damage.File, damage.From)
	}
	a.count("refused", 1)
	for file, was := range before {
		if is, err := im.Contents(file); file != "LOCK" && (err != nil || !bytes.Equal(is, was)) {
			a.wrong("%s: the refused open changed %s, %v", where, file, err)
		}
	}
}

func (a *tally) padding(im *memfs.FS, h *storagetest.History, where string) {
	a.count("in padding", 1)
	a.check(im, h.Fork(h.Mark()), storagetest.Died, 1, where, nil)
}

// hole opens a store that lost the batch f: the hole is reported and survives two more opens, beside a life that goes on.
func (a *tally) hole(im *memfs.FS, want map[storage.PartitionID][]storage.Record, f *placed, where string) {
	a.count("holes", 1)
	damaged, err := im.Contents("journal/00")
	if err != nil {
		a.wrong("%s: %v", where, err)
	}
	if st, err := disk.OpenReadOnlyFS(im, tiny()); err != nil {
		a.wrong("%s, to be read: %v", where, err)
	} else {
		if holes := a.serves(st, want, where+", to be read"); len(holes) != 1 || len(st.Report().Damage) != 1 {
			a.wrong("%s, to be read: %v, reported as %v", where, holes, st.Report().Damage)
		}
		st.Close(context.Background())
	}
	for life := range 3 {
		where := fmt.Sprintf("%s, life %d", where, life)
		st, err := open(im)
		if err != nil {
			a.wrong("%s: %v", where, err)
			return
		}
		report := st.Report().Damage
		if len(report) != 1 || report[0].File != "journal/00" || report[0].From != f.from || report[0].To != f.to || report[0].Records != int64(f.Count) ||
			report[0].Partition != storage.PartitionID(f.Partition) || report[0].First != f.Base || report[0].Next != f.Header.Next() {
			a.wrong("%s: reported as %v, want offsets %d to %d", where, report, f.Base, f.Header.Next())
		}
		if holes := a.serves(st, want, where); len(holes) != 1 || holes[0].First != f.Base || holes[0].Next != f.Header.Next() {
			a.wrong("%s: readers are told of %v", where, holes)
		}
		a.ordinals(st, want, where)
		a.appends(st, want, where)
		if life == 0 {
			im = im.Clone(memfs.SyncedOnly, 1) // a crash instead of a close
		}
		if err := st.Close(context.Background()); err != nil {
			a.wrong("%s: %v", where, err)
		}
	}
	copied, err := im.Contents(fmt.Sprintf("aside/frames/%016x", uint64(f.LSN)))
	if err != nil || !bytes.Equal(copied, damaged[f.from:f.to]) {
		a.wrong("%s: the copy aside has %d bytes, %v", where, len(copied), err)
	}
}

// TestCutJournal cuts a journal file short, or takes it away: whoever did that, it is no torn tail, and the open is refused.
func TestCutJournal(t *testing.T) {
	fs, _, _ := journalOnly(t, storage.SyncOS, 40)
	a, rng := newTally(), newRand(2, 11)
	for i := range sized(t, 40, 400, 2000) {
		im := fs.Clone(memfs.Everything, 1)
		size := rng.Int64N(512 << 10)
		where, err := fmt.Sprintf("cut at byte %d", size), im.Resize("journal/00", size)
		if i == 0 {
			where, err = "deleted", im.Delete("journal/00")
		}
		if err != nil {
			t.Fatal(err)
		}
		a.refused(t, im, "journal/00", 512<<10, where)
	}
	a.end(t, "cut journal", fmt.Sprintf("%d opens refused", a.get("refused")), "refused")
}

// lastGroup opens a store whose last group was damaged: only that may be missing.
func (a *tally) lastGroup(im *memfs.FS, h *storagetest.History, where string) {
	a.count("last group", 1)
	st, err := open(im)
	if err != nil {
		var damage *storage.DamageError
		if !errors.As(err, &damage) {
			a.wrong("%s, in the last group: %v", where, err)
		}
		return
	}
	defer st.Close(context.Background())
	v := h.Fork(h.Mark()).Check(st, storagetest.PowerLost, 1)
	if v.Lost > 1 || v.Reused+v.Torn+v.Ghosts+v.Disordered+v.PastData+v.OldCursors+v.Unreadable > 0 && v.Lost == 0 || v.Ghosts+v.Torn > 0 {
		a.wrong("%s, in the last group: %v", where, v.Problems)
	}
}

// journalOnly makes a store whose records are all in the first slot of the journal, and returns it as a kill left it, with the place where
// its last group begins.
func journalOnly(t *testing.T, p storage.SyncPolicy, entries int) (*memfs.FS, *storagetest.History, int64) {
	t.Helper()
	fs, h := memfs.New(), storagetest.NewHistory()
	o := tiny()
	o.Tuning.SlotBytes, o.Tuning.JournalBytes, o.Tuning.SpillBytes = 512<<10, 8<<20, 4<<20
	st, err := disk.OpenFS(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(t.Context(), s) }
	topic, err := h.CreateTopic(create, storage.TopicSpec{Name: "t", Partitions: 2, Strategy: storage.Strategy{Sync: p}})
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for i := range entries {
		b, err := fs.Contents("journal/00")
		if err != nil {
			t.Fatal(err)
		}
		last = int64(len(bytes.TrimRight(b, "\x00")))
		if p == storage.SyncAlways {
			last = (last + 4095) / 4096 * 4096
		} else {
			last = (last + 7) / 8 * 8
		}
		plan := storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: topic.Partition(i % 2), Sizes: []int{100 + i, 300}}}}
		if i == entries-1 {
			plan.Batches[0].Sizes = []int{1000, 1, 2500}
		}
		e := h.Begin(plan)
		d, err := st.Append(t.Context(), e.Entry)
		if err := errors.Join(err, h.End(e, d, err)); err != nil {
			t.Fatal(err)
		}
	}
	return fs.Clone(memfs.Everything, 1), h, last
}
