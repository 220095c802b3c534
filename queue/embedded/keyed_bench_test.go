package embedded_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// What BenchmarkKeyedWork works with.
const (
	workTime = 100 * time.Microsecond
	workers  = 64
	workKeys = 10_000
)

// BenchmarkKeyedWork has handlers work for 100 us, 64 at once, one at a time of each of 10,000 keys, against 64 goroutines that take copies from a channel and work as long. Handlers compute, or wait; where all
// wait a timer of an idle process may be a millisecond late, and the channel has nothing else to do.
func BenchmarkKeyedWork(b *testing.B) {
	for _, how := range []struct {
		name string
		work func()
	}{{"compute", compute}, {"wait", func() { <-time.After(workTime) }}} {
		b.Run(how.name, func(b *testing.B) {
			br, err := embedded.InMemory(embedded.Options{})
			must(b, err)
			b.Cleanup(func() { must(b, br.Close()) })
			p := keyedWork(b, br, how.work)
			bySize(b, func(b *testing.B, size int) {
				against(b, size, p.move(size), channelOfWorkers(size, how.work), "channel")
			})
		})
	}
}

func compute() {
	for began := time.Now(); time.Since(began) < workTime; {
	}
}

func keyedWork(b *testing.B, br *queue.Broker, work func()) *pipe {
	p := &pipe{b: b, broker: br, topic: benchTopic(b, br, benchPartitions, queue.Memory), atOnce: 100, all: make(chan struct{}, 1)}
	for i := range workKeys {
		p.keys = append(p.keys, fmt.Appendf(nil, "key-%d", i))
	}
	untilEnd(b, func(ctx context.Context) error {
		return br.Consume(ctx, queue.Group{Name: "work", Topics: []string{p.topic}, Concurrency: workers}, func(context.Context, *queue.Delivery) error {
			work()
			p.handled(1)
			return nil
		})
	})
	return p
}

func channelOfWorkers(size int, work func()) contender {
	value := make([]byte, size)
	return func(n int) {
		c := make(chan []byte, 1024)
		var working sync.WaitGroup
		for range workers {
			working.Go(func() {
				for range c {
					work()
				}
			})
		}
		for range n {
			c <- append([]byte(nil), value...)
		}
		close(c)
		working.Wait()
	}
}
