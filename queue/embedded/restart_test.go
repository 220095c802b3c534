package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

func reopen(t *testing.T, dir string) *queue.Broker {
	t.Helper()
	b, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// TestRestartGivesExactlyWhatWasNotDone settles messages in any order, some with failures, and expects the rest after a restart.
func TestRestartGivesExactlyWhatWasNotDone(t *testing.T) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		t.Run(order.String(), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			restartWith(t, order, rand.New(rand.NewPCG(seed, 2)))
		})
	}
}

func restartWith(t *testing.T, order queue.Order, rng *rand.Rand) {
	const partitions, each = 3, 40
	dir := filepath.Join(t.TempDir(), "data")
	b := reopen(t, dir)
	ensure(t, b, "t", partitions)
	fill(t, b, partitions, each, 5)
	g := queue.Group{Order: order, Concurrency: 8}
	left := map[string]int{} // position to failed attempts
	for p := range partitions {
		for i := range each {
			left[fmt.Sprintf("%d@%d", p, i)] = 0
		}
	}
	name := func(h queue.Handover) string {
		offset, _ := h.Position.Offset()
		return fmt.Sprintf("%d@%d", h.Position.Partition(), offset)
	}
	for round := 0; len(left) > 0; round++ {
		m := join(t, b, g)
		var held []queue.Handover
		for range 30 {
			if h, ok := another(m, len(held)); ok {
				attempts, open := left[name(h)]
				if !open || h.Attempt != attempts+1 {
					t.Fatalf("round %d: %s came at attempt %d; open %v with %d failures", round, h.Position, h.Attempt, open, attempts)
				}
				held = append(held, h)
			}
			if len(held) == 0 {
				break
			}
			i := rng.IntN(len(held))
			h := held[i]
			held = slices.Delete(held, i, i+1)
			switch rng.IntN(5) {
			case 0:
				left[name(h)]++
				m.settle(h, queue.SettleRetry, time.Microsecond)
			case 1:
				m.settle(h, queue.SettleRelease, 0)
			default:
				delete(left, name(h))
				m.ack(h)
			}
		}
		m.leave()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = reopen(t, dir)
		if s := b.Stats().Groups[0]; s.Ready != int64(len(left)) || s.Idle == "" != (len(left) == 0) {
			t.Fatalf("round %d: a lag of %+v, want %d", round, s, len(left))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.WaitIdle(ctx, "g"); err != nil {
		t.Error(err)
	}
}

// another receives one more message, if there is one that may run while so many are held.
func another(m *testMember, held int) (queue.Handover, bool) {
	patience := 5 * time.Millisecond
	if held == 0 {
		patience = time.Minute
	}
	g := m.Member.(*member).group
	g.mu.Lock()
	b := g.backlog()
	g.mu.Unlock()
	if held > 5 || b.ready+b.waiting == 0 {
		return queue.Handover{}, false
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	var dst [1]queue.Handover
	_, err := m.Receive(ctx, dst[:], queue.ReceiveLimits{})
	return dst[0], err == nil
}

func TestRetryWaitsAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	b := reopen(t, dir)
	ensure(t, b, "t", 1)
	fill(t, b, 1, 2, 1)
	m := join(t, b, queue.Group{Concurrency: 2})
	m.settle(m.one(), queue.SettleRetry, time.Hour)
	m.leave()
	b.Close()
	b = reopen(t, dir)
	m = join(t, b, queue.Group{Concurrency: 2})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var dst [1]queue.Handover
	if _, err := m.Receive(ctx, dst[:], queue.ReceiveLimits{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %s, attempt %d, though the lane waits for an hour", err, dst[0].Value, dst[0].Attempt)
	}
	if s := b.Stats().Groups[0]; s.Waiting != 1 || s.Ready != 1 || s.Idle != "waiting for a retry" {
		t.Errorf("stats %+v", s)
	}
}

func TestReceiptsOnDisk(t *testing.T) {
	dir := t.TempDir()
	b := reopen(t, dir)
	for d := queue.Memory; d <= queue.Synced; d++ {
		if err := b.EnsureTopic(t.Context(), d.String(), queue.TopicConfig{Durability: d, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
		kept, _ := From(b).engine.store.Topic(d.String())
		want := []storage.Strategy{
			{Level: storage.MemoryOnly}, {Sync: storage.SyncOS}, {Sync: storage.SyncInterval(time.Second)}, {Sync: storage.SyncAlways},
		}[d-queue.Memory]
		if kept.Strategy != want {
			t.Errorf("%s: the store has %+v", d, kept.Strategy)
		}
		r, err := b.Publish(t.Context(), queue.Message{Topic: d.String()})
		if err != nil || r.Durability != d {
			t.Errorf("%s: receipt %s, %v", d, r.Durability, err)
		}
	}
	rs, err := b.PublishBatch(t.Context(), queue.Message{Topic: "OS"}, queue.Message{Topic: "Synced"})
	if err != nil || rs[0].Durability != queue.Synced {
		t.Errorf("a batch that waited for a sync: %s, %v", rs[0].Durability, err)
	}
	e := From(b)
	if r := e.Report(); !r.New {
		t.Errorf("report %+v", r)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("second open: %v", err)
	}
	b.Close()
	b = reopen(t, dir)
	if r := From(b).Report(); r.New || !r.Clean {
		t.Errorf("report after a clean close %+v", r)
	}
	for d := queue.OS; d <= queue.Synced; d++ {
		if err := b.EnsureTopic(t.Context(), d.String(), queue.TopicConfig{Durability: d, Partitions: 2}); err != nil {
			t.Errorf("settings of %s: %v", d, err)
		}
	}
}

func TestEngineWithStrategies(t *testing.T) {
	b := memory(t, 1)
	e := From(b)
	if err := e.EnsureTopic(t.Context(), "t", queue.TopicConfig{}, storage.Strategy{}); err != nil {
		t.Errorf("the default is SyncAlways: %v", err)
	}
	every := storage.Strategy{Sync: storage.SyncInterval(time.Minute)}
	if err := e.EnsureTopic(t.Context(), "u", queue.TopicConfig{}, every); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureTopic(t.Context(), "u", queue.TopicConfig{Durability: queue.Interval, SyncEvery: time.Minute}); err != nil {
		t.Error(err)
	}
	var fault *queue.ConfigError
	if err := e.EnsureTopic(t.Context(), "u", queue.TopicConfig{}, storage.Strategy{Sync: storage.SyncOS}); !errors.As(err, &fault) {
		t.Errorf("another strategy: %v", err)
	}
	if err := e.EnsureTopic(t.Context(), "v", queue.TopicConfig{Durability: queue.OS}, every); !errors.As(err, &fault) {
		t.Errorf("durability said twice: %v", err)
	}
	var none *Engine
	if err := none.EnsureTopic(t.Context(), "v", queue.TopicConfig{}, every); !errors.Is(err, queue.ErrUnsupported) || none.Report().New {
		t.Errorf("another engine's: %v", err)
	}
}
