package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestFullDisk: publishing is refused, handlers and acks go on, and what they finished can be removed, which makes room without a restart.
func TestFullDisk(t *testing.T) {
	at := filepath.Join(t.TempDir(), "tmpfs")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("no tmpfs can be mounted here, which takes root: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	}()
	full, room := make(chan struct{}, 100), make(chan struct{}, 100)
	b, err := Open(filepath.Join(at, "data"), Options{
		StorageEvents: func(e storage.Event) {
			switch e.Kind {
			case storage.EventFull:
				full <- struct{}{}
			case storage.EventRoom:
				room <- struct{}{}
			}
		},
		Disk: disk.Options{Tuning: disk.Tuning{SlotBytes: 256 << 10, SegmentBytes: 1 << 20, SpillBytes: 1 << 20, RoomEvery: 5 * time.Millisecond}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error("Close:", err)
		}
	}()
	ensure(t, b, "t", 1)
	m := queue.Message{Topic: "t", Value: make([]byte, 64<<10)}
	stored := 0
	for {
		if _, err = b.Publish(t.Context(), m); err != nil {
			break
		}
		if stored++; stored > 1000 {
			t.Fatal("64 MiB are stored in 32")
		}
	}
	if !errors.Is(err, queue.ErrFull) || !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("after %d messages: %v, want ErrFull with storage.ErrNoSpace inside", stored, err)
	}
	<-full
	if !From(b).Storage().Full {
		t.Error("the figures do not say that the disk is full")
	}
	var done atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, queue.Group{Name: "g", Topics: []string{"t"}}, func(context.Context, *queue.Delivery) error {
			done.Add(1)
			return nil
		})
	}()
	wantIdle(t, b)
	if err := From(b).engine.flusher.flush(t.Context()); err != nil {
		t.Error("cursors while the disk is full:", err)
	}
	if got := done.Load(); got != int64(stored) {
		t.Errorf("%d messages of %d were handled", got, stored)
	}
	if err := From(b).AlterTopic(ctx, "t", queue.TopicConfig{}, storage.Strategy{Cleanup: storage.CleanupPolicy{WhenDone: true}}); err != nil {
		t.Error("AlterTopic:", err)
	}
	for err = queue.ErrFull; errors.Is(err, queue.ErrFull); { // the first room may be taken by what has waited for it
		<-room
		_, err = b.Publish(t.Context(), m)
	}
	if err != nil {
		t.Error("when there is room again:", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error("Consume:", err)
	}
}
