package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestDamageInJournal flips bits below the synced mark of a journal that must be replayed: the open is refused with the place, and changes
// nothing. In the last group a flip looks like a torn write, and costs that group and no more.
func TestDamageInJournal(t *testing.T) {
	fs, h, lastGroup := journalOnly(t, storage.SyncAlways, 100)
	before := contents(t, fs)
	const name = "journal/00"
	end := int64(len(bytes.TrimRight(before[name], "\x00")))
	a, rng := newTally(), newRand(1, 10)
	for range sized(t, 120, 1000, 5000) {
		at, bit := rng.Int64N(end), uint(rng.IntN(8))
		where := fmt.Sprintf("bit %d of byte %d", bit, at)
		im := fs.Clone(memfs.SyncedOnly, 1)
		if err := im.FlipBit(name, at, bit); err != nil {
			t.Fatal(err)
		}
		if at >= lastGroup {
			a.lastGroup(im, h, where)
			continue
		}
		damaged := contents(t, im)
		st, err := open(im)
		var damage *storage.DamageError
		switch {
		case err == nil:
			if v := h.Fork(h.Mark()).Check(st, storagetest.Died, 1); v.Bad() {
				a.wrong("%s: opened, and %v", where, v.Problems)
			}
			st.Close(context.Background())
			a.count("in padding", 1)
		case !errors.As(err, &damage):
			a.wrong("%s: %v, want *DamageError", where, err)
		case damage.File != name && at >= 4096 || damage.From > at && at >= 4096:
			a.wrong("%s of %s: reported in %s from byte %d", where, name, damage.File, damage.From)
		default:
			a.count("refused", 1)
		}
		for file, was := range damaged {
			if is, err := im.Contents(file); file != "LOCK" && (err != nil || !bytes.Equal(is, was)) && damage != nil {
				a.wrong("%s: the refused open changed %s, %v", where, file, err)
			}
		}
	}
	line := fmt.Sprintf("%d flips refused, %d in padding, %d in the last group", a.get("refused"), a.get("in padding"), a.get("last group"))
	a.end(t, "damage in the journal", line, "refused", "last group")
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

// contents returns all files.
func contents(t *testing.T, fs *memfs.FS) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, name := range fs.Files() {
		b, err := fs.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	return all
}

// TestTornTail cuts the last, unsynced group of a journal at every byte, and puts nothing, zeros or garbage behind it: the group is cut and
// counted, everything before it is there.
func TestTornTail(t *testing.T) {
	fs, h, start := journalOnly(t, storage.SyncOS, 40)
	const name = "journal/00"
	whole, err := fs.Contents(name)
	if err != nil {
		t.Fatal(err)
	}
	end := int64(len(bytes.TrimRight(whole, "\x00")))
	a, rng := newTally(), newRand(2, 10)
	step := int64(sized(t, 61, 7, 1))
	for at := start; at < end; at += step {
		for _, how := range []string{"zeros", "garbage", "end of file", "one bit"} {
			im := fs.Clone(memfs.Everything, 1)
			if err := tear(im, name, how, at, end, rng); err != nil {
				t.Fatal(err)
			}
			a.count("cuts", 1)
			where := fmt.Sprintf("%s from byte %d of %d to %d on", how, at, start, end)
			a.check(im, h.Fork(h.Mark()), storagetest.PowerLost, uint64(at), where, func(st *disk.Store) {
				r := st.Report()
				if whole := int64(len(bytes.TrimRight(whole[:at], "\x00"))); r.Clean || r.CutBytes == 0 && whole >= start+64 && how != "one bit" {
					a.wrong("%s: %d bytes cut, clean %v", where, r.CutBytes, r.Clean)
				}
				if r.CutBytes > 0 {
					a.count("counted", 1)
				}
			})
		}
	}
	a.end(t, "torn tail", fmt.Sprintf("%d tails of %d lengths, %d of them counted", a.get("cuts"), (end-start)/step, a.get("counted")), "cuts", "counted")
}

func tear(fs *memfs.FS, name, how string, at, end int64, rng *rand.Rand) error {
	switch how {
	case "zeros":
		return fs.ZeroRange(name, at, end-at)
	case "end of file":
		return fs.Resize(name, at)
	case "one bit":
		return fs.FlipBit(name, at, uint(rng.IntN(8)))
	}
	b, err := fs.Contents(name)
	if err != nil {
		return err
	}
	for i := at; i < end; i++ {
		b[i] = byte(rng.Uint32())
	}
	return fs.SetContents(name, b)
}

// closed makes a store with segments, checkpoints and a journal that was written over, and closes it.
func closed(t *testing.T, seed uint64) (*memfs.FS, *storagetest.History) {
	t.Helper()
	fs, h := memfs.New(), storagetest.NewHistory()
	for life := range uint64(3) {
		st, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		if err := run(st, h, seed<<8|life, 60); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return fs, h
}

// TestDamageInSegment flips bits of segments at rest: the store opens, what is damaged is reported with its place when it is read, what is not is
// served, in the same partition and in others, and nothing is ever served wrong.
func TestDamageInSegment(t *testing.T) {
	fs, _ := closed(t, 1)
	want, err := everything(fs)
	if err != nil {
		t.Fatal(err)
	}
	var segments []string
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "seg/") {
			segments = append(segments, name)
		}
	}
	a, rng := newTally(), newRand(3, 10)
	for range sized(t, 200, 1000, 5000) {
		im := fs.Clone(memfs.SyncedOnly, 1)
		name := segments[rng.IntN(len(segments))]
		b, err := im.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		at := rng.Int64N(int64(len(b)))
		if err := im.FlipBit(name, at, uint(rng.IntN(8))); err != nil {
			t.Fatal(err)
		}
		a.segment(im, want, name, at)
	}
	line := fmt.Sprintf("%d flips in %d segments: %d reported, %d without effect, %d records behind a hole served, %d lost in one",
		a.get("reported")+a.get("harmless"), len(segments), a.get("reported"), a.get("harmless"), a.get("behind"), a.get("in holes"))
	a.end(t, "damage in segments", line, "reported", "behind", "in holes")
}

