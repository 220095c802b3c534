package queue

import (
	"context"
	"fmt"
	"maps"
)

// Route returns a Handler for a group of several topics: each message goes to the handler of its topic. A topic that has none is a permanent failure of its messages.
func Route(byTopic map[string]Handler) Handler {
	byTopic = maps.Clone(byTopic)
	return func(ctx context.Context, d *Delivery) error {
		h := byTopic[d.Position.Topic()]
		if h == nil {
			return &unroutedError{d.Position.Topic()}
		}
		return h(ctx, d)
	}
}

// unroutedError is the failure of a message whose topic has no handler.
type unroutedError struct{ topic string }

func (e *unroutedError) Error() string {
	return fmt.Sprintf("queue: the group has topic %q, and no handler for it", e.topic)
}

// Permanent makes retry.Classify find that no other attempt helps.
func (e *unroutedError) Permanent() bool { return true }
