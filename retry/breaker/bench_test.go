package breaker_test

import (
	"context"
	"testing"

	"github.com/leatmq/leat/retry/breaker"
)

func BenchmarkDo(b *testing.B) {
	cb, err := breaker.New(breaker.Options{FailureRatio: 0.5})
	if err != nil {
		b.Fatal(err)
	}
	ctx, fn := b.Context(), func(context.Context) error { return nil }
	b.Run("closed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := cb.Do(ctx, fn); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("closed, in parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				_ = cb.Do(ctx, fn)
			}
		})
	})
}

func TestCallsDoNotAllocate(t *testing.T) {
	b := newBreaker(t, breaker.Options{FailureRatio: 1})
	fn := func(context.Context) error { return nil }
	n := testing.AllocsPerRun(1000, func() {
		_ = b.Do(t.Context(), fn)
		if call, err := b.Allow(); err == nil {
			call.Done(nil)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
