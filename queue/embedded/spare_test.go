package embedded

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

// fillMemory opens a queue in memory and publishes messages, made by m, until there is no room. It returns how many there are.
func fillMemory(t *testing.T, m func(i int) queue.Message) (*queue.Broker, int) {
	t.Helper()
	b, err := InMemory(Options{MemoryBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	ensure(t, b, "t", 1)
	for n := 0; ; n++ {
		if _, err := b.Publish(t.Context(), m(n)); errors.Is(err, queue.ErrFull) {
			return b, n
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeadLetterOfAFullMemory: a letter needs room that only its own ack makes.
func TestDeadLetterOfAFullMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, n := fillMemory(t, func(i int) queue.Message {
			return queue.Message{Topic: "t", Key: fmt.Append(nil, i), Value: make([]byte, 10_000)}
		})
		g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByPartition}
		const letters = 100
		failed, done := 0, 0
		stop := consume(t, b, g, func(context.Context, *queue.Delivery) error {
			if failed < letters {
				failed++
				return retry.Permanent(errBroken)
			}
			done++
			return nil
		})
		wantIdle(t, b)
		stop()
		stored := 0
		for _, err := range b.Read(t.Context(), queue.Range{Topic: "t.dead"}) {
			if err != nil {
				t.Fatal(err)
			}
			stored++
		}
		if s := groupStats(b, "g"); done != n-letters || s.Failed != 0 || stored != letters {
			t.Errorf("%d of %d are done, %d letters; %+v", done, n, stored, s)
		}
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, 10_000)}); err != nil {
			t.Error("when there is room:", err)
		}
	})
}

// TestDelaysOfAFullMemory: what is delayed needs room to become due that only this makes.
func TestDelaysOfAFullMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, n := fillMemory(t, func(int) queue.Message {
			return queue.Message{Topic: "t", Value: make([]byte, 10_000), NotBefore: time.Now().Add(time.Hour)}
		})
		done := 0
		stop := consume(t, b, queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 1}, func(context.Context, *queue.Delivery) error { done++; return nil })
		time.Sleep(2 * time.Hour)
		stop()
		if done != n {
			t.Errorf("%d of %d are done: %+v", done, n, b.Stats())
		}
	})
}
