package disk_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// closed makes a store with segments, checkpoints and a journal that was written over, and closes it.
func closed(t *testing.T, seed uint64) (*memfs.FS, *storagetest.History) {
	t.Helper()
	fs, h := memfs.New(), storagetest.NewHistory()
	for life := range uint64(3) {
		st, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		if err := fill(st, h, seed<<8|life, 60); err != nil {
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
