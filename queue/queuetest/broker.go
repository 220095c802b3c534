package queuetest

import (
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// Broker returns a broker in memory with the topics, each of one partition. It is closed with t, which fails if a
// handler does not return by then or if closing leaves a goroutine behind. Closing it earlier does no harm.
func Broker(t testing.TB, topics ...string) *queue.Broker {
	t.Helper()
	return ensured(t, watched(t, func() *queue.Broker {
		b, err := embedded.InMemory(embedded.Options{})
		if err != nil {
			t.Fatal("opening a broker: ", err)
		}
		return b
	}), topics)
}

func ensured(t testing.TB, b *queue.Broker, topics []string) *queue.Broker {
	t.Helper()
	for _, topic := range topics {
		if err := b.EnsureTopic(t.Context(), topic, queue.TopicConfig{}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}
