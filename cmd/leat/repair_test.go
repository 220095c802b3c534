package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestSalvage: a directory that does not open is read as far as that goes, says what to do, and opens after a salvage.
func TestSalvage(t *testing.T) {
	dir := killed(t)
	if out := fine(t, "salvage", dir); !strings.Contains(out, "nothing to salvage") {
		t.Errorf("of a sound directory: got\n%s", out)
	}
	flip(t, filepath.Join(dir, "journal", "00"), 4*4096+20) // the header of a frame; each was synced, and begins a block
	code, out, errs := leat("inspect", dir)
	if code != exitFailed || errs != "" || !strings.Contains(out, "damaged: journal/00, from byte 16384") || !strings.Contains(out, "there is damage") {
		t.Errorf("inspect: exit %d, %q, got\n%s", code, errs, out)
	}
	if code, out, _ := leat("verify", dir); code != exitFailed || !strings.Contains(out, "damaged: journal/00, from byte 16384") {
		t.Errorf("verify: exit %d, got\n%s", code, out)
	}
	if code, _, errs := leat("compact", dir); code != exitFailed || !strings.Contains(errs, "leat salvage") {
		t.Errorf("compact: exit %d, %q, want what to do", code, errs)
	}
	out = fine(t, "salvage", dir)
	if !strings.Contains(out, "damaged: journal/00") || !strings.Contains(out, "kept") || !strings.Contains(out, "aside/") {
		t.Errorf("salvage: got\n%s", out)
	}
	st, err := disk.Open(dir, small())
	ok(t, err)
	ok(t, st.Close(context.Background()))
	var s salvaged
	decode(t, fine(t, "salvage", "-json", dir), &s)
	if s.Damaged || s.Holes == nil {
		t.Errorf("again, as JSON: got %+v", s)
	}
}

// TestCompact: what the rules of a topic let go goes at once.
func TestCompact(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	o := small()
	o.Tuning.CleanEvery = -1
	st, err := disk.Open(dir, o)
	ok(t, err)
	s := storage.Strategy{Cleanup: storage.CleanupPolicy{MaxRecords: 10}}
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "short", Partitions: 1, Strategy: s})
	ok(t, err)
	for range 40 {
		_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: make([]byte, 5000)}}}}})
		ok(t, err)
	}
	ok(t, st.Close(context.Background()))
	if out := fine(t, "dump", "-raw", dir); strings.Count(out, "\n") != 40 {
		t.Fatalf("%d records before, want 40", strings.Count(out, "\n"))
	}
	var c compaction
	decode(t, fine(t, "compact", "-json", dir), &c)
	if c.Removed != 30 || c.SegmentsAfter.Bytes >= c.SegmentsBefore.Bytes {
		t.Errorf("got %+v, want 30 records and some files removed", c)
	}
	if out := fine(t, "dump", "-raw", dir); strings.Count(out, "\n") != 10 {
		t.Errorf("%d records left, want 10", strings.Count(out, "\n"))
	}
	if out := fine(t, "compact", dir); !strings.HasPrefix(out, "removed 0 records; ") {
		t.Errorf("again: got %q", out)
	}
}
