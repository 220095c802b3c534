package batch_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/leatmq/leat/queue/batch"
)

// BenchmarkProcessor is what an item costs on its way to a function that does nothing, in batches of 100: added and not waited for, without keys and with 1,000; and in a channel of
// as many items whose reader makes batches of 100.
func BenchmarkProcessor(b *testing.B) {
	nothing := func(context.Context, []int) []error { return nil }
	for name, key := range map[string]func(int) string{"no keys": nil, "1000 keys": keyOf()} {
		b.Run(name, func(b *testing.B) {
			p, err := batch.New(batch.Config[int]{Key: key}, nothing)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := p.Add(b.Context(), i); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
			s := p.Stats()
			b.ReportMetric(float64(s.Items)/float64(s.Batches), "items/batch")
		})
	}
	b.Run("channel", func(b *testing.B) {
		b.ReportAllocs()
		c, done := make(chan int, 10_000), make(chan struct{})
		go func() {
			defer close(done)
			items := make([]int, 0, 100)
			for i := range c {
				if items = append(items, i); len(items) == cap(items) {
					nothing(b.Context(), items)
					items = items[:0]
				}
			}
		}()
		for i := 0; b.Loop(); i++ {
			c <- i
		}
		close(c)
		<-done
	})
}

func keyOf() func(int) string {
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	return func(i int) string { return keys[i%len(keys)] }
}
