package embedded

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

// BenchmarkDelayedPublishWithID publishes messages one by one, delayed, with IDs that are new, and both. What the index of delayed messages takes to know of them is counted, too.
func BenchmarkDelayedPublishWithID(b *testing.B) {
	for _, c := range []struct {
		name           string
		delayed, named bool
	}{{"neither", false, false}, {"named", false, true}, {"delayed", true, false}, {"both", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			broker, err := Open(b.TempDir(), Options{MemoryBytes: 64 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer broker.Close()
			if err := broker.EnsureTopic(context.Background(), "t", queue.TopicConfig{Durability: queue.OS, Partitions: 4}); err != nil {
				b.Fatal(err)
			}
			m := queue.Message{Topic: "t", Value: make([]byte, 100)}
			if c.delayed {
				m.NotBefore = time.Now().Add(24 * time.Hour)
			}
			ids := make([]string, b.N)
			for i := range ids {
				ids[i] = strconv.Itoa(i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if c.named {
					m.ID = ids[i]
				}
				if _, err := broker.Publish(context.Background(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
