package embedded

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

func TestWaitIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 1, 0)
		idle := make(chan error, 1)
		go func() { idle <- b.WaitIdle(t.Context(), "g") }()
		still := func(why string) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-idle:
				t.Fatalf("idle (%v), but for %s", err, why)
			default:
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			err := b.WaitIdle(ctx, "g")
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"g"`) || !strings.Contains(err.Error(), why) {
				t.Fatalf("the reason is %q, want %q", err, why)
			}
		}
		still("does not exist")
		if _, err := From(b).engine.group(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		still("does not exist") // it has no cursors yet
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 2})
		still("0 in flight, 2 ready")
		x := m.one()
		still("1 in flight, 1 ready")
		m.settle(x, queue.SettleRetry, time.Hour)
		y := m.one()
		still("1 in flight, 0 ready")
		m.ack(y)
		still("waiting for a retry")
		m.leave()
		still("no members")
		m = join(t, b, queue.Group{Order: queue.Unordered})
		m.ack(m.one())
		if err := <-idle; err != nil {
			t.Error(err)
		}
		if err := b.WaitIdle(t.Context(), "g", "g"); err != nil {
			t.Error(err)
		}
	})
}

// TestWaitIdleOfGroupsThatFeedEachOther: neither is idle while a message goes round.
func TestWaitIdleOfGroupsThatFeedEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		ensure(t, b, "u", 1)
		left := 100
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		pass := func(from, to string) {
			ended <- b.Consume(ctx, queue.Group{Name: "of-" + from, Topics: []string{from}, Concurrency: 1}, func(ctx context.Context, d *queue.Delivery) error {
				if left--; left == 0 {
					return nil
				}
				_, err := b.Publish(ctx, queue.Message{Topic: to, Value: d.Value})
				return err
			})
		}
		go pass("t", "u")
		go pass("u", "t")
		fill(t, b, 1, 1, 0)
		if err := b.WaitIdle(ctx, "of-u", "of-t"); err != nil || left != 0 {
			t.Errorf("idle with %d rounds to go: %v", left, err)
		}
		stop()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitIdleEndsWithTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		idle := make(chan error)
		go func() { idle <- b.WaitIdle(t.Context(), "g") }()
		synctest.Wait()
		b.Close()
		if err := <-idle; !errors.Is(err, queue.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		ensure(t, b, "another", 1)
		fill(t, b, 2, 4, 1)
		m := join(t, b, queue.Group{Concurrency: 2})
		m.ack(m.one())
		m.settle(m.one(), queue.SettleRetry, time.Hour)
		m.one()
		s := b.Stats()
		wantTopic := queue.TopicStats{Name: "t", Partitions: 2, Records: 8, Published: 8, PublishedBytes: 8 * 6}
		if len(s.Topics) != 2 || s.Topics[0].Name != "another" || s.Topics[1] != wantTopic {
			t.Errorf("topics %+v", s.Topics)
		}
		want := queue.GroupStats{Name: "g", Members: 1, Ready: 5, InFlight: 1, Waiting: 1, Delivered: 3, Done: 1, Failed: 1}
		if len(s.Groups) != 1 || s.Groups[0] != want {
			t.Errorf("groups %+v, want %+v", s.Groups, want)
		}
		m.leave()
		if s := b.Stats().Groups[0]; s.Ready != 7 || s.Members != 0 || s.Idle != "no members" {
			t.Errorf("without members: %+v", s)
		}
	})
}
