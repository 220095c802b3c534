package disk_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestMend damages segments of a running store, some of them cut, some deleted, some with a bit turned over, and mends it from a copy that was made before: everything
// is there again, in every partition, and after a restart; the damaged files are aside.
func TestMend(t *testing.T) {
	a, rng := newTally(), newRand(1, 30)
	for i := range sized(t, 12, 60, 300) {
		fs, h := closed(t, 200+uint64(i%4))
		backup := fs.Clone(memfs.SyncedOnly, 1)
		st, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // the copy is older than the store
			if err := fill(st, h, 300+uint64(i), 30); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want, err := everything(fs.Clone(memfs.SyncedOnly, 1))
		if err != nil {
			t.Fatal(err)
		}
		a.mend(t, fs, backup, want, rng, i%2 == 1, fmt.Sprint("store ", i))
	}
	line := fmt.Sprintf("%d segments damaged, %d reported, %d mended, %d left", a.get("damaged"), a.get("reported"), a.get("mended"), a.get("left"))
	a.end(t, "mend", line, "damaged", "reported", "mended", "skipped")
}

// harm damages a segment that the copy has, too, and returns its name.
func harm(fs, backup *memfs.FS, rng *rand.Rand) (string, error) {
	var names []string
	for _, name := range fs.Files() {
		was, err := backup.Contents(name)
		is, _ := fs.Contents(name)
		if strings.HasPrefix(name, "seg/") && err == nil && len(was) > 4096 && len(is) >= len(was) {
			names = append(names, name)
		}
	}
	name := names[rng.IntN(len(names))]
	b, err := backup.Contents(name)
	if err != nil {
		return "", err
	}
	at := rng.Int64N(int64(len(b)))
	switch rng.IntN(4) {
	case 0:
		return name, fs.Delete(name)
	case 1:
		return name, fs.Resize(name, at)
	case 2:
		return name, fs.ZeroRange(name, at, 1+rng.Int64N(int64(len(b))-at))
	}
	return name, fs.FlipBit(name, at, uint(rng.IntN(8)))
}

func (a *tally) mend(t *testing.T, fs, backup *memfs.FS, want map[storage.PartitionID][]storage.Record, rng *rand.Rand, complete bool, where string) {
	for range 3 {
		name, err := harm(fs, backup, rng)
		if err != nil {
			t.Fatal(err)
		}
		where += ", " + name
		a.count("damaged", 1)
	}
	st, err := open(fs)
	if err != nil {
		t.Fatal(where, err)
	}
	if holes := a.serves(st, want, where); len(holes) > 0 {
		a.count("reported", len(holes))
		if complete && rng.IntN(2) == 0 { // give some up: that comes back, too
			d := holes[rng.IntN(len(holes))]
			if err := st.Skip(t.Context(), d.Partition, d.First, d.Next); err != nil {
				a.wrong("%s: skip: %v", where, err)
			}
			a.count("skipped", 1)
		}
	}
	r, err := st.MendFS(t.Context(), backup, disk.MendOptions{})
	if err != nil {
		a.wrong("%s: mend: %v", where, err)
	}
	a.count("mended", len(r.Mended))
	a.count("left", len(r.Left))
	if complete && len(r.Left) > 0 {
		a.wrong("%s: not mended: %v", where, r.Left)
	}
	for _, copied := range r.Aside {
		if _, err := fs.Contents(copied); err != nil {
			a.wrong("%s: %v", where, err)
		}
	}
	if holes := a.serves(st, want, where+", mended"); len(holes) > len(r.Left) {
		a.wrong("%s: mended %v, left %v, and there are still %v", where, r.Mended, r.Left, holes)
	}
	a.ordinals(st, want, where)
	if len(r.Left) == 0 && len(st.Damaged()) > 0 {
		a.wrong("%s: holes are left: %v", where, st.Damaged())
	}
	crashed, before := fs.Clone(memfs.SyncedOnly, 1), maps.Clone(want)
	a.appends(st, want, where)
	if err := st.Close(t.Context()); err != nil {
		a.wrong("%s: close: %v", where, err)
	}
	for what, im := range map[string]*memfs.FS{"closed": fs, "crashed": crashed} {
		st, err := open(im)
		if err != nil {
			a.wrong("%s: %s and opened again: %v", where, what, err)
			continue
		}
		expected := want
		if im == crashed {
			expected = before
		}
		if holes := a.serves(st, expected, where+", "+what); len(holes) > len(r.Left) {
			a.wrong("%s: %s: %v", where, what, holes)
		}
		st.Close(context.Background())
	}
}

