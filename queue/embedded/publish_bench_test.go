package embedded_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/leatmq/leat/queue"
)

// publishers is how many publish at once where it says many.
const publishers = 64

// BenchmarkPublishSynced is one publisher that waits for the disk, against a write and a sync for each message.
func BenchmarkPublishSynced(b *testing.B) {
	br, l := openBench(b), newRawLog(b)
	topic := benchTopic(b, br, 1, queue.Synced)
	bySize(b, func(b *testing.B, size int) {
		value := make([]byte, size)
		b.Run("background", func(b *testing.B) {
			against(b, size, singles(context.Background(), b, br, topic, value), l.syncedWrites(value), "raw")
		})
		b.Run("cancellable", func(b *testing.B) {
			against(b, size, singles(b.Context(), b, br, topic, value), l.syncedWrites(value), "raw")
		})
	})
}

// BenchmarkPublishSyncedMany is 64 publishers that wait for the disk, one message a call, against the same over a buffer that is written and synced
// as a whole; and over 1,000 partitions, against one.
func BenchmarkPublishSyncedMany(b *testing.B) {
	br, l := openBench(b), newRawLog(b)
	one, thousand, many10 := benchTopic(b, br, 1, queue.Synced), benchTopic(b, br, 1000, queue.Synced), benchTopic(b, br, 10_000, queue.Synced)
	bySize(b, func(b *testing.B, size int) {
		value := make([]byte, size)
		groups := newRawGroups(l)
		raw := by(publishers, func(int) { groups.publish(value) })
		b.Run("1 partition", func(b *testing.B) {
			against(b, size, many(b, br, one, 1, value), raw, "raw")
		})
		b.Run("1000 partitions", func(b *testing.B) {
			against(b, size, many(b, br, thousand, 1000, value), many(b, br, one, 1, value), "one-partition")
		})
		b.Run("10000 partitions", func(b *testing.B) {
			against(b, size, many(b, br, many10, 10_000, value), many(b, br, one, 1, value), "one-partition")
		})
	})
}

// BenchmarkPublishOS is one publisher that waits for the operating system to have each message, against a write call each: with a context that
// cannot end, where the publisher makes the write call itself, and with one that can. In the third the file of the raw loop is zeroed in small pieces, as those of the store are.
func BenchmarkPublishOS(b *testing.B) {
	br, l, small := openBench(b), newRawLog(b), newRawLogOf(b, 32<<10)
	topic := benchTopic(b, br, 1, queue.OS)
	bySize(b, func(b *testing.B, size int) {
		value := make([]byte, size)
		b.Run("background", func(b *testing.B) {
			against(b, size, singles(context.Background(), b, br, topic, value), l.writes(value), "raw")
		})
		b.Run("cancellable", func(b *testing.B) {
			against(b, size, singles(b.Context(), b, br, topic, value), l.writes(value), "raw")
		})
		b.Run("background, small pieces", func(b *testing.B) {
			against(b, size, singles(context.Background(), b, br, topic, value), small.writes(value), "raw")
		})
	})
}

// singles publishes one message a call.
func singles(ctx context.Context, b *testing.B, br *queue.Broker, topic string, value []byte) contender {
	return func(n int) {
		for range n {
			if _, err := br.Publish(ctx, queue.Message{Topic: topic, Value: value}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// many publishes one message a call by many goroutines, over so many partitions.
func many(b *testing.B, br *queue.Broker, topic string, partitions int, value []byte) contender {
	ctx := context.Background()
	var turns [publishers]struct {
		n int
		_ [56]byte // a line of the cache for each
	}
	return by(publishers, func(g int) {
		t := &turns[g]
		t.n++
		p := (g*partitions/publishers + t.n) % partitions
		if _, err := br.Publish(ctx, queue.Message{Topic: topic, Value: value, Partition: queue.PinTo(p)}); err != nil {
			b.Error(fmt.Errorf("partition %d: %w", p, err))
		}
	})
}
