package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestRebuild: a directory without a checkpoint, of which one segment is damaged, too.
func TestRebuild(t *testing.T) {
	dir, to := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "new")
	st, err := disk.Open(dir, small())
	ok(t, err)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "orders", Partitions: 1})
	ok(t, err)
	for range 5 {
		_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: make([]byte, 1000)}}}}})
		ok(t, err)
	}
	ok(t, st.Close(context.Background()))
	for _, name := range []string{"checkpoint-a", "checkpoint-b", "checkpoint-c"} {
		ok(t, os.Remove(filepath.Join(dir, name)))
	}
	found, err := filepath.Glob(filepath.Join(dir, "seg", "00000000", "*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	const frame = 64 + 1003 + 5
	flip(t, found[0], 4096+2*frame+100)
	for _, command := range []string{"verify", "salvage"} {
		if code, _, errs := leat(command, dir); code != exitFailed || !strings.Contains(errs, "leat rebuild") {
			t.Errorf("%s: exit %d, %q, want a word of rebuild", command, code, errs)
		}
	}
	out := fine(t, "rebuild", dir, to)
	for _, want := range []string{"0 copied, 1 put together", "none can be read", "may have lost their end", "damaged: ", `topic "orders", partition 0, offsets 2 to 3: 1 record`} {
		if !strings.Contains(out, want) {
			t.Errorf("got\n%swant %q", out, want)
		}
	}
	if code, out, _ := leat("dump", "-raw", to); code != exitFailed || strings.Count(out, "\n") != 4 {
		t.Errorf("dump: exit %d, %d records, want 4 and word of the one that is lost", code, strings.Count(out, "\n"))
	}
	if code, _, errs := leat("rebuild", dir, to); code != exitFailed || errs == "" {
		t.Errorf("into what is not empty: exit %d, %q", code, errs)
	}
	var b map[string]any
	decode(t, fine(t, "rebuild", "-json", dir, filepath.Join(t.TempDir(), "again")), &b)
	if holes, _ := b["holes"].([]any); b["gathered"] != 1.0 || len(holes) != 1 || b["no_checkpoint"] != true || b["unnamed"] == nil {
		t.Errorf("got %v", b)
	}
}
