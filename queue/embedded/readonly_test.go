package embedded

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestOpenReadOnly: everything can be looked at, by several at once, and nothing changed.
func TestOpenReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := reopen(t, dir)
	ensure(t, b, "t", 2)
	fill(t, b, 2, 10, 3)
	m := join(t, b, queue.Group{})
	m.ack(m.one())
	m.leave()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReadOnly(filepath.Join(dir, "none"), Options{}); err == nil {
		t.Error("a directory that is not there was opened to be read")
	}
	for range 2 {
		b, err := OpenReadOnly(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := b.Close(); err != nil {
				t.Error("Close:", err)
			}
		}()
		n := 0
		for _, err := range b.Read(t.Context(), queue.Range{Topic: "t"}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 20 {
			t.Errorf("%d records, want 20", n)
		}
		if got := groupStats(b, "g"); got.Ready != 19 {
			t.Errorf("%+v, want 19 ready", got)
		}
		_, err = b.Publish(t.Context(), queue.Message{Topic: "t"})
		wantRefused(t, "Publish", err)
		if !errors.Is(err, storage.ErrReadOnly) {
			t.Errorf("Publish: %v, want storage.ErrReadOnly inside", err)
		}
		wantRefused(t, "EnsureTopic", b.EnsureTopic(t.Context(), "new", queue.TopicConfig{}))
		if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 2}); err != nil {
			t.Error("EnsureTopic of what is there:", err)
		}
		if r, err := From(b).Verify(t.Context(), disk.VerifyOptions{}); err != nil || len(r.Damage) != 0 || r.Bytes == 0 {
			t.Errorf("Verify: %+v, %v", r, err)
		}
		nothing := func(context.Context, *queue.Delivery) error { return nil }
		wantRefused(t, "Consume", b.Consume(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}}, nothing))
	}
}

func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("%s: %v, want ErrUnsupported", what, err)
	}
}
