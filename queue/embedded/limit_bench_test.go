package embedded

import (
	"testing"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
)

// BenchmarkLimit is what a limit costs a publish in memory and its acknowledgement: without one, with one of number, bytes and rate, with one of the broker beside it, and a publish that is refused.
func BenchmarkLimit(b *testing.B) {
	loose := queue.Limit{Messages: 1 << 40, Bytes: 1 << 50, Rate: 1e12, Burst: 1 << 30, WhenFull: backpressure.Reject}
	for _, x := range []struct {
		name  string
		limit queue.Limit
		whole backpressure.Weight
	}{
		{"none", queue.Limit{}, backpressure.Weight{}},
		{"topic", loose, backpressure.Weight{}},
		{"topic and broker", loose, backpressure.Weight{Count: 1 << 40}},
		{"refused", queue.Limit{Messages: 1, WhenFull: backpressure.Reject}, backpressure.Weight{}},
	} {
		b.Run(x.name, func(b *testing.B) { benchmarkLimit(b, x.limit, x.whole, x.name == "refused") })
	}
}

func benchmarkLimit(b *testing.B, l queue.Limit, whole backpressure.Weight, full bool) {
	b.ReportAllocs()
	br, err := InMemory(Options{Limit: whole})
	if err != nil {
		b.Fatal(err)
	}
	defer br.Close()
	if err := br.EnsureTopic(b.Context(), "t", queue.TopicConfig{Limit: l}); err != nil {
		b.Fatal(err)
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Concurrency: 1, InFlightBytes: 1 << 20}
	m, err := br.Engine().Join(b.Context(), (&testMember{}).membership(g))
	if err != nil {
		b.Fatal(err)
	}
	defer m.Leave(b.Context())
	message := queue.Message{Topic: "t", Value: make([]byte, 100)}
	if full {
		if _, err := br.Publish(b.Context(), message); err != nil {
			b.Fatal(err)
		}
	}
	var dst [1]queue.Handover
	var ss [1]queue.Settlement
	for b.Loop() {
		_, err := br.Publish(b.Context(), message)
		if full != (err != nil) {
			b.Fatal(err)
		}
		if full {
			continue
		}
		if _, err := m.Receive(b.Context(), dst[:], queue.ReceiveLimits{}); err != nil {
			b.Fatal(err)
		}
		ss[0] = queue.Settlement{Handle: dst[0].Handle, Outcome: queue.SettleDone}
		m.Settle(b.Context(), ss[:])
	}
}
