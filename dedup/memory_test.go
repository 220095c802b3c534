package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/dedup"
	"github.com/leatmq/leat/dedup/deduptest"
)

func newMemory(t testing.TB, o dedup.MemoryOptions) *dedup.Memory {
	t.Helper()
	m, err := dedup.NewMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMemoryConformance(t *testing.T) {
	deduptest.Test(t, deduptest.Harness[dedup.NoTx]{
		Open: func(t testing.TB) dedup.Store[dedup.NoTx] {
			return newMemory(t, dedup.MemoryOptions{Keys: 100, TTL: deduptest.TTL})
		},
		Advance: func(_ testing.TB, _ dedup.Store[dedup.NoTx], d time.Duration) { time.Sleep(d) },
		Around:  synctest.Test,
	})
}

// TestMemoryForgetsTheOldest: the limit on marks is one that is reached, and said.
func TestMemoryForgetsTheOldest(t *testing.T) {
	m, ran := newMemory(t, dedup.MemoryOptions{Keys: 10}), 0
	once := func(key int) {
		t.Helper()
		if _, err := m.Once(t.Context(), fmt.Sprint(key), func(context.Context, dedup.NoTx) error { ran++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for key := range 100 {
		once(key)
		once(max(0, key-9))
	}
	if s := m.Stats(); ran != 100 || s.Keys > 20 || s.Early == 0 {
		t.Errorf("ran %d times, %+v", ran, s)
	}
	if once(0); ran != 101 {
		t.Error("the oldest mark was kept")
	}
}

func TestMemoryIsFull(t *testing.T) {
	m := newMemory(t, dedup.MemoryOptions{InFlight: 1})
	_, err := m.Once(t.Context(), "a", func(ctx context.Context, _ dedup.NoTx) error {
		_, err := m.Once(ctx, "b", func(context.Context, dedup.NoTx) error { return nil })
		return err
	})
	if !errors.Is(err, dedup.ErrFull) {
		t.Errorf("a second key in flight: %v", err)
	}
}
