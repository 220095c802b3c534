package disk_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// rewrittenStore is a closed store whose segments were rewritten, and copies of it that a Mend may take what is lost from.
type rewrittenStore struct {
	fs     *memfs.FS
	want   map[storage.PartitionID][]storage.Record
	bytes  int64 // of its segments
	copies map[string]vfs.FS
}

// newRewritten makes one. One copy is from before it was rewritten, the others from behind.
func newRewritten(t *testing.T, s storage.Strategy) *rewrittenStore {
	t.Helper()
	fs, second, snapshot := memfs.New(), memfs.New(), memfs.New()
	c := newClerk(t, fs, disk.FollowFS(quiet(), second), s)
	if s.Cleanup.LatestByKey {
		c.keyed(1200, 300, "k")
		c.append(storage.Record{Key: []byte("k7")}) // a tombstone
		c.keyed(400, 200, "other")
	} else {
		c.lines(6000)
	}
	c.reopen()
	before := fs.Clone(memfs.SyncedOnly, 1)
	c.clean()
	if _, err := c.st.SnapshotFS(t.Context(), snapshot, disk.SnapshotOptions{}); err != nil {
		t.Fatal(err)
	}
	x := &rewrittenStore{fs: fs, bytes: c.st.Stats().SegmentBytes}
	if err := c.st.WaitFollowed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.copies = map[string]vfs.FS{"snapshot": snapshot, "before": before, "follower": second}
	var err error
	if x.want, err = everything(fs.Clone(memfs.SyncedOnly, 1)); err != nil {
		t.Fatal(err)
	}
	return x
}

// spoil damages one segment file, in one of all ways.
func spoil(fs *memfs.FS, rng *rand.Rand) (string, error) {
	var names []string
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "seg/") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing is left", nil
	}
	name := names[rng.IntN(len(names))]
	b, err := fs.Contents(name)
	if err != nil || len(b) == 0 {
		return name, err
	}
	at := rng.Int64N(int64(len(b)))
	switch rng.IntN(5) {
	case 0:
		return name + " deleted", fs.Delete(name)
	case 1:
		return fmt.Sprint(name, " cut at ", at), fs.Resize(name, at)
	case 2:
		return fmt.Sprint(name, " zeroed at ", at), fs.ZeroRange(name, at, 1+rng.Int64N(min(20_000, int64(len(b))-at)))
	case 3:
		at = rng.Int64N(min(4096, int64(len(b))))
	}
	return fmt.Sprint(name, " flipped at ", at), fs.FlipBit(name, at, uint(rng.IntN(8)))
}

// TestMendRewritten damages segments that were compressed or compacted, and mends them from copies that have the same files, or the records in other ones: everything is there again,
// compressed as it was, and nothing that had been removed comes back.
func TestMendRewritten(t *testing.T) {
	a, rng := newTally(), newRand(1, 33)
	both := latestByKey(storage.Compressed)
	both.Compression.BlockBytes = 8 << 10
	strategies := map[string]storage.Strategy{
		"zstd":                     {Level: storage.Compressed, Compression: storage.CompressionPolicy{BlockBytes: 8 << 10}},
		"gzip":                     {Level: storage.Compressed, Compression: storage.CompressionPolicy{Codec: compress.IDGzip, BlockBytes: 16 << 10}},
		"compacted":                latestByKey(storage.DiskOnly),
		"compacted and compressed": both,
	}
	for _, what := range slices.Sorted(maps.Keys(strategies)) {
		s := strategies[what]
		x := newRewritten(t, s)
		for _, from := range slices.Sorted(maps.Keys(x.copies)) {
			for range sized(t, 4, 25, 200) {
				a.mendRewritten(t, x, x.copies[from], rng, s.Cleanup.LatestByKey, from == "snapshot", what+" from "+from)
			}
		}
	}
	line := fmt.Sprintf("%d segments damaged, %d places mended, %d left, since the copy has what was removed", a.get("damaged"), a.get("mended"), a.get("left"))
	a.end(t, "mend of rewritten segments", line, "damaged", "mended", "left")
}

