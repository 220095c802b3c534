package queuetest

import (
	"context"
	"errors"
	"testing"

	"github.com/leatmq/leat/queue"
)

// Consume runs a member of g in the background until t ends, and fails t if it ends with another error than that the broker was closed, or crashed. A
// topic that does not exist is such an error: it is not found out before Consume returns.
func Consume(t testing.TB, b *queue.Broker, g queue.Group, h queue.Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Consume(ctx, g, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, queue.ErrClosed) && !cutOff(err) {
			t.Errorf("consuming %q: %v", g.Name, err)
		}
	})
}

// FailFirst returns a handler that fails the first n attempts of each message with err, and leaves the others to h.
func FailFirst(n int, err error, h queue.Handler) queue.Handler {
	return func(ctx context.Context, d *queue.Delivery) error {
		if d.Attempt <= n {
			return err
		}
		return h(ctx, d)
	}
}
