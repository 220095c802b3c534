package disk_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestCrashInRewriting is TestCrash where segments are compressed and compacted: every operation of that is crashed at, and what comes behind it now and then. A record
// may be missing only if its topic keeps the latest of each key, and a later one of its key is there.
func TestCrashInRewriting(t *testing.T) {
	target := int64(sized(t, 700, 10_000, 400_000))
	s := &sweep{tally: newTally(), modes: sized(t, 1, 2, len(crashes)), again: sized(t, 12, 4, 3)}
	var busy atomic.Bool
	var others atomic.Int64
	s.armed = func() bool { return busy.Load() || others.Add(1)%64 == 0 }
	s.steps = func(st storage.Store, h *storagetest.History, seed uint64, n int) error {
		return rewriting(st, h, seed, n, &busy)
	}
	scripts := 0
	for s.get("points") < target && !s.failed() {
		scripts++
		seed := uint64(scripts) + 1000
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { s.script(t, seed, 150) })
	}
	line := fmt.Sprintf("%d crash points over %d scripts, %d of them in a recovery, %d after one; %d segments compressed, %d compacted, %d files removed, %d records compacted",
		s.get("points"), scripts, s.get("in recovery"), s.get("after recovery"), s.get("rewritten"), s.get("compacted"), s.get("removed"), s.verdict.Compacted)
	s.count("superseded", s.verdict.Compacted)
	s.end(t, "crash sweep of rewriting", line, "points", "in recovery", "after recovery", "rewritten", "compacted", "removed", "superseded")
}

var rewritten = []storage.Strategy{
	{Level: storage.Compressed, Sync: storage.SyncOS, Compression: storage.CompressionPolicy{Codec: compress.IDS2, BlockBytes: 8 << 10}},
	{Level: storage.DiskOnly, Cleanup: storage.CleanupPolicy{LatestByKey: true}},
	{Level: storage.Compressed, Sync: storage.SyncOS, Cleanup: storage.CleanupPolicy{LatestByKey: true}},
}

// rewriting appends to topics that are rewritten, and has that done now and then. busy is true meanwhile.
func rewriting(st storage.Store, h *storagetest.History, seed uint64, n int, busy *atomic.Bool) error {
	ctx, rng := context.Background(), newRand(seed, 9)
	topics := st.Topics()
	for i := len(topics); i < len(rewritten); i++ {
		spec := storage.TopicSpec{Name: fmt.Sprintf("topic %d/%d", i, seed), Partitions: 1, Strategy: rewritten[i]}
		t, err := h.CreateTopic(func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(ctx, s) }, spec)
		if err != nil {
			return err
		}
		topics = append(topics, t)
	}
	for step := range n {
		if step%25 == 24 {
			busy.Store(true)
			err := h.Clean(nil, func() error { return st.Clean(ctx) })
			busy.Store(false)
			if err != nil {
				return err
			}
		}
		sizes := make([]int, 1+rng.IntN(8))
		for i := range sizes {
			sizes[i] = 100 + rng.IntN(3000)
		}
		a := h.Begin(storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: topics[rng.IntN(len(topics))].First, Sizes: sizes}}})
		d, err := st.Append(ctx, a.Entry)
		if bad := h.End(a, d, err); bad != nil {
			return bad
		}
		if err != nil {
			return err
		}
	}
	return nil
}
