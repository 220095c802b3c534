package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// rottenDir makes a directory with topic "t" of three partitions and topic "u" of one, of which a message of partition 1 is ruined in its segment, and a copy of
// the directory from before. It returns how many messages there are in each partition.
func rottenDir(t *testing.T) (dir, whole string, each int) {
	t.Helper()
	const messages, size = 400, 1000
	dir, whole = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "copy")
	b := reopen(t, dir)
	ensure(t, b, "t", 3)
	for i := range messages {
		for p := range 3 {
			m := queue.Message{Topic: "t", Value: append(fmt.Appendf(nil, "message %d of %d.", i, p), make([]byte, size)...), Partition: queue.PinTo(p)}
			if _, err := b.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(whole, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	ruin(t, dir, "message 200 of 1.")
	return dir, whole, messages
}

// ruin changes one byte wherever a text stands in a segment.
func ruin(t *testing.T, dir, text string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "journal") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if at := strings.Index(string(data), text); at >= 0 {
			found++
			data[at] ^= 1
			return os.WriteFile(path, data, 0o600)
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("ruined %d times, %v", found, err)
	}
}

// TestDamageOnDisk: a running group is told of the damage, goes on with what is whole, and, when the damage is skipped or mended, with the rest.
func TestDamageOnDisk(t *testing.T) {
	for _, mend := range []bool{false, true} {
		t.Run(fmt.Sprintf("mend %v", mend), func(t *testing.T) {
			dir, whole, each := rottenDir(t)
			told := make(chan queue.DamagedEvent, 10)
			b, err := Open(dir, Options{Broker: queue.Options{Events: queue.Events{Damaged: func(e queue.DamagedEvent) { told <- e }}}})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			var done [3]atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			g := queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 4}
			go func() {
				ended <- b.Consume(ctx, g, func(_ context.Context, d *queue.Delivery) error {
					done[d.Position.Partition()].Add(1)
					return nil
				})
			}()
			e := <-told
			var damage *storage.DamageError
			if !errors.As(e.Err, &damage) || e.Partition != 1 || damage.Next <= damage.First {
				t.Fatalf("told of %+v", e)
			}
			for _, err := range b.Read(ctx, queue.Range{Topic: "t", Partitions: []int{1}}) {
				if err != nil && !errors.As(err, &damage) {
					t.Error("Read:", err)
				}
			}
			v, err := From(b).Verify(ctx, disk.VerifyOptions{})
			if err != nil || len(v.Damage) != 1 || v.Damage[0].Partition != damage.Partition || v.Damage[0].First != damage.First || v.Damage[0].Next != damage.Next {
				t.Errorf("Verify: %+v, %v; want what the group was told of, %v", v, err, damage)
			}
			lost := int(damage.Next - damage.First)
			if mend {
				lost = 0
				r, err := From(b).Mend(ctx, whole, disk.MendOptions{})
				if err != nil || len(r.Mended) != 1 || len(r.Left) != 0 {
					t.Errorf("Mend: %+v, %v", r, err)
				}
			} else {
				sound := *damage
				sound.First, sound.Next = 0, 1
				wantError(t, "skipping what is sound", From(b).Skip(ctx, &sound), storage.ErrNotDamaged)
				if err := From(b).Skip(ctx, damage); err != nil {
					t.Error("Skip:", err)
				}
			}
			wantIdle(t, b)
			if done[0].Load() != int64(each) || done[1].Load() != int64(each-lost) || done[2].Load() != int64(each) {
				t.Errorf("%d, %d and %d messages of %d each are done, %d are lost", done[0].Load(), done[1].Load(), done[2].Load(), each, lost)
			}
			if got := groupStats(b, "g"); got.Missed != int64(lost) || got.Ready != 0 {
				t.Errorf("%+v, of which %d are lost", got, lost)
			}
			ds, err := From(b).Damaged()
			if err != nil || mend && len(ds) != 0 || !mend && len(ds) != 1 {
				t.Errorf("Damaged: %v, %v", ds, err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error("Consume:", err)
			}
		})
	}
}

func TestMendNeedsADirectory(t *testing.T) {
	e := From(memory(t, 1))
	wantRefused(t, "Skip", e.Skip(t.Context(), &storage.DamageError{}))
	_, err := e.Mend(t.Context(), "", disk.MendOptions{})
	wantRefused(t, "Mend", err)
	_, err = e.Verify(t.Context(), disk.VerifyOptions{})
	wantRefused(t, "Verify", err)
	_, err = e.Damaged()
	wantRefused(t, "Damaged", err)
}
