package embedded_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// BenchmarkPublishWithIDs publishes messages of 128 bytes with an ID that is new, against the same without one.
func BenchmarkPublishWithIDs(b *testing.B) {
	for _, d := range []queue.Durability{queue.OS, queue.Synced} {
		b.Run(d.String(), func(b *testing.B) {
			br, err := embedded.Open(b.TempDir(), embedded.Options{})
			must(b, err)
			defer br.Close()
			must(b, br.EnsureTopic(b.Context(), "t", queue.TopicConfig{Durability: d}))
			must(b, br.EnsureTopic(b.Context(), "u", queue.TopicConfig{Durability: d}))
			var id atomic.Int64
			publish := func(topic string, named bool) contender {
				return func(n int) {
					for range n {
						m := queue.Message{Topic: topic, Value: make([]byte, 128)}
						if named {
							m.ID = fmt.Sprint("order-", id.Add(1))
						}
						_, err := br.Publish(context.Background(), m)
						must(b, err)
					}
				}
			}
			against(b, 128, publish("t", true), publish("u", false), "without")
		})
	}
}

// BenchmarkReopenWithIDs is the time from an open to the receipt of the first duplicate, in a topic that remembers a million IDs.
func BenchmarkReopenWithIDs(b *testing.B) {
	const ids = 1_000_000
	dir := b.TempDir()
	br, err := embedded.Open(dir, embedded.Options{})
	must(b, err)
	c := queue.TopicConfig{Durability: queue.OS, Dedup: queue.Dedup{Window: 24 * time.Hour, IDs: ids}}
	must(b, br.EnsureTopic(b.Context(), "t", c))
	ms := make([]queue.Message, 1000)
	for i := 0; i < ids; i += len(ms) {
		for k := range ms {
			ms[k] = queue.Message{Topic: "t", ID: fmt.Sprint(i + k)}
		}
		_, err := br.PublishBatch(b.Context(), ms...)
		must(b, err)
	}
	must(b, br.Close())
	b.ResetTimer()
	for range b.N {
		br, err := embedded.Open(dir, embedded.Options{})
		must(b, err)
		r, err := br.Publish(b.Context(), queue.Message{Topic: "t", ID: "777777"})
		must(b, err)
		b.StopTimer()
		if !r.Duplicate {
			b.Fatal("it is no duplicate")
		}
		must(b, br.Close())
		b.StartTimer()
	}
}
