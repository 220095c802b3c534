package disk_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// spilledStore is a killed store with bodies of its journal ruined that segments have, too: such that the last checkpoint knows, and such that it does not.
func spilledStore(t *testing.T) *memfs.FS {
	t.Helper()
	fs, o := memfs.New(), tiny()
	o.Tuning.SlotBytes, o.Tuning.JournalBytes, o.Tuning.SegmentBytes = 512<<10, 8<<20, 1<<20
	var killed *memfs.FS
	for life := range 2 {
		st, err := disk.OpenFS(fs, o)
		must(t, err)
		if life == 0 {
			_, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 3})
			must(t, err)
		}
		p := st.Topics()[0].First
		for n := range storage.PartitionID(40 + 60*life) {
			must(t, putRaw(t.Context(), st, big(p+n%storage.PartitionID(2+life), 1000)))
		}
		must(t, putRaw(t.Context(), st, big(p+storage.PartitionID(life+1), 300_000))) // more than is read at once
		for life == 1 && st.Stats().UnspilledBytes > o.Tuning.SpillBytes {
			runtime.Gosched()
		}
		killed = fs.Clone(memfs.Everything, 1)
		must(t, st.Close(t.Context()))
	}
	for _, name := range killed.Files() {
		if !strings.HasPrefix(name, "journal/") {
			continue
		}
		b, err := killed.Contents(name)
		must(t, err)
		for i, f := range framesOf(t, b) {
			if f.Count > 0 && i%7 == 3 && i < 60 {
				must(t, killed.FlipBit(name, f.from+66, 1))
			}
		}
	}
	return killed
}

// lostOf returns how many records are missing in a store, and how many are there.
func lostOf(t *testing.T, st *disk.Store) (lost, there int64) {
	t.Helper()
	for i := range 3 {
		rs, holes, err := around(st, st.Topics()[0].Partition(i))
		must(t, err)
		there += int64(len(rs))
		for _, d := range holes {
			lost += d.Next - d.First
		}
	}
	return lost, there
}

// TestFaultSpilled opens a store whose journal is damaged where segments have what it has lost, while each read fails in turn; and with such a segment missing, or ruined
// while it is looked for. What is open has all that could be read, or says what it lacks.
func TestFaultSpilled(t *testing.T) {
	start := spilledStore(t)
	whole := start.Clone(memfs.Everything, 1)
	st, err := open(whole)
	must(t, err)
	lost, there := lostOf(t, st)
	must(t, st.Close(t.Context()))
	refused := 0
	for n := 1; ; n++ {
		fs := errfs.New(start.Clone(memfs.Everything, 1), errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Nth: n, Err: syscall.EIO})
		st, err := open(fs)
		if err != nil {
			if refused++; !errors.Is(err, syscall.EIO) {
				t.Errorf("read %d fails: %v", n, err)
			}
			continue
		}
		hit := fs.Injected() > 0
		if !hit {
			st.Close(context.Background())
			break
		}
		if l, is := lostOf(t, st); l != lost || is != there {
			t.Errorf("read %d fails, %v: %d records are lost, %d are there, want %d and %d", n, fs.Hits(), l, is, lost, there)
		}
		st.Close(context.Background())
	}
	for _, name := range segmentsOf(start) {
		gone := start.Clone(memfs.Everything, 1)
		must(t, gone.Delete(name))
		if st, err := open(gone); err == nil {
			if l, is := lostOf(t, st); l+is < there {
				t.Errorf("without %s: %d records are lost, %d are there, of %d", name, l, is, there)
			}
			st.Close(context.Background())
		} else {
			t.Errorf("without %s: %v", name, err)
		}
	}
	ruined := int64(0)
	for nth, more := int64(1), true; more; nth++ {
		fs := start.Clone(memfs.Everything, 1)
		var opened atomic.Int64
		fs.OnOp(func(op vfs.Op) error {
			if op.Kind != vfs.OpOpen || !strings.HasPrefix(op.Name, "seg/") || opened.Add(1) != nth {
				return nil
			}
			b, err := fs.Contents(op.Name)
			return errors.Join(err, fs.ZeroRange(op.Name, 4096, int64(len(b))-4096))
		})
		st, err := open(fs)
		must(t, err)
		more = opened.Load() >= nth
		fs.OnOp(nil)
		l, is := lostOf(t, st)
		if l+is < there {
			t.Errorf("ruined when segments are opened for the %dth time: %d records are lost, %d are there, of %d", nth, l, is, there)
		}
		ruined += l
		st.Close(context.Background())
	}
	t.Logf("%d opens were refused; %d records of %d were lost at last", refused, ruined, there+lost)
	if refused == 0 || ruined == 0 {
		t.Error("nothing was refused, or lost: the loop is vacuous")
	}
}
