package embedded_test

import (
	"context"
	"testing"

	"github.com/leatmq/leat/queue"
)

// bulk is how many messages a call publishes where it says bulk.
const bulk = 100

// BenchmarkPublishSyncedBulk is one publisher of 100 messages a call that waits for the disk, against a write and a sync for each 100.
func BenchmarkPublishSyncedBulk(b *testing.B) {
	br, l := openBench(b), newRawLog(b)
	topic := benchTopic(b, br, 1, queue.Synced)
	bySize(b, func(b *testing.B, size int) {
		value := make([]byte, size)
		against(b, size, batches(b, br, topic, value), l.bulkWrites(value, true), "raw")
	})
}

// BenchmarkPublishOSBulk is the same without waiting for the disk, against a write call for each 100 messages.
func BenchmarkPublishOSBulk(b *testing.B) {
	br, l := openBench(b), newRawLog(b)
	topic := benchTopic(b, br, 1, queue.OS)
	bySize(b, func(b *testing.B, size int) {
		value := make([]byte, size)
		against(b, size, batches(b, br, topic, value), l.bulkWrites(value, false), "raw")
	})
}

// batches publishes many messages a call.
func batches(b *testing.B, br *queue.Broker, topic string, value []byte) contender {
	ms := make([]queue.Message, bulk)
	for i := range ms {
		ms[i] = queue.Message{Topic: topic, Value: value}
	}
	return func(n int) {
		for n > 0 {
			call := ms[:min(n, bulk)]
			if _, err := br.PublishBatch(context.Background(), call...); err != nil {
				b.Fatal(err)
			}
			n -= len(call)
		}
	}
}

// bulkWrites is a write call for many messages, and a sync, if it is synced, in sectors of their own.
func (l *rawLog) bulkWrites(message []byte, synced bool) contender {
	return func(n int) {
		for n > 0 {
			call := min(n, bulk)
			l.buf = l.buf[:0]
			for i := range call {
				l.buf = l.frame(l.buf, message, uint64(i))
			}
			if synced {
				l.buf = append(l.buf, make([]byte, -len(l.buf)&(rawSector-1))...)
			}
			l.write(l.buf)
			if synced {
				l.sync()
			}
			n -= call
		}
	}
}
