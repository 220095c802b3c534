package queue_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/leatmq/leat/queue"
)

func TestWrapFromTheOutside(t *testing.T) {
	var calls []string
	named := func(name string) queue.Middleware {
		return func(h queue.Handler) queue.Handler {
			return func(ctx context.Context, d *queue.Delivery) error {
				calls = append(calls, name)
				return h(ctx, d)
			}
		}
	}
	failed := errors.New("failed")
	h := queue.Wrap(func(context.Context, *queue.Delivery) error {
		calls = append(calls, "handler")
		return failed
	}, named("first"), nil, named("second"))
	if err := h(t.Context(), queue.NewDelivery(queue.Record{})); err != failed {
		t.Errorf("returned %v, want the handler's error", err)
	}
	if want := []string{"first", "second", "handler"}; !slices.Equal(calls, want) {
		t.Errorf("called %v, want %v", calls, want)
	}
}

func TestWrapOfNothing(t *testing.T) {
	if queue.Wrap(nil, func(h queue.Handler) queue.Handler { return h }) != nil {
		t.Error("Consume cannot tell that there is no handler")
	}
}
