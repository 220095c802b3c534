package disk_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestThreeDamages flips a bit, cuts a segment and deletes a file, in three partitions of a running store in a real directory: verify names all three exactly, the other
// partitions serve and are written to, and a copy brings everything back, without a restart.
func TestThreeDamages(t *testing.T) {
	const each, value = 10, 1000
	const frame = 64 + 1 + 2 + value + 5              // header, flags, length, value, and zeros up to a multiple of 8
	const length = (4096 + each*frame + 4095) &^ 4095 // with a pad up to there
	o := tiny()
	o.Tuning.JournalBytes, o.Tuning.SpillBytes = 8<<20, 4<<20
	var st *disk.Store
	var topic storage.Topic
	write := func(n int) {
		t.Helper()
		for i := range each {
			v := fmt.Appendf(make([]byte, value), "%d/%d", n, i)
			e := storage.Entry{Batches: []storage.Batch{{Partition: topic.Partition(n), Records: []storage.Record{{Value: v[:value]}}}}}
			if _, err := st.Append(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
		}
	}
	// build writes a store, and tells whether each partition has one file in which frames stand without pads between: a checkpoint that comes before all is written adds one.
	build := func(dir string) (files []string, dense bool) {
		t.Helper()
		var err error
		if st, err = disk.Open(dir, o); err != nil {
			t.Fatal(err)
		}
		if topic, err = st.CreateTopic(t.Context(), storage.TopicSpec{Name: "orders", Partitions: 5}); err != nil {
			t.Fatal(err)
		}
		for n := range topic.Partitions {
			write(n)
		}
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n := range topic.Partitions {
			found, err := filepath.Glob(filepath.Join(dir, "seg", fmt.Sprintf("%08x", uint32(topic.Partition(n))), "*"))
			if err != nil || len(found) == 0 {
				t.Fatal(found, err)
			}
			if i, err := os.Stat(found[0]); err != nil || len(found) > 1 || i.Size() != length {
				return nil, false
			}
			files = append(files, found[0])
		}
		return files, true
	}
	var dir string
	var files []string
	for dense := false; !dense; {
		dir = filepath.Join(t.TempDir(), "store")
		files, dense = build(dir)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	var err error
	if st, err = disk.Open(dir, o); err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())

	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[4096+3*frame+500] ^= 1
	for _, err := range []error{os.WriteFile(files[0], b, 0o600), os.Truncate(files[2], 4096+7*frame+1), os.Remove(files[4])} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := verify(t, st)
	want := []storage.DamageError{
		{From: 4096 + 3*frame, To: 4096 + 4*frame, Partition: topic.Partition(0), First: 3, Next: 4, Records: 1},
		{From: 4096 + 7*frame, To: length, Partition: topic.Partition(2), First: 7, Next: each},
		{From: 0, To: length, Partition: topic.Partition(4), First: 0, Next: each},
	}
	if len(r.Damage) != len(want) {
		t.Fatalf("got %v, want three damages", r.Damage)
	}
	for i, got := range r.Damage {
		t.Logf("verify names %v", got)
		w := want[i]
		w.File, w.Reason = filepath.ToSlash(right(filepath.Rel(dir, files[2*i]))), got.Reason
		if *got != w {
			t.Errorf("damage %d: got %+v, want %+v", i, *got, w)
		}
	}
	for _, n := range []int{1, 3} {
		write(n)
		got, holes, err := around(st, topic.Partition(n))
		if err != nil || len(holes) > 0 || len(got) != 2*each {
			t.Errorf("partition %d, which is whole: %d records, %v, %v", n, len(got), holes, err)
		}
		t.Logf("partition %d, which is whole, was written to and serves %d records", n, len(got))
	}
	m, err := st.Mend(t.Context(), backup, disk.MendOptions{})
	if err != nil || len(m.Mended) != 3 || len(m.Left) > 0 {
		t.Fatalf("mended: got %+v, %v, want all three", m, err)
	}
	if r := verify(t, st); len(r.Damage) > 0 {
		t.Errorf("mended: got %v", r.Damage)
	}
	if n := readAll(t, st); n != 7*each {
		t.Errorf("mended: %d records, want %d", n, 7*each)
	}
	t.Logf("mended %d damages from the copy: all %d records are served, the damaged files are %q", len(m.Mended), 7*each, m.Aside)
}

func right[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
