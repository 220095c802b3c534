package embedded_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// How messages are paced: so far apart that each finds nothing of the one before, so many in a slice, of so many bytes.
const (
	latencyPace  = 2 * time.Millisecond // timers are late by up to one
	latencySlice = 250
	latencyBytes = 128
)

// BenchmarkLatency is the time from a publish to the handler of a group, of messages that come one by one: in memory against a channel that carries copies, in the OS against a goroutine that writes a
// log and one that reads it back and checks sums. It reports medians over slices that take turns.
func BenchmarkLatency(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		br, err := embedded.InMemory(embedded.Options{})
		must(b, err)
		b.Cleanup(func() { must(b, br.Close()) })
		pacedAgainst(b, throughBroker(b, br, queue.Memory), chanCarrier(b), "channel")
	})
	b.Run("OS", func(b *testing.B) { pacedAgainst(b, throughBroker(b, openBench(b), queue.OS), logCarrier(b), "raw") })
}

// carrier takes a message and has arrived called with it, or a copy, elsewhere.
type carrier struct {
	begin   func(n int) // of a slice of so many; nil: nothing is to be done
	send    func(message []byte)
	arrived *atomic.Pointer[func(message []byte)]
}

func newCarrier() carrier { return carrier{arrived: &atomic.Pointer[func([]byte)]{}} }

func (c *carrier) arrive(message []byte) { (*c.arrived.Load())(message) }

// throughBroker publishes to a topic of eight partitions that a group reads by key.
func throughBroker(b *testing.B, br *queue.Broker, d queue.Durability) carrier {
	topic := benchTopic(b, br, benchPartitions, d)
	c, ctx := newCarrier(), context.Background()
	untilEnd(b, func(ctx context.Context) error {
		return br.Consume(ctx, queue.Group{Name: "latency", Topics: []string{topic}}, func(_ context.Context, d *queue.Delivery) error {
			c.arrive(d.Value)
			return nil
		})
	})
	c.send = func(message []byte) {
		if _, err := br.Publish(ctx, queue.Message{Topic: topic, Key: message[:8], Value: message}); err != nil {
			b.Error(err)
		}
	}
	return c
}

// untilEnd runs f until the benchmark ends.
func untilEnd(b *testing.B, f func(ctx context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	b.Cleanup(func() {
		stop()
		must(b, <-ended)
	})
}

func chanCarrier(b *testing.B) carrier {
	c, through := newCarrier(), make(chan []byte, 1024)
	go func() {
		for message := range through {
			c.arrive(message)
		}
	}()
	b.Cleanup(func() { close(through) })
	c.send = func(message []byte) { through <- append([]byte(nil), message...) }
	return c
}

// logCarrier writes messages behind each other, and wakes a reader.
func logCarrier(b *testing.B) carrier {
	c, p := newCarrier(), &rawPipe{rawLog: newRawLog(b), positions: newRawLog(b), message: make([]byte, latencyBytes), atOnce: 1}
	p.changed.L = &p.mu
	p.arrive = c.arrive
	var reader sync.WaitGroup
	c.begin = func(n int) {
		reader.Wait()
		reader.Go(func() { p.consume(n) })
	}
	c.send = func(message []byte) {
		p.buf = p.frame(p.buf[:0], message, 0)
		p.append(p.buf)
	}
	return c
}

// pacedAgainst runs slices of both in turn.
func pacedAgainst(b *testing.B, ours, limit carrier, limitName string) {
	b.ReportAllocs()
	b.StopTimer()
	b.ResetTimer()
	type quantiles struct{ own, other, ratios []float64 }
	var mid, late quantiles
	add := func(q *quantiles, own, other time.Duration) {
		q.own = append(q.own, own.Seconds()*1e6)
		q.other = append(q.other, other.Seconds()*1e6)
		q.ratios = append(q.ratios, float64(own)/float64(other))
	}
	parts := min(maxSlices, max(1, b.N/latencySlice))
	for i := range parts {
		n := b.N*(i+1)/parts - b.N*i/parts
		theirs := paced(n, limit)
		b.StartTimer()
		took := paced(n, ours)
		b.StopTimer()
		add(&mid, took[n/2], theirs[n/2])
		add(&late, took[n*99/100], theirs[n*99/100])
	}
	for name, q := range map[string]*quantiles{"p50": &mid, "p99": &late} {
		b.ReportMetric(median(q.own), name+"-us")
		b.ReportMetric(median(q.other), limitName+"-"+name+"-us")
		b.ReportMetric(median(q.ratios), name+"-times")
	}
}

// paced sends n messages and returns how long each was on its way, sorted.
func paced(n int, c carrier) []time.Duration {
	var all sync.WaitGroup
	all.Add(n)
	sent, took := make([]time.Time, n), make([]time.Duration, n)
	arrived := func(message []byte) {
		i := binary.LittleEndian.Uint64(message)
		took[i] = time.Since(sent[i])
		all.Done()
	}
	c.arrived.Store(&arrived)
	if c.begin != nil {
		c.begin(n)
	}
	message := make([]byte, latencyBytes)
	began := time.Now()
	for i := range n {
		<-time.After(time.Until(began.Add(time.Duration(i) * latencyPace)))
		binary.LittleEndian.PutUint64(message, uint64(i))
		sent[i] = time.Now()
		c.send(message)
	}
	all.Wait()
	slices.Sort(took)
	return took
}
