package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/dedup"
	"github.com/leatmq/leat/dedup/deduptest"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// TestMarksConformance holds the store of marks to what package dedup asks of every store, in memory and on disk.
func TestMarksConformance(t *testing.T) {
	brokers := map[dedup.Store[*queue.Tx]]*queue.Broker{}
	harness := func(open func(t testing.TB) *queue.Broker) deduptest.Harness[*queue.Tx] {
		return deduptest.Harness[*queue.Tx]{
			Open: func(t testing.TB) dedup.Store[*queue.Tx] {
				b := open(t)
				if err := b.EnsureTopic(context.Background(), "out", queue.TopicConfig{Partitions: 2}); err != nil {
					t.Fatal(err)
				}
				s := From(b).Marks("test", deduptest.TTL)
				brokers[s] = b
				return s
			},
			Advance: func(_ testing.TB, _ dedup.Store[*queue.Tx], d time.Duration) { time.Sleep(d) },
			Write: func(_ context.Context, tx *queue.Tx, value string) error {
				return tx.Publish(queue.Message{Topic: "out", Value: []byte(value)})
			},
			Written: func(t testing.TB, s dedup.Store[*queue.Tx]) (values []string) {
				for r, err := range brokers[s].Read(context.Background(), queue.Range{Topic: "out"}) {
					if err != nil {
						t.Error(err)
						break
					}
					values = append(values, string(r.Value))
				}
				return values
			},
			Around: synctest.Test,
		}
	}
	t.Run("memory", func(t *testing.T) {
		deduptest.Test(t, harness(func(t testing.TB) *queue.Broker {
			b, err := InMemory(Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			return b
		}))
	})
	t.Run("disk", func(t *testing.T) {
		deduptest.Test(t, harness(func(t testing.TB) *queue.Broker { return ondisk(t, disktest.New()) }))
	})
}

func TestMarksStoreRefuses(t *testing.T) {
	b := memory(t, 1)
	never := func(context.Context, *queue.Tx) error { t.Error("ran"); return nil }
	var wrong *dedup.OptionsError
	if _, err := From(b).Marks("s", time.Millisecond).Once(t.Context(), "k", never); !errors.As(err, &wrong) {
		t.Errorf("a time to live of a millisecond: %v", err)
	}
	var fault *queue.ConfigError
	if _, err := From(b).Marks("no/scope", 0).Once(t.Context(), "k", never); !errors.As(err, &fault) {
		t.Errorf("a scope that cannot be: %v", err)
	}
	var none *Engine
	if _, err := none.Marks("s", 0).Once(t.Context(), "k", never); !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("another engine's: %v", err)
	}
	b.Close()
	if _, err := From(b).Marks("s", 0).Once(t.Context(), "k", never); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestMarksThroughCrashes has transactions mark and publish, kills the queue at operations that change the disk, and wants of each mark that its message is there, once, or neither.
func TestMarksThroughCrashes(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 2)
	type image struct {
		disk  *disktest.Disk
		acked int
		where string
	}
	var images []image
	var acked atomic.Int64
	transact := func(b *queue.Broker, i int) (first bool, err error) {
		_, err = b.Transact(context.Background(), func(tx *queue.Tx) error {
			var err error
			if first, err = tx.Mark(context.Background(), "s", fmt.Sprint(i)); err != nil || !first {
				return err
			}
			return tx.Publish(queue.Message{Topic: "t", Value: fmt.Append(nil, i), Partition: queue.PinTo(i % 2)})
		})
		return first, err
	}
	const n = 12
	seed := uint64(0)
	var mu sync.Mutex
	d.Hook(func(op disktest.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Changes {
			seed++
			mode, acked := int(seed)%disktest.Modes(), int(acked.Load())
			images = append(images, image{d.PowerLost(mode, seed), acked, fmt.Sprintf("power lost in mode %d (seed %d) at %s", mode, seed, op.Name)})
		}
		return nil
	})
	for i := range n {
		if first, err := transact(b, i); !first || err != nil {
			t.Fatalf("%v, %v", first, err)
		}
		acked.Add(1)
		if i == n/2 {
			indexNow(t, b)
		}
	}
	d.Hook(nil)
	for _, im := range images {
		b, err := openOn(im.disk)
		if err != nil {
			t.Fatalf("%s: %v", im.where, err)
		}
		for i := range n {
			if first, err := transact(b, i); err != nil || first && i < im.acked {
				t.Errorf("%s: %d, of which %d were committed: first %v, %v", im.where, i, im.acked, first, err)
			}
		}
		if got := stored(t, b); got != n {
			t.Errorf("%s: %d messages, want %d", im.where, got, n)
		}
		b.Close()
	}
	if len(images) < n {
		t.Errorf("%d crash points", len(images))
	}
	if names := b.Stats().Topics; len(names) != 1 || strings.HasPrefix(names[0].Name, internalPrefix) {
		t.Errorf("%+v", names)
	}
}

// TestKeepMarks: a scope forgets its marks when it is told to, before and behind them, in memory and over an open; others forget theirs after a day.
func TestKeepMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		mark := func(scope string) bool {
			t.Helper()
			first := false
			if _, err := b.Transact(t.Context(), func(tx *queue.Tx) (err error) {
				first, err = tx.Mark(t.Context(), scope, "key")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return first
		}
		if err := From(b).KeepMarks(t.Context(), "short", time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, scope := range []string{"short", "other", "late"} {
			if !mark(scope) {
				t.Errorf("%s: the first mark is not the first", scope)
			}
		}
		if err := From(b).KeepMarks(t.Context(), "late", 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		if mark("short") {
			t.Error("a mark is forgotten too early")
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = ondisk(t, d)
		if mark("short") {
			t.Error("a mark is forgotten too early, behind an open")
		}
		time.Sleep(2 * time.Minute)
		if !mark("short") || mark("late") || mark("other") {
			t.Error("after an hour")
		}
		time.Sleep(time.Hour)
		if !mark("late") || mark("other") {
			t.Error("after two hours")
		}
		time.Sleep(23 * time.Hour)
		if !mark("other") {
			t.Error("after a day")
		}
		var wrong *dedup.OptionsError
		if err := From(b).KeepMarks(t.Context(), "short", time.Millisecond); !errors.As(err, &wrong) {
			t.Errorf("a millisecond: %v", err)
		}
		var config *queue.ConfigError
		if err := From(b).KeepMarks(t.Context(), "", time.Hour); !errors.As(err, &config) {
			t.Errorf("no scope: %v", err)
		}
	})
}
