package embedded_test

import (
	"context"
	"testing"

	"github.com/leatmq/leat/queue"
)

// BenchmarkPublisher is one goroutine that gives messages to a Publisher and flushes it at the end, against one that publishes 100 a call.
func BenchmarkPublisher(b *testing.B) {
	br := openBench(b)
	for _, d := range []queue.Durability{queue.Synced, queue.OS} {
		topic := benchTopic(b, br, 1, d)
		b.Run(d.String(), func(b *testing.B) {
			bySize(b, func(b *testing.B, size int) {
				value := make([]byte, size)
				against(b, size, inBackground(b, br, topic, value), batches(b, br, topic, value), "100-a-call")
			})
		})
	}
}

// inBackground publishes by a Publisher.
func inBackground(b *testing.B, br *queue.Broker, topic string, value []byte) contender {
	p, err := br.Publisher(queue.PublisherOptions{})
	must(b, err)
	b.Cleanup(func() { must(b, p.Close(context.Background())) })
	return func(n int) {
		for range n {
			if _, err := p.Go(b.Context(), queue.Message{Topic: topic, Value: value}); err != nil {
				b.Fatal(err)
			}
		}
		must(b, p.Flush(b.Context()))
	}
}
