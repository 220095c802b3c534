package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

func ensureStrategy(t *testing.T, b *queue.Broker, topic string, s storage.Strategy) {
	t.Helper()
	if err := From(b).EnsureTopic(t.Context(), topic, queue.TopicConfig{}, s); err != nil {
		t.Fatal(err)
	}
}

// TestMemoryRefusesWhenFull: until a group has finished what is there.
func TestMemoryRefusesWhenFull(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		ensureStrategy(t, b, "t", storage.Strategy{Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: 1 << 20}})
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 1000})
		n := 0
		for {
			r, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, 10_000)})
			if err != nil {
				if !errors.Is(err, queue.ErrFull) || !errors.Is(err, storage.ErrFull) {
					t.Errorf("message %d: %v, want ErrFull", n, err)
				}
				break
			}
			if n++; r.Durability != queue.Memory || n > 110 {
				t.Fatalf("message %d of 10 kB: %v, in a megabyte", n, r.Durability)
			}
		}
		if got := len(m.drain()); got != n {
			t.Errorf("%d messages of %d", got, n)
		}
		if err := From(b).engine.flusher.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, 10_000)}); err != nil {
			t.Error("when all is done:", err)
		}
	})
}

// TestMemoryDropsOldest: what is handled and what is missed is everything.
func TestMemoryDropsOldest(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		const messages = 2000
		ensureStrategy(t, b, "t", storage.Strategy{
			Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: 1 << 20, WhenFull: storage.DropOldest},
		})
		var handled atomic.Int64
		h := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- b.Consume(ctx, queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 2}, func(context.Context, *queue.Delivery) error {
				<-h
				handled.Add(1)
				return nil
			})
		}()
		wantIdle(t, b) // what goes before there is a group is not missed
		for i := range messages {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Key: fmt.Append(nil, i%7), Value: make([]byte, 10_000)}); err != nil {
				t.Fatal(err)
			}
			if i == messages/2 {
				close(h)
			}
		}
		wantIdle(t, b)
		got := groupStats(b, "g")
		if got.Missed == 0 || got.Done != handled.Load() || got.Done+got.Missed != messages {
			t.Errorf("%+v: of %d messages", got, messages)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestHeldForGroups: a group holds its messages from the moment that it exists, before it has finished any.
func TestHeldForGroups(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		ensureStrategy(t, b, "t", storage.Strategy{Cleanup: storage.CleanupPolicy{MaxRecords: 1, HoldForGroups: true}})
		clean := func() int64 {
			t.Helper()
			if err := From(b).Clean(t.Context()); err != nil {
				t.Fatal(err)
			}
			return b.Stats().Topics[0].Records
		}
		store(t, b, 5)
		if got := clean(); got != 1 {
			t.Errorf("%d records without groups, want 1", got)
		}
		m := join(t, b, queue.Group{})
		store(t, b, 9)
		if got := clean(); got != 10 {
			t.Errorf("%d records, want 10: a group has done none", got)
		}
		for range 3 {
			m.ack(m.one())
		}
		m.leave()
		if got := clean(); got != 7 {
			t.Errorf("%d records, want 7", got)
		}
		if err := b.Admin().DeleteGroup(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		if got := clean(); got != 1 {
			t.Errorf("%d records, want 1: the group is deleted", got)
		}
		wantTold(t, m)
	})
}