func (a *tally) mendRewritten(t *testing.T, x *rewrittenStore, backup vfs.FS, rng *rand.Rand, compacted, same bool, where string) {
	im := x.fs.Clone(memfs.SyncedOnly, 1)
	for range 1 + rng.IntN(3) {
		done, err := spoil(im, rng)
		if err != nil {
			t.Fatal(err)
		}
		where += ", " + done
		a.count("damaged", 1)
	}
	st, err := disk.OpenFS(im, quiet())
	if err != nil {
		t.Fatal(where, err)
	}
	a.serves(st, x.want, where)
	r, err := st.MendFS(t.Context(), backup, disk.MendOptions{})
	if err != nil {
		a.wrong("%s: %v", where, err)
	}
	a.count("mended", len(r.Mended))
	a.count("left", len(r.Left))
	if len(r.Left) > 0 && (same || !compacted) {
		a.wrong("%s: not mended: %v", where, r.Left)
	}
	holes := a.serves(st, x.want, where+", mended")
	if found := verify(t, st).Damage; len(found) != len(r.Left) || len(holes) > len(r.Left) {
		a.wrong("%s: mended %v, left %v, there are still %v, and Verify names %v", where, r.Mended, r.Left, holes, found)
	}
	if now := st.Stats().SegmentBytes; now > x.bytes*21/20 {
		a.wrong("%s: %d bytes of segments, and there were %d", where, now, x.bytes)
	}
	if err := st.Close(t.Context()); err != nil {
		a.wrong("%s: close: %v", where, err)
	}
	if st, err = disk.OpenFS(im, quiet()); err != nil {
		t.Fatal(where, err)
	}
	defer st.Close(context.Background())
	a.serves(st, x.want, where+", opened again")
	if err := st.Clean(t.Context()); err != nil && len(r.Left) == 0 {
		a.wrong("%s: clean: %v", where, err)
	}
	if compacted {
		a.keysStay(st, x.want, where+", cleaned")
		return
	}
	a.serves(st, x.want, where+", cleaned")
}

// keysStay checks that of each key the newest record is there, or reported.
func (a *tally) keysStay(st *disk.Store, want map[storage.PartitionID][]storage.Record, where string) {
	for p, all := range want {
		got, holes, err := around(st, p)
		if err != nil {
			a.wrong("%s: partition %d: %v", where, p, err)
		}
		there, newest := map[int64]bool{}, map[string]int64{}
		for i := range got {
			there[got[i].Offset] = true
		}
		for i := range all {
			newest[string(all[i].Key)] = all[i].Offset
		}
		for key, offset := range newest {
			if !there[offset] && !inHole(holes, offset) {
				a.wrong("%s: partition %d: the newest record of %q is gone", where, p, key)
			}
		}
	}
}

// TestFaultMendFromBeforeCompaction mends a compacted segment from a copy that has the records as they were before: it stays as it is, and the report says why.
func TestFaultMendFromBeforeCompaction(t *testing.T) {
	x := newRewritten(t, latestByKey(storage.DiskOnly))
	for _, name := range x.fs.Files() {
		if strings.HasPrefix(name, "seg/") {
			if err := x.fs.FlipBit(name, 4096+70, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	st, err := disk.OpenFS(x.fs, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	r, err := st.MendFS(t.Context(), x.copies["before"], disk.MendOptions{})
	if err != nil || len(r.Left) == 0 || !strings.Contains(fmt.Sprint(r.Left), "before the segment was compacted") {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestMendFromAnotherLife: a copy that was restored elsewhere and written to has other records from there on. Those do not fill a hole, though they have the same offsets; those before do.
func TestMendFromAnotherLife(t *testing.T) {
	fs, snapshot, other := memfs.New(), memfs.New(), memfs.New()
	c := newClerk(t, fs, quiet(), storage.Strategy{Level: storage.DiskOnly})
	c.append(storage.Record{Value: []byte("in both")})
	if _, err := c.st.SnapshotFS(t.Context(), snapshot, disk.SnapshotOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.RestoreFS(t.Context(), snapshot, other, disk.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	d := &clerk{t: t, fs: other, o: quiet(), p: c.p}
	d.open()
	d.append(storage.Record{Value: []byte("there alone")})
	if err := d.st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.append(storage.Record{Value: []byte("here alone")})
	c.append(storage.Record{Value: []byte("behind")})
	for offset, mended := range map[int64]int{1: 0, 0: 1} {
		im := fs.Clone(memfs.Everything, 1)
		if offset == 1 {
			flipBatch(t, im, 1)
		} else {
			for _, name := range im.Files() {
				if strings.HasPrefix(name, "seg/") {
					if err := im.FlipBit(name, 4096+70, 1); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		st, err := disk.OpenFS(im, quiet())
		if err != nil {
			t.Fatal(err)
		}
		r, err := st.MendFS(t.Context(), other, disk.MendOptions{})
		if err != nil || len(r.Mended) != mended || len(r.Left) != 1-mended {
			t.Errorf("offset %d: got %+v, %v, want %d mended", offset, r, err, mended)
		}
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// flipBatch turns over a bit in the body of the batch at an offset, in the journal.
func flipBatch(t *testing.T, fs *memfs.FS, offset int64) {
	t.Helper()
	for _, name := range fs.Files() {
		if !strings.HasPrefix(name, "journal/") {
			continue
		}
		b, err := fs.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range framesOf(t, b) {
			if f.Count > 0 && f.Base == offset {
				if err := fs.FlipBit(name, f.from+70, 1); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
	t.Fatalf("no batch at offset %d in the journal", offset)
}
