package disk_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// noCheckpoint ruins all checkpoints: deleted, without a header, or with one bit turned over in what is behind it.
func noCheckpoint(t *testing.T, fs *memfs.FS, rng *rand.Rand) string {
	t.Helper()
	how := rng.IntN(3)
	for _, name := range []string{"checkpoint-a", "checkpoint-b", "checkpoint-c"} {
		b, err := fs.Contents(name)
		if err != nil || len(b) == 0 {
			continue
		}
		switch {
		case how == 0:
			err = fs.Delete(name)
		case how == 1 || b[0] == 0:
			err = fs.ZeroRange(name, 0, 4096)
		default:
			le := binary.LittleEndian
			n := int64(le.Uint32(b[96:]))
			at, hit := 4096+8*n, rng.Int64N(n)
			for i := range hit {
				at += int64(le.Uint32(b[4096+8*i:]))
			}
			err = fs.FlipBit(name, at+rng.Int64N(int64(le.Uint32(b[4096+8*hit:]))), 2)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return []string{"checkpoints deleted", "checkpoints without header", "checkpoints flipped"}[how]
}

// TestRebuild ruins all checkpoints of stores, and some segments too: the open is refused, and so is a salvage; what is put together in a new directory has every record that is not
// damaged, at its offset, and reports the others; the old directory is as it was.
func TestRebuild(t *testing.T) {
	a, rng := newTally(), newRand(1, 34)
	for i := range sized(t, 12, 80, 500) {
		fs, want := toRebuild(t, i)
		im := fs.Clone(memfs.Everything, 1)
		where := fmt.Sprintf("store %d, %s", i, noCheckpoint(t, im, rng))
		harmed := i%2 == 1
		if harmed {
			done, err := spoil(im, rng)
			if err != nil {
				t.Fatal(err)
			}
			where += ", " + done
		}
		a.rebuild(t, im, want, harmed, where)
	}
	line := fmt.Sprintf("%d stores: %d files copied, %d gathered, %d holes, %d topics without a name, %d records of the journal, %d lost at an end",
		a.get("stores"), a.get("copied"), a.get("gathered"), a.get("holes"), a.get("unnamed"), a.get("journal"), a.get("at ends"))
	a.end(t, "rebuild", line, "stores", "copied", "gathered", "holes", "unnamed", "journal", "named")
}

// toRebuild makes a store that was closed, that was killed, or whose segments were rewritten.
func toRebuild(t *testing.T, i int) (*memfs.FS, map[storage.PartitionID][]storage.Record) {
	t.Helper()
	var fs *memfs.FS
	switch i % 3 {
	case 0:
		fs, _ = closed(t, 200+uint64(i%4))
	case 1:
		fs, _, _ = journalOnly(t, storage.SyncAlways, 60)
	case 2:
		fs = newRewritten(t, storage.Strategy{Level: storage.Compressed, Compression: storage.CompressionPolicy{BlockBytes: 8 << 10}}).fs
	}
	return fs, right(everything(fs.Clone(memfs.Everything, 1)))
}

func (a *tally) rebuild(t *testing.T, im *memfs.FS, want map[storage.PartitionID][]storage.Record, harmed bool, where string) {
	var damage *storage.DamageError
	if _, err := open(im.Clone(memfs.Everything, 1)); !errors.As(err, &damage) {
		a.wrong("%s: open: %v", where, err)
	}
	if _, err := salvage(im.Clone(memfs.Everything, 1)); !errors.As(err, &damage) {
		a.wrong("%s: salvage: %v", where, err)
	}
	before, to := contents(t, im), memfs.New()
	r, err := disk.RebuildFS(t.Context(), im, to, disk.RebuildOptions{Store: tiny()})
	if err != nil {
		a.wrong("%s: %v", where, err)
		return
	}
	for name, b := range contents(t, im) {
		if name != "LOCK" && string(b) != string(before[name]) {
			a.wrong("%s: %s was changed", where, name)
		}
	}
	a.count("stores", 1)
	a.count("copied", r.Copied)
	a.count("gathered", r.Gathered)
	a.count("unnamed", len(r.Unnamed))
	a.count("journal", int(r.Salvage.Journal.Records))
	for life := range 2 {
		st, err := open(to)
		if err != nil {
			a.wrong("%s: opened: %v", where, err)
			return
		}
		if life == 0 {
			want = withoutUnknown(st, want)
		}
		if life == 0 && harmed {
			want = a.withoutEnds(st, want, where)
		}
		holes := a.serves(st, want, fmt.Sprintf("%s, life %d", where, life))
		if len(holes) > 0 && !harmed {
			a.wrong("%s: nothing was damaged, and there are %v", where, holes)
		}
		if life == 0 {
			a.count("holes", len(holes))
			a.count("named", len(st.Topics())-len(r.Unnamed))
			a.appends(st, want, where)
		}
		if found := verify(t, st).Damage; len(found) > len(holes) {
			a.wrong("%s: Verify names %v", where, found)
		}
		if err := st.Close(context.Background()); err != nil {
			a.wrong("%s: close: %v", where, err)
		}
	}
}

// withoutUnknown leaves out partitions without records whose topic is not there: where no checkpoint is left, and the journal does not go back to when the topic was made, nothing
// speaks of it.
func withoutUnknown(st *disk.Store, want map[storage.PartitionID][]storage.Record) map[storage.PartitionID][]storage.Record {
	left := maps.Clone(want)
	maps.DeleteFunc(left, func(p storage.PartitionID, all []storage.Record) bool {
		_, err := st.Bounds(p)
		return len(all) == 0 && errors.Is(err, storage.ErrNotFound)
	})
	return left
}

// withoutEnds leaves out what nobody can know of: records at the beginning and at the end of the partition of which a file was spoiled, if nothing else speaks of them.
func (a *tally) withoutEnds(st *disk.Store, want map[storage.PartitionID][]storage.Record, where string) map[storage.PartitionID][]storage.Record {
	left := map[storage.PartitionID][]storage.Record{}
	for p, all := range want {
		left[p] = all
		if !strings.Contains(where, fmt.Sprintf("seg/%08x/", uint32(p))) {
			continue
		}
		got, holes, err := around(st, p)
		if errors.Is(err, storage.ErrNotFound) { // its only file is gone
			a.count("at ends", len(all))
			delete(left, p)
			continue
		}
		if err != nil {
			a.wrong("%s: partition %d: %v", where, p, err)
		}
		first, next := int64(math.MaxInt64), int64(0)
		for i := range got {
			first, next = min(first, got[i].Offset), got[i].Offset+1
		}
		for _, h := range holes {
			first, next = min(first, h.First), max(next, h.Next)
		}
		left[p] = slices.DeleteFunc(slices.Clone(all), func(r storage.Record) bool { return r.Offset < first || r.Offset >= next })
		a.count("at ends", len(all)-len(left[p]))
	}
	return left
}
