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

func TestVerify(t *testing.T) {
	dir := closed(t)
	same(t, "text", fine(t, "verify", dir), `
segments      2, with 8 records
checkpoint-a  number 1
checkpoint-b  number 2, the newest
checkpoint-c  not used yet
journal       0 frames behind the newest checkpoint
whole         144.0 KiB in 4 files
no damage
`)
	var v verification
	decode(t, fine(t, "verify", "-json", "-rate", "1000", dir), &v)
	if v.Segments != 2 || v.Records != 8 || v.Damage == nil || len(v.Damage) > 0 || len(v.Checkpoints) != 3 || v.Seconds <= 0 {
		t.Errorf("JSON: got %+v", v)
	}
}

// TestProgress: on standard error, and only if it is asked for, as that is no terminal here.
func TestProgress(t *testing.T) {
	code, _, errs := leat("verify", "-progress", closed(t))
	if lines := strings.Split(strings.TrimSpace(errs), "\n"); code != exitFine || !strings.HasPrefix(lines[len(lines)-1], "verify: 100%, ") {
		t.Errorf("exit %d, got %q, want lines up to 100%%", code, errs)
	}
}

// flip turns a bit over.
func flip(t *testing.T, name string, at int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	ok(t, err)
	b[at] ^= 4
	ok(t, os.WriteFile(name, b, 0o600))
}

// TestVerifyDamage flips a bit, cuts a segment and deletes one: all are named exactly, what is whole is dumped, and a copy mends them.
func TestVerifyDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	st, err := disk.Open(dir, small())
	ok(t, err)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "orders", Partitions: 4})
	ok(t, err)
	for n := range 4 {
		for range 5 {
			_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.Partition(n), Records: []storage.Record{{Value: make([]byte, 1000)}}}}})
			ok(t, err)
		}
	}
	ok(t, st.Close(context.Background()))
	backup := filepath.Join(t.TempDir(), "backup")
	ok(t, os.CopyFS(backup, os.DirFS(dir)))
	var segments []string
	for n := range 4 {
		found, err := filepath.Glob(filepath.Join(dir, "seg", "0000000"+string(rune('0'+n)), "*"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		segments = append(segments, found[0])
	}
	const frame = 64 + 1003 + 5 // header, flags and length and value, and zeros up to a multiple of 8
	flip(t, segments[0], 4096+2*frame+100)
	ok(t, os.Truncate(segments[1], 4096+3*frame+10))
	ok(t, os.Remove(segments[3]))

	name := func(n int) string { return "seg/0000000" + string(rune('0'+n)) + "/" + filepath.Base(segments[n]) }
	code, out, errs := leat("verify", dir)
	_, found, _ := strings.Cut(out, "files\n")
	want := "damaged: " + name(0) + `, bytes 6240 to 7312
  frame: body sum does not match
  topic "orders", partition 0, offsets 2 to 3: 1 record
damaged: ` + name(1) + `, bytes 7312 to 12288
  the file ends at 7322
  topic "orders", partition 1, offsets 3 to 5
damaged: ` + name(3) + `, bytes 0 to 12288
  the file is missing
  topic "orders", partition 3, offsets 0 to 5
3 places damaged
`
	if code != exitFailed || errs != "" {
		t.Errorf("exit %d, %q", code, errs)
	}
	same(t, "verify", found, want)
	t.Logf("leat verify:\n%s", out)

	code, out, errs = leat("dump", "-raw", dir)
	if code != exitFailed || strings.Count(out, "\n") != 4+3+5 || strings.Count(errs, "damaged: ") != 3 {
		t.Errorf("dump: exit %d, %d records, %q", code, strings.Count(out, "\n"), errs)
	}
	out = fine(t, "mend", dir, backup)
	if strings.Count(out, "mended: ") != 3 || strings.Contains(out, "not mended") {
		t.Errorf("mend: got\n%s", out)
	}
	t.Logf("leat mend:\n%s", out)
	if out := fine(t, "verify", dir); !strings.Contains(out, "20 records") {
		t.Errorf("mended: got\n%s", out)
	}
	if out := fine(t, "dump", "-raw", dir); strings.Count(out, "\n") != 20 {
		t.Errorf("mended: %d records", strings.Count(out, "\n"))
	}
	if out := fine(t, "mend", dir, backup); out != "no damage\n" {
		t.Errorf("mend again: got\n%s", out)
	}
	var m mending
	decode(t, fine(t, "mend", "-json", dir, backup), &m)
}
