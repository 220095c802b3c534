package embedded

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

// TestWaitIdleWaitsForResume: a group whose cursor has passed everything is not idle before Resume has said that it must go back.
func TestWaitIdleWaitsForResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 3, 0)
		m := join(t, b, queue.Group{Order: queue.ByPartition})
		m.drain()
		m.leave()
		if err := b.WaitIdle(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}

		asked, answer := make(chan struct{}), make(chan queue.Position)
		m = join(t, b, queue.Group{Order: queue.ByPartition, Resume: func(context.Context, string, int) (queue.Position, error) {
			close(asked)
			return <-answer, nil
		}})
		again := make(chan []string)
		go func() { again <- m.drain() }()
		<-asked
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := b.WaitIdle(ctx, "g"); err == nil || !strings.Contains(err.Error(), "resuming") {
			t.Errorf("while Resume runs: %v, want an error that says resuming", err)
		}
		answer <- queue.Position{}
		if got := <-again; len(got) != 3 {
			t.Errorf("after Resume: %q, want all three again", got)
		}
		if err := b.WaitIdle(t.Context(), "g"); err != nil {
			t.Error(err)
		}
	})
}