func (a *tally) segment(im *memfs.FS, want map[storage.PartitionID][]storage.Record, name string, at int64) {
	where := fmt.Sprintf("%s, byte %d", name, at)
	st, err := open(im)
	if err != nil {
		a.wrong("%s: open: %v", where, err)
		return
	}
	defer st.Close(context.Background())
	reported := false
	for p, all := range want {
		got, holes, err := around(st, p)
		if err != nil {
			a.wrong("%s: partition %d: %v", where, p, err)
			continue
		}
		for _, hole := range holes {
			reported = true
			if hole.File != name || hole.Partition != p || hole.From > at || hole.To <= at && hole.To != 0 {
				a.wrong("%s: partition %d: reported as %v", where, p, hole)
			}
		}
		lost := slices.DeleteFunc(slices.Clone(all), func(r storage.Record) bool {
			return slices.ContainsFunc(got, func(g storage.Record) bool { return same(&g, &r) })
		})
		if len(got)+len(lost) != len(all) {
			a.wrong("%s: partition %d: %d records, %d of them right, of %d", where, p, len(got), len(all)-len(lost), len(all))
		}
		for i := range lost {
			if !slices.ContainsFunc(holes, func(d *storage.DamageError) bool { return lost[i].Offset >= d.First && lost[i].Offset < d.Next }) {
				a.wrong("%s: partition %d: offset %d is missing, and not reported", where, p, lost[i].Offset)
			}
		}
		a.count("in holes", len(lost))
		if len(holes) > 0 && len(got) > 0 && got[len(got)-1].Offset >= holes[0].Next {
			a.count("behind", 1)
		}
	}
	if reported {
		a.count("reported", 1)
	} else {
		a.count("harmless", 1)
	}
}

func same(a, b *storage.Record) bool {
	return a.Offset == b.Offset && a.Appended.Equal(b.Appended) && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && bytes.Equal(a.Headers, b.Headers)
}

// around reads all of p, around the holes that are reported.
func around(st *disk.Store, p storage.PartitionID) (all []storage.Record, holes []*storage.DamageError, err error) {
	for from := int64(0); ; {
		had, at := len(all), from
		if all, from, err = st.Read(all, p, from, 4000); err == nil {
			if len(all) == had {
				return all, holes, nil
			}
			continue
		}
		var hole *storage.DamageError
		if !errors.As(err, &hole) || hole.Next <= at {
			return all, holes, fmt.Errorf("at offset %d: %w", at, err)
		}
		holes = append(holes, hole)
		from = hole.Next
	}
}

