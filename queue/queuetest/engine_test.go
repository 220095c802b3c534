package queuetest

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// lesser is an engine that claims only some of what the one below it can do. It neither reads nor counts.
type lesser struct {
	queue.Engine
	queue.EngineWaiter
	broker   *queue.Broker // that owns the engine below
	features []queue.Feature
}

func (e *lesser) Capabilities() queue.Capabilities {
	c := e.Engine.Capabilities()
	had := c.Features
	c.Features = map[queue.Feature]queue.Grade{}
	for _, f := range e.features {
		c.Features[f] = had[f]
	}
	return c
}

func (e *lesser) Publish(ctx context.Context, ms []queue.Message, rs []queue.Receipt) error {
	for i := range ms {
		if ms[i].ID != "" && !slices.Contains(e.features, queue.CanDedup) {
			return queue.ErrUnsupported
		}
	}
	return e.Engine.Publish(ctx, ms, rs)
}

func (e *lesser) Close(ctx context.Context) error { return e.broker.Shutdown(ctx) }

// TestEnginesThatCanLess runs the suite where much is refused, which the engines of this module never do. It is about what is refused, so it is short unless all
// is at its full size.
func TestEnginesThatCanLess(t *testing.T) {
	if os.Getenv("LEAT_LOOPS") == "ci" {
		t.Setenv("LEAT_LOOPS", "short")
	}
	for name, features := range map[string][]queue.Feature{
		"by key":       {queue.CanOrderByKey, queue.CanCommit},
		"by partition": {queue.CanOrderByPartition, queue.CanBatch, queue.CanCommit},
		"unordered":    {queue.CanShare, queue.CanCommit},
	} {
		t.Run(name, func(t *testing.T) {
			TestEngine(t, Harness{
				Bubble: true,
				Open: func(t testing.TB, o queue.Options) *queue.Broker {
					below, err := embedded.InMemory(embedded.Options{})
					if err != nil {
						t.Fatal(err)
					}
					e := below.Engine()
					b, err := queue.New(&lesser{e, e.(queue.EngineWaiter), below, features}, o)
					if err != nil {
						t.Fatal(err)
					}
					return b
				},
			})
		})
	}
}