// named checks that Verify names the records that are refused, and no others.
func (a *tally) named(t *testing.T, st *disk.Store, want map[storage.PartitionID][]storage.Record, holes []*storage.DamageError, where string) {
	damage := slices.DeleteFunc(verify(t, st).Damage, func(d *storage.DamageError) bool { return d.First == d.Next })
	for p, all := range want {
		for _, r := range all {
			if refused, named := inHole(ofPartition(holes, p), r.Offset), inHole(ofPartition(damage, p), r.Offset); refused != named {
				a.wrong("%s: partition %d, offset %d: refused %v (%v), named %v (%v)", where, p, r.Offset, refused, holes, named, damage)
				return
			}
		}
	}
}

// TestSkip gives up what is damaged, which is what Verify names: readers go on behind it, counts stay, and so it is after a crash and a close. What is sound is not given up.
func TestSkip(t *testing.T) {
	a, rng := newTally(), newRand(1, 31)
	for i := range sized(t, 15, 100, 500) {
		fs, _ := closed(t, 200+uint64(i%4))
		want, err := everything(fs.Clone(memfs.SyncedOnly, 1))
		if err != nil {
			t.Fatal(err)
		}
		name, err := harm(fs, fs.Clone(memfs.SyncedOnly, 1), rng)
		if err != nil {
			t.Fatal(err)
		}
		a.skip(t, fs, want, fmt.Sprintf("store %d, %s", i, name))
	}
	a.end(t, "skip", fmt.Sprintf("%d holes skipped", a.get("skipped")), "skipped")
}

func (a *tally) skip(t *testing.T, fs *memfs.FS, want map[storage.PartitionID][]storage.Record, where string) {
	st, err := open(fs)
	if err != nil {
		t.Fatal(where, err)
	}
	holes := a.serves(st, want, where)
	a.named(t, st, want, holes, where)
	for _, d := range holes {
		a.count("skipped", 1)
		if err := st.Skip(t.Context(), d.Partition, d.First, d.Next+1); !errors.Is(err, storage.ErrNotDamaged) {
			a.wrong("%s: skipping more than is damaged: %v", where, err)
		}
		if err := st.Skip(t.Context(), d.Partition, d.First, d.Next); err != nil {
			a.wrong("%s: skip %v: %v", where, d, err)
		}
		if err := st.Skip(t.Context(), d.Partition, d.First, d.Next); !errors.Is(err, storage.ErrNotDamaged) {
			a.wrong("%s: skipping again: %v", where, err)
		}
	}
	left := map[storage.PartitionID][]storage.Record{}
	for p, all := range want {
		for _, r := range all {
			if !inHole(ofPartition(holes, p), r.Offset) {
				left[p] = append(left[p], r)
			}
		}
	}
	crashed := fs.Clone(memfs.SyncedOnly, 1)
	for life := range 3 {
		where := fmt.Sprintf("%s, life %d", where, life)
		if told := a.serves(st, left, where); len(told) > 0 {
			a.wrong("%s: readers are still told of %v", where, told)
		}
		a.ordinals(st, want, where)
		if report := st.Damaged(); len(report) != len(holes) || len(holes) > 0 && !report[0].Skipped {
			a.wrong("%s: reported as %v, want %v", where, report, holes)
		}
		if life > 0 && !reflect.DeepEqual(st.Report().Damage, st.Damaged()) {
			a.wrong("%s: the open reported %v", where, st.Report().Damage)
		}
		if err := st.Close(t.Context()); err != nil {
			a.wrong("%s: close: %v", where, err)
		}
		if life == 0 {
			fs = crashed
		}
		if st, err = open(fs); err != nil {
			t.Fatal(where, err)
		}
	}
	st.Close(context.Background())
}

// TestMendOfPad damages what no read meets, the pad at the end of a segment: it is mended as Verify names it, so that look-ups do not meet it once there are
// records behind it.
func TestMendOfPad(t *testing.T) {
	fs := memfs.New()
	st := right(open(fs))
	topic := right(st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1}))
	write := func() {
		t.Helper()
		if _, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: []byte("v")}}}}}); err != nil {
			t.Fatal(err)
		}
	}
	reopen := func() {
		t.Helper()
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		st = right(open(fs))
	}
	write()
	reopen()
	defer func() { st.Close(context.Background()) }()
	whole := fs.Clone(memfs.Everything, 1)
	i := slices.IndexFunc(fs.Files(), func(name string) bool { return strings.HasPrefix(name, "seg/") })
	if err := fs.FlipBit(fs.Files()[i], 2*4096-100, 1); err != nil {
		t.Fatal(err)
	}
	if got := verify(t, st).Damage; len(got) != 1 {
		t.Fatalf("named: %v", got)
	}
	r, err := st.MendFS(t.Context(), whole, disk.MendOptions{})
	if err != nil || len(r.Mended) != 1 || len(r.Left) > 0 {
		t.Fatalf("mended: %+v, %v", r, err)
	}
	write()
	reopen()
	if got := verify(t, st).Damage; len(got) > 0 {
		t.Errorf("mended: %v", got)
	}
	if n, err := st.Ordinal(topic.First, 1); err != nil || n != 1 {
		t.Errorf("ordinal: %d, %v", n, err)
	}
}
