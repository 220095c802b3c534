package embedded_test

import (
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// BenchmarkOpen is the time from a path to a queue that takes messages.
func BenchmarkOpen(b *testing.B) {
	b.Run("fresh", func(b *testing.B) {
		dirs := make([]string, b.N)
		for i := range dirs {
			dirs[i] = b.TempDir()
		}
		openClose(b, func(i int) (*queue.Broker, error) { return embedded.Open(dirs[i], embedded.Options{}) })
		b.ReportMetric(float64(dirBytes(b, dirs[0])), "dir-B")
	})
	b.Run("existing", func(b *testing.B) {
		dir := b.TempDir()
		br, err := embedded.Open(dir, embedded.Options{})
		must(b, err)
		idleTopics(b, br, 100)
		must(b, br.Close())
		openClose(b, func(int) (*queue.Broker, error) { return embedded.Open(dir, embedded.Options{}) })
	})
	b.Run("memory", func(b *testing.B) {
		openClose(b, func(int) (*queue.Broker, error) { return embedded.InMemory(embedded.Options{}) })
	})
}

// openClose measures open, and not the closing of what it opened.
func openClose(b *testing.B, open func(i int) (*queue.Broker, error)) {
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		br, err := open(i)
		b.StopTimer()
		must(b, err)
		must(b, br.Close())
		b.StartTimer()
	}
}

// BenchmarkIdle reports the memory of topics and groups in which nothing happens.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		br, err := embedded.InMemory(embedded.Options{})
		must(b, err)
		b.ReportMetric(float64(idleTopics(b, br, 10_000)), "B/topic")
		b.ReportMetric(float64(idleGroups(b, br, 1000)), "B/group")
		must(b, br.Close())
	}
}
