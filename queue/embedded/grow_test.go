package embedded_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// TestNobodyIsToldOfPartitionsThatAreNotThere: whoever is refused fewer partitions than another call gives at that moment, or sees the new number, can publish to them.
func TestNobodyIsToldOfPartitionsThatAreNotThere(t *testing.T) {
	const topics, rounds = 150, 20
	b, err := embedded.InMemory(embedded.Options{})
	must(t, err)
	defer b.Close()
	ctx, a := t.Context(), b.Admin()
	for i := range topics {
		name := fmt.Sprint("t-", i)
		must(t, b.EnsureTopic(ctx, name, queue.TopicConfig{Partitions: 1}))
		for n := 1; n < 2*rounds; n += 2 {
			given := make(chan error, 1)
			go func() { given <- a.AddPartitions(ctx, name, n+2) }()
			for {
				err := a.AddPartitions(ctx, name, n)
				refused := errors.As(err, new(*queue.ConfigError))
				if err != nil && !refused {
					t.Fatal(err)
				}
				info, err := a.Topic(ctx, name)
				must(t, err)
				if refused || info.Config.Partitions == n+2 {
					break
				}
				runtime.Gosched()
			}
			if _, err := b.Publish(ctx, queue.Message{Topic: name, Partition: queue.PinTo(n + 1)}); err != nil {
				t.Fatalf("partition %d, which was told of: %v", n+1, err)
			}
			must(t, <-given)
		}
	}
}
