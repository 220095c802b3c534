package disk_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// turnTopic is a topic with a partition for each of some policies.
func turnTopic(t *testing.T, st storage.Store, p storage.SyncPolicy, name string) storage.PartitionID {
	t.Helper()
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: name, Partitions: 1, Strategy: storage.Strategy{Sync: p}})
	if err != nil {
		t.Fatal(err)
	}
	return topic.First
}

// Appenders that write their group themselves, and such as leave it to the committer, take turns, through slot changes and checkpoints:
// each is acknowledged, and nobody waits for somebody who has gone.
func TestNobodyIsForgotten(t *testing.T) {
	st, err := open(memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	parts := []storage.PartitionID{
		turnTopic(t, st, storage.SyncOS, "os"), turnTopic(t, st, storage.SyncAlways, "always"), turnTopic(t, st, storage.SyncInterval(1), "interval"),
	}
	const appenders, each = 12, 300
	var wg sync.WaitGroup
	for a := range appenders {
		ctx := context.Background()
		if a%2 == 0 {
			ctx = t.Context()
		}
		wg.Go(func() {
			for n := range each {
				_, err := st.Append(ctx, &storage.Entry{Batches: []storage.Batch{{
					Partition: parts[(a+n)%len(parts)], Records: []storage.Record{{Value: make([]byte, 300)}},
				}}})
				if err != nil {
					t.Errorf("appender %d, entry %d: %v", a, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	var records int64
	for _, p := range parts {
		b, err := st.Bounds(p)
		if err != nil {
			t.Fatal(err)
		}
		records += b.Records
	}
	if records != appenders*each {
		t.Errorf("%d records, want %d", records, appenders*each)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// While the disk stalls, an append whose context ends returns, and says that nobody knows (G26). When the disk goes on, so does the store.
func TestStalledDiskHonoursContexts(t *testing.T) {
	for _, policy := range []storage.SyncPolicy{storage.SyncAlways, storage.SyncOS, storage.SyncInterval(1)} {
		t.Run(policy.String(), func(t *testing.T) {
			stalled, goOn := make(chan struct{}), make(chan struct{})
			var once sync.Once
			armed := make(chan struct{})
			fs := errfs.New(memfs.New(), errfs.Fault{
				Kinds: []vfs.Kind{vfs.OpWrite}, Prefix: "journal/", Always: true,
				Before: func(vfs.Op) {
					select {
					case <-armed:
						once.Do(func() { close(stalled); <-goOn })
					default:
					}
				},
			})
			st, err := disk.OpenFS(fs, tiny())
			if err != nil {
				t.Fatal(err)
			}
			p := turnTopic(t, st, policy, "t")
			entry := func() *storage.Entry {
				return &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: []byte("v")}}}}}
			}
			close(armed)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-stalled; cancel() }()
			if _, err := st.Append(ctx, entry()); !errors.Is(err, storage.ErrIndeterminate) || !errors.Is(err, context.Canceled) {
				t.Errorf("append on a stalled disk: got %v, want ErrIndeterminate and the context's error", err)
			}
			close(goOn)
			if _, err := st.Append(context.Background(), entry()); err != nil {
				t.Errorf("append afterwards: %v", err)
			}
			if b, err := st.Bounds(p); err != nil || b.Records != 2 {
				t.Errorf("%d records, %v; want 2", b.Records, err)
			}
			if err := st.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
