package embedded

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestSnapshotAndRestore: what was done stays done, what was not comes, and a message that is not in the copy is not another's.
func TestSnapshotAndRestore(t *testing.T) {
	dir, copied := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "copy")
	b := reopen(t, dir)
	ensure(t, b, "t", 1)
	ensureStrategy(t, b, "memory", storage.Strategy{Level: storage.MemoryOnly})
	fill(t, b, 1, 10, 0)
	m := join(t, b, queue.Group{})
	for range 4 {
		m.ack(m.one())
	}
	m.leave()
	if _, err := From(b).Snapshot(t.Context(), copied, disk.SnapshotOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := b.Publish(t.Context(), queue.Message{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), copied, dir, disk.RestoreOptions{}); err == nil {
		t.Error("a directory with a queue in it was restored to")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), copied, dir, disk.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	b = reopen(t, dir)
	m = join(t, b, queue.Group{})
	if got := m.drain(); len(got) != 6 || got[0] != "4" {
		t.Errorf("%v: want what was not done", got)
	}
	wantError(t, "a position that is not in the copy", From(b).Trim(t.Context(), after.Position), queue.ErrNotFound)
	ensureStrategy(t, b, "memory", storage.Strategy{Level: storage.MemoryOnly})
	r, err := b.Publish(t.Context(), queue.Message{Topic: "t"})
	if err != nil || r.Position == after.Position {
		t.Errorf("%v, %v: the position of a message that is lost", r.Position, err)
	}
	_, err = From(memory(t, 1)).Snapshot(t.Context(), filepath.Join(t.TempDir(), "none"), disk.SnapshotOptions{})
	wantRefused(t, "Snapshot of a queue in memory", err)
}
