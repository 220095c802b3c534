package disk_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestLongTail cuts a last group of 64 KiB at every byte, with zeros, garbage or one ruined bit behind: no record in front of it is lost, and of the group all or
// nothing is there.
func TestLongTail(t *testing.T) {
	fs, start := longTail(t)
	const name = "journal/00"
	content, err := fs.Contents(name)
	if err != nil {
		t.Fatal(err)
	}
	end := int64(len(bytes.TrimRight(content, "\x00")))
	want, err := everything(fs.Clone(memfs.Everything, 1))
	if err != nil {
		t.Fatal(err)
	}
	a, places := newTally(), make(chan int64, 100)
	hows := []string{"zeros", "garbage", "one bit"}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for at := range places {
				for i := range sized(t, 1, 1, len(hows)) {
					a.longTail(fs, want, name, hows[(int(at)+i)%len(hows)], at, end)
				}
			}
		})
	}
	for at := start; at < end; at += int64(sized(t, 97, 1, 1)) {
		places <- at
	}
	close(places)
	workers.Wait()
	line := fmt.Sprintf("%d tails of a group of %d bytes, %d of them cut", a.get("tails"), end-start, a.get("cut"))
	a.end(t, "long tail", line, "tails", "cut")
}

const tailRecords = 4 // of the last group

func (a *tally) longTail(fs *memfs.FS, want map[storage.PartitionID][]storage.Record, name, how string, at, end int64) {
	where := fmt.Sprintf("%s from byte %d on", how, at)
	im := fs.Clone(memfs.Everything, 1)
	if err := tear(im, name, how, at, end, newRand(uint64(at), 12)); err != nil {
		a.wrong("%s: %v", where, err)
	}
	a.count("tails", 1)
	st, err := open(im)
	if err != nil {
		a.wrong("%s: %v", where, err)
		return
	}
	defer st.Close(context.Background())
	for p, all := range want {
		got, _, err := st.Read(nil, p, 0, 1<<20)
		if err != nil || len(got) != len(all) && len(got) != len(all)-tailRecords {
			a.wrong("%s: partition %d: %d of %d records, %v", where, p, len(got), len(all), err)
			return
		}
		if len(got) < len(all) {
			a.count("cut", 1)
		}
		for i := range got {
			if !same(&got[i], &all[i]) {
				a.wrong("%s: partition %d: record %d is not right", where, p, i)
			}
		}
	}
}

// longTail makes a store whose last group, which was not synced, has 64 KiB, and returns it as a kill left it, with the place where that group begins.
func longTail(t *testing.T) (*memfs.FS, int64) {
	t.Helper()
	fs := memfs.New()
	o := tiny()
	o.Tuning.SlotBytes, o.Tuning.JournalBytes, o.Tuning.SpillBytes = 128<<10, 1<<20, 1<<20
	st, err := disk.OpenFS(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
	if err != nil {
		t.Fatal(err)
	}
	start := int64(0)
	for i, size := range []int{100, 200, 16 << 10} {
		b, err := fs.Contents("journal/00")
		if err != nil {
			t.Fatal(err)
		}
		start = (int64(len(bytes.TrimRight(b, "\x00"))) + 7) / 8 * 8
		e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First}}}
		for n := range tailRecords {
			e.Batches[0].Records = append(e.Batches[0].Records, storage.Record{Value: bytes.Repeat([]byte{byte(1 + i*tailRecords + n)}, size)})
		}
		if _, err := st.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return fs.Clone(memfs.Everything, 1), start
}
