package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestDamageAnywhere does to a directory what people, disks and backups do: files cut, extended, zeroed, swapped, doubled, deleted, replaced by
// older ones. The store refuses to open with a typed error, or what it serves is right and what it does not serve is reported.
func TestDamageAnywhere(t *testing.T) {
	fs, h := closed(t, 2)
	before := fs.Clone(memfs.SyncedOnly, 1)
	st, err := open(fs)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(st, h, 77, 60); err != nil {
		t.Fatal(err)
	}
	unclean := fs.Clone(memfs.Everything, 1)
	known := h.Fork(h.Mark())
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, rng := newTally(), newRand(4, 10)
	for i := range sized(t, 150, 2000, 20000) {
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
