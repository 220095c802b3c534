package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestEveryBit turns over every bit of a tiny store, one at a time, when it was closed and when it was killed: every file, headers and padding included. The
// store is refused with a typed error, or what it serves is right and what it does not serve is reported; but for the last group of a killed one.
func TestEveryBit(t *testing.T) {
	a := newTally()
	for _, killed := range []bool{false, true} {
		fs := minute(t, killed)
		want, err := everything(fs.Clone(memfs.Everything, 1))
		if err != nil {
			t.Fatal(err)
		}
		f := &flipper{tally: a, fs: fs, want: want, killed: killed}
		stride := sized(t, 41, 7, 1)
		if killed {
			stride = sized(t, 41, 1, 1)
		}
		f.all(t, stride)
	}
	line := fmt.Sprintf("%d bits in %d files: %d opens refused, %d reported, %d cost the last group, %d without effect",
		a.get("bits"), a.get("files"), a.get("refused"), a.get("reported"), a.get("last group"), a.get("harmless"))
	a.end(t, "every bit", line, "bits", "refused", "reported", "last group", "harmless")
}

// minute makes a store of a few records, some in segments, some in the journal alone if it was killed.
func minute(t *testing.T, killed bool) *memfs.FS {
	t.Helper()
	fs := memfs.New()
	var topic storage.Topic
	var group storage.Group
	for life := range 2 {
		st, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			if topic, err = st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 2}); err != nil {
				t.Fatal(err)
			}
			if group, err = st.CreateGroup(t.Context(), "g"); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			e := &storage.Entry{
				Batches: []storage.Batch{{Partition: topic.Partition(i % 2), Records: []storage.Record{{Key: []byte{byte(i)}, Value: []byte{byte(life)}}}}},
				Cursors: []storage.Cursor{{Group: group.ID, Partition: topic.First, Floor: 1, Passed: 1}},
			}
			if i == 0 && life == 0 {
				e.Cursors = nil
			}
			if _, err := st.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if life == 1 && killed {
			fs = fs.Clone(memfs.Everything, 1)
		}
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

type flipper struct {
	*tally
	fs     *memfs.FS
	want   map[storage.PartitionID][]storage.Record
	killed bool
}

// flip is a bit of a file.
type flip struct {
	name string
	at   int64
	bit  uint
}

// all turns over one of every so many bits of all sectors that are not empty, on all processors.
func (f *flipper) all(t *testing.T, stride int) {
	t.Helper()
	flips := make(chan flip, 100)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for x := range flips {
				f.one(x)
			}
		})
	}
	n := 0
	for _, name := range f.fs.Files() {
		if name == "LOCK" {
			continue
		}
		f.count("files", 1)
		b, err := f.fs.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := range b {
			sector := b[at/512*512 : min(at/512*512+512, len(b))]
			if len(bytes.TrimLeft(sector, "\x00")) == 0 {
				continue
			}
			for bit := range uint(8) {
				if n++; n%stride == 0 {
					flips <- flip{name, int64(at), bit}
				}
			}
		}
	}
	close(flips)
	workers.Wait()
}

func (f *flipper) one(x flip) {
	f.count("bits", 1)
	where := fmt.Sprintf("killed %v, %s, byte %d, bit %d", f.killed, x.name, x.at, x.bit)
	im := f.fs.Clone(memfs.Everything, 1)
	if err := im.FlipBit(x.name, x.at, x.bit); err != nil {
		f.wrong("%s: %v", where, err)
		return
	}
	st, err := open(im)
	if err != nil {
		var damage *storage.DamageError
		if !errors.As(err, &damage) && !errors.Is(err, storage.ErrFormat) {
			f.wrong("%s: %v", where, err)
		}
		f.count("refused", 1)
		return
	}
	f.opened(st, x, where)
	if err := st.Close(context.Background()); err != nil {
		f.wrong("%s: close: %v", where, err)
	}
}

// opened checks what a store serves of which a bit was turned over.
func (f *flipper) opened(st *disk.Store, x flip, where string) {
	lost, told := 0, false
	for p, all := range f.want {
		got, holes, err := around(st, p)
		if err != nil {
			f.wrong("%s: partition %d: %v", where, p, err)
			return
		}
		told = told || len(holes) > 0
		i := 0
		for j := range all {
			switch {
			case i < len(got) && same(&got[i], &all[j]):
				i++
			case !inHole(holes, all[j].Offset):
				lost++
			}
		}
		if i < len(got) {
			f.wrong("%s: partition %d: a record that is not right", where, p)
		}
	}
	switch {
	case lost > 1 || lost == 1 && (!f.killed || !strings.HasPrefix(x.name, "journal/")):
		f.wrong("%s: %d records are missing, and not reported", where, lost)
	case lost == 1:
		f.count("last group", 1)
	case told:
		f.count("reported", 1)
	default:
		f.count("harmless", 1)
	}
	if cuts := slices.Clone(st.Report().Raised); len(cuts) > 0 && lost == 0 && !told {
		f.wrong("%s: cursors ahead of the data, and nothing is lost", where)
	}
}