// everything reads all partitions of a store.
func everything(fs *memfs.FS) (map[storage.PartitionID][]storage.Record, error) {
	st, err := open(fs)
	if err != nil {
		return nil, err
	}
	defer st.Close(context.Background())
	all := map[storage.PartitionID][]storage.Record{}
	for _, t := range st.Topics() {
		for i := range t.Partitions {
			if all[t.Partition(i)], err = storagetest.ReadAll(st, t.Partition(i), newRand(1, 1)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// TestDamageAnywhere does to a directory what people, disks and backups do: files cut, extended, zeroed, swapped, doubled, deleted, replaced by
// older ones. The store refuses to open with a typed error, or what it serves is right and what it does not serve is reported.
func TestDamageAnywhere(t *testing.T) {
	fs, h := closed(t, 2)
	before := fs.Clone(memfs.SyncedOnly, 1)
	st, err := open(fs)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(st, h, 77, 60); err != nil {
		t.Fatal(err)
	}
	unclean := fs.Clone(memfs.Everything, 1)
	known := h.Fork(h.Mark())
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, rng := newTally(), newRand(4, 10)
	for i := range sized(t, 150, 1000, 5000) {
		im, what := unclean.Clone(memfs.Everything, 1), "killed"
		if i%2 == 0 {
			im, what = fs.Clone(memfs.SyncedOnly, 1), "closed"
		}
		done, err := vandalise(im, before, rng)
		if err != nil {
			t.Fatal(err)
		}
		where := what + ", " + done
		a.count("damaged", 1)
		st, err := open(im)
		if err != nil {
			var damage *storage.DamageError
			if !errors.As(err, &damage) && !errors.Is(err, storage.ErrFormat) {
				a.wrong("%s: %v", where, err)
			}
			a.count("refused", 1)
			continue
		}
		v := known.Fork(known.Mark()).Check(st, storagetest.PowerLost, 1)
		st.Close(context.Background())
		switch {
		case strings.Contains(done, "journal/") && (what == "killed" || strings.Contains(done, "swapped")) && v.Ghosts+v.Torn == 0:
			a.count("tails", 1) // what hits the end of a journal with nothing behind it, and no checkpoint beyond it, looks like a torn write
		case v.Bad() && v.Unreadable == 0:
			a.wrong("%s: %v", where, v.Problems)
		case v.Unreadable > 0:
			a.count("reported", 1)
		default:
			a.count("harmless", 1)
		}
	}
	line := fmt.Sprintf("%d damaged directories: %d refused, %d opened and the damage reported, %d without effect, %d with the end of the journal lost or not",
		a.get("damaged"), a.get("refused"), a.get("reported"), a.get("harmless"), a.get("tails"))
	a.end(t, "damage anywhere", line, "reported", "harmless")
}

// vandalise damages one file, and says how.
func vandalise(fs, older *memfs.FS, rng *rand.Rand) (string, error) {
	names := slices.DeleteFunc(fs.Files(), func(name string) bool { return name == "LOCK" })
	name, other := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
	b, err := fs.Contents(name)
	if err != nil {
		return "", err
	}
	at := rng.Int64N(int64(len(b)) + 1)
	switch rng.IntN(7) {
	case 0:
		return fmt.Sprintf("%s cut at byte %d", name, at), fs.Resize(name, at)
	case 1:
		return fmt.Sprint(name, " extended"), fs.Resize(name, int64(len(b))+1+rng.Int64N(1<<14))
	case 2:
		n := rng.Int64N(int64(len(b)) - at + 1)
		return fmt.Sprintf("%d zeros in %s at byte %d", n, name, at), fs.ZeroRange(name, at, n)
	case 3:
		o, err := fs.Contents(other)
		return fmt.Sprintf("%s and %s swapped", name, other), errors.Join(err, fs.SetContents(name, o), fs.SetContents(other, b))
	case 4:
		return fmt.Sprintf("%s copied over %s", name, other), fs.SetContents(other, b)
	case 5:
		return fmt.Sprint(name, " deleted"), fs.Delete(name)
	}
	old, err := older.Contents(name)
	if err != nil {
		return fmt.Sprint(name, " emptied, there was no older one"), fs.Resize(name, 0)
	}
	return fmt.Sprintf("%s as it was before", name), fs.SetContents(name, old)
}
