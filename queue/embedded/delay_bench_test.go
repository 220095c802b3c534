package embedded

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

// BenchmarkDelayedPublish publishes messages that are not due for long, one by one, while so many others wait: the price is to be the same. Of what waits it tells the memory, after a
// collection of garbage, beyond what ten take. LEAT_DELAYED adds a number of messages that wait.
func BenchmarkDelayedPublish(b *testing.B) {
	counts := []int{10_000, 1_000_000}
	if n, err := strconv.Atoi(os.Getenv("LEAT_DELAYED")); err == nil {
		counts = append(counts, n)
	}
	for _, n := range counts {
		b.Run(fmt.Sprintf("pending=%d", n), func(b *testing.B) { delayedPublish(b, n) })
	}
}

func delayedPublish(b *testing.B, n int) {
	broker, err := Open(b.TempDir(), Options{MemoryBytes: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	ctx := context.Background()
	if err := broker.EnsureTopic(ctx, "t", queue.TopicConfig{Durability: queue.OS, Partitions: 4}); err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 100)
	base := time.Now().Add(24 * time.Hour)
	message := func(i int) queue.Message {
		return queue.Message{Topic: "t", Value: value, NotBefore: base.Add(time.Duration(i*7919%1_000_003) * time.Second / 100)}
	}
	pend := func(from, to int) {
		var ms []queue.Message
		for i := from; i < to; i++ {
			if ms = append(ms, message(i)); len(ms) == 1000 || i == to-1 {
				if _, err := broker.PublishBatch(ctx, ms...); err != nil {
					b.Fatal(err)
				}
				ms = ms[:0]
			}
		}
		settleDelays(b, broker, int64(to))
	}
	pend(0, 10)
	before := heapInUse()
	start := time.Now()
	pend(10, n)
	rate, heap := float64(n)/time.Since(start).Seconds(), float64(heapInUse()-before)/(1<<20)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := broker.Publish(ctx, message(i)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(rate, "sorted/s")
	b.ReportMetric(heap, "MiB")
}

// settleDelays waits until n messages are known to be delayed, and nothing is being sorted.
func settleDelays(b *testing.B, broker *queue.Broker, n int64) {
	b.Helper()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		s := broker.Stats()
		if s.DelayError != "" {
			b.Fatal(s.DelayError)
		}
		if s.Topics[0].Delayed == n && quiet(broker) {
			return
		}
	}
	b.Fatalf("%d messages are not delayed after a long time: %+v", n, broker.Stats())
}

func quiet(broker *queue.Broker) bool {
	for _, x := range broker.Engine().(*engine).delays.all() {
		if x.Stats().Writing > 0 {
			return false
		}
	}
	return true
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
