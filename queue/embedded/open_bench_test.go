package embedded_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// BenchmarkReopen is the time to open what was closed: a gigabyte of messages, 10 with LEAT_LOOPS=full; and 10,000 topics with a message in each.
func BenchmarkReopen(b *testing.B) {
	gib := 1
	if os.Getenv("LEAT_LOOPS") == "full" {
		gib = 10
	}
	b.Run(strconv.Itoa(gib)+" GiB", func(b *testing.B) { reopen(b, func(br *queue.Broker) { store(b, br, gib) }) })
	b.Run("10000 topics", func(b *testing.B) { reopen(b, func(br *queue.Broker) { topics(b, br, 10_000) }) })
}

func reopen(b *testing.B, fill func(br *queue.Broker)) {
	dir := b.TempDir()
	br, err := embedded.Open(dir, embedded.Options{Broker: queue.Options{DrainTime: 5 * time.Minute}}) // of 10,000 new files
	must(b, err)
	fill(br)
	must(b, br.Close())
	openClose(b, func(int) (*queue.Broker, error) { return embedded.Open(dir, embedded.Options{}) })
	b.ReportMetric(float64(dirBytes(b, dir))/(1<<20), "dir-MiB")
}

// store publishes so many GiB in messages of 16 KiB.
func store(b *testing.B, br *queue.Broker, gib int) {
	must(b, br.EnsureTopic(b.Context(), "stored", queue.TopicConfig{Partitions: 8, Durability: queue.OS}))
	batch := make([]queue.Message, 64)
	for i := range batch {
		batch[i] = queue.Message{Topic: "stored", Value: make([]byte, 16<<10)}
	}
	for range gib << 10 {
		_, err := br.PublishBatch(context.Background(), batch...)
		must(b, err)
	}
}

// topics makes n topics with a message in each, many at once, since each waits for the disk.
func topics(b *testing.B, br *queue.Broker, n int) {
	var wg sync.WaitGroup
	for g := range publishers {
		wg.Go(func() {
			for i := g; i < n; i += publishers {
				name := fmt.Sprintf("topic-%d", i)
				if err := br.EnsureTopic(b.Context(), name, queue.TopicConfig{Durability: queue.OS}); err != nil {
					b.Error(err)
				}
				if _, err := br.Publish(b.Context(), queue.Message{Topic: name, Value: make([]byte, 100)}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
