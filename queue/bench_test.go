package queue

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
)

// What the broker itself costs, over an engine that does nothing.

func BenchmarkPublish(b *testing.B) {
	br := open(b, newDiscardEngine(), Options{})
	ctx := b.Context()
	m := Message{Topic: "t", Key: []byte("key"), Value: make([]byte, 1024)}
	b.Run("1KiB", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(m.Size()))
		for b.Loop() {
			if _, err := br.Publish(ctx, m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("1KiB/parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(m.Size()))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := br.Publish(ctx, m); err != nil {
					b.Error(err)
				}
			}
		})
	})
	batch := make([]Message, 100)
	for i := range batch {
		batch[i] = m
	}
	b.Run("1KiB/100 a call", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(100 * int64(m.Size()))
		for b.Loop() {
			if _, err := br.PublishBatch(ctx, batch...); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkConsume(b *testing.B) {
	for _, workers := range []int{1, 2, 16} {
		b.Run(fmt.Sprintf("1KiB/%d workers", workers), func(b *testing.B) {
			g := group
			g.Concurrency = workers
			benchmarkConsume(b, func(br *Broker, ctx context.Context, handled func(int)) error {
				return br.Consume(ctx, g, func(context.Context, *Delivery) error { handled(1); return nil })
			})
		})
	}
	b.Run("1KiB/2 workers, 100 a call", func(b *testing.B) {
		g := group
		g.Concurrency = 2
		benchmarkConsume(b, func(br *Broker, ctx context.Context, handled func(int)) error {
			return br.ConsumeBatch(ctx, g, func(_ context.Context, ds []*Delivery) []error { handled(len(ds)); return nil })
		})
	})
}

// benchmarkConsume runs consume until b.N messages were handled.
func benchmarkConsume(b *testing.B, consume func(*Broker, context.Context, func(int)) error) {
	e := newDiscardEngine()
	br := open(b, e, Options{})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var todo atomic.Int64
	todo.Store(int64(b.N))
	handled := func(n int) {
		if todo.Add(-int64(n)) <= 0 {
			cancel()
		}
	}
	b.ReportAllocs()
	b.SetBytes(int64(e.record.Size()))
	b.ResetTimer()
	if err := consume(br, ctx, handled); err != nil {
		b.Fatal(err)
	}
}
