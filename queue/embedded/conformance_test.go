package embedded_test

import (
	"sync"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/queue/queuetest"
)

func TestConformanceInMemory(t *testing.T) {
	queuetest.TestEngine(t, queuetest.Harness{
		Bubble: true,
		Delete: deleteTopic,
		Open: func(t testing.TB, o queue.Options) *queue.Broker {
			b, err := embedded.InMemory(embedded.Options{Broker: o})
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	})
}

func TestConformanceOnDisk(t *testing.T) {
	var dirs sync.Map // from a broker to its directory
	open := func(t testing.TB, dir string, o queue.Options) *queue.Broker {
		b, err := embedded.Open(dir, embedded.Options{Broker: o})
		if err != nil {
			t.Fatal(err)
		}
		dirs.Store(b, dir)
		return b
	}
	queuetest.TestEngine(t, queuetest.Harness{
		Delete: deleteTopic,
		Open:   func(t testing.TB, o queue.Options) *queue.Broker { return open(t, t.TempDir(), o) },
		Restart: func(t testing.TB, b *queue.Broker, o queue.Options) *queue.Broker {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			dir, _ := dirs.Load(b)
			return open(t, dir.(string), o)
		},
	})
}

func deleteTopic(t testing.TB, b *queue.Broker, topic string) {
	if err := embedded.From(b).DeleteTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
}
