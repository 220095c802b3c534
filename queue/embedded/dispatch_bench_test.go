package embedded

import (
	"context"
	"fmt"
	"testing"

	"github.com/leatmq/leat/queue"
)

// BenchmarkReceiveSettle measures what the dispatcher costs for each message, reading from memory included: 128 bytes, 8 partitions.
func BenchmarkReceiveSettle(b *testing.B) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		for _, n := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/%d", order, n), func(b *testing.B) { receiveSettle(b, order, n) })
		}
	}
}

func receiveSettle(b *testing.B, order queue.Order, atOnce int) {
	broker, err := InMemory(Options{MemoryBytes: 4 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	ctx := context.Background()
	if err := broker.EnsureTopic(ctx, "t", queue.TopicConfig{Partitions: 8}); err != nil {
		b.Fatal(err)
	}
	ms := make([]queue.Message, 1000)
	for i := range ms {
		ms[i] = queue.Message{Topic: "t", Key: fmt.Append(nil, i), Value: make([]byte, 128)}
	}
	for n := 0; n < b.N+len(ms); n += len(ms) {
		if _, err := broker.PublishBatch(ctx, ms...); err != nil {
			b.Fatal(err)
		}
	}
	m, err := broker.Engine().Join(ctx, queue.Membership{
		Group: queue.Group{
			Name: "g", Topics: []string{"t"}, Order: order, Concurrency: 1, InFlightBytes: 1 << 20, Batch: queue.Batch{Messages: atOnce},
		},
		Assigned: func(string, int) {}, Revoked: func(string, int) {},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Leave(ctx)
	hs, ss := make([]queue.Handover, atOnce), make([]queue.Settlement, atOnce)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		n, err := m.Receive(ctx, hs, queue.ReceiveLimits{})
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			ss[i] = queue.Settlement{Handle: hs[i].Handle, Outcome: queue.SettleDone}
		}
		m.Settle(ctx, ss[:n])
		done += n
	}
}
