package embedded_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// Each benchmark here puts a limit next to what is measured: a raw loop that does the least work for the same promise. Both run in turn in one
// run, since a disk drifts by half from minute to minute.

// benchSizes are the sizes of the messages' values.
var benchSizes = []int{1024, 128}

// maxSlices is how many slices of each kind there are in a run, and minSlice how many messages one has at least, but for the first runs.
const (
	maxSlices = 15
	minSlice  = 200
)

// contender is something that moves n messages.
type contender func(n int)

// against runs ours and limit in turn, and reports the medians of both rates, and of the ratios of slices that ran next to each other. Time, bytes
// and allocations are those of ours.
func against(b *testing.B, size int, ours contender, limit contender, limitName string) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(size))
	b.StopTimer()
	b.ResetTimer()
	parts := min(maxSlices, max(1, b.N/minSlice))
	var own, other, ratios []float64
	for i := range parts {
		n := b.N*(i+1)/parts - b.N*i/parts
		other = append(other, rate(n, limit))
		b.StartTimer()
		own = append(own, rate(n, ours))
		b.StopTimer()
		ratios = append(ratios, own[i]/other[i])
	}
	b.ReportMetric(median(own), "msg/s")
	b.ReportMetric(median(other), limitName+"-msg/s")
	b.ReportMetric(median(ratios), "ratio")
}

func rate(n int, c contender) float64 {
	began := time.Now()
	c(n)
	return float64(n) / time.Since(began).Seconds()
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}

// bySize runs f for each size of message.
func bySize(b *testing.B, f func(b *testing.B, size int)) {
	for _, size := range benchSizes {
		b.Run(strconv.Itoa(size)+"B", func(b *testing.B) { f(b, size) })
	}
}

// openBench opens a queue in a directory of the benchmark, and uses it until its journal and its memory are written over, as those of a raw log are.
func openBench(b *testing.B) *queue.Broker {
	b.Helper()
	br, err := embedded.Open(b.TempDir(), embedded.Options{Broker: queue.Options{DrainTime: 5 * time.Minute}})
	must(b, err)
	b.Cleanup(func() { must(b, br.Close()) })
	must(b, br.EnsureTopic(b.Context(), "warm-up", queue.TopicConfig{}))
	batch := make([]queue.Message, 16) // more than a block of memory takes would have blocks of its own, which nobody uses again
	for i := range batch {
		batch[i] = queue.Message{Topic: "warm-up", Value: make([]byte, 15<<10)}
	}
	for range warmUp / (16 * 15 << 10) {
		_, err := br.PublishBatch(b.Context(), batch...)
		must(b, err)
	}
	return br
}

// warmUp is more than what the journal takes before it begins to write over what it has, half of its 512 MiB.
const warmUp = 300 << 20

// benchTopic makes a topic and returns its name.
func benchTopic(b *testing.B, br *queue.Broker, partitions int, d queue.Durability) string {
	b.Helper()
	name := d.String() + "-" + strconv.Itoa(partitions)
	must(b, br.EnsureTopic(b.Context(), name, queue.TopicConfig{Partitions: partitions, Durability: d}))
	return name
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
