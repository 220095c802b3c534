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

// TestFollowed: the second directory takes the place of the first one when that is gone, with what was done.
func TestFollowed(t *testing.T) {
	dir, second := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "second")
	open := func(dir string, o disk.Options) *queue.Broker {
		t.Helper()
		b, err := Open(dir, Options{Disk: o})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	b := open(dir, disk.Options{Follower: disk.FollowerOptions{Dir: second}})
	ensure(t, b, "t", 1)
	fill(t, b, 1, 10, 0)
	m := join(t, b, queue.Group{})
	for range 4 {
		m.ack(m.one())
	}
	m.leave()
	if err := From(b).WaitFollowed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l, err := From(b).Lag(); err != nil || l.Err != nil || l.Frames != 0 {
		t.Errorf("lag %+v, %v", l, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(second, Options{}); err == nil {
		t.Error("the second directory was opened as if nobody followed into it")
	}
	b = open(second, disk.Options{Promote: true})
	if got := join(t, b, queue.Group{}).drain(); len(got) != 6 || got[0] != "4" {
		t.Errorf("%v: want what was not done", got)
	}
	_, err := From(b).Lag()
	wantError(t, "Lag without a second directory", err, queue.ErrNotFound)
	wantError(t, "WaitFollowed without a second directory", From(b).WaitFollowed(t.Context()), queue.ErrNotFound)
	_, err = From(memory(t, 1)).Lag()
	wantRefused(t, "Lag of a queue in memory", err)
	wantRefused(t, "WaitFollowed of a queue in memory", From(memory(t, 1)).WaitFollowed(t.Context()))
}
