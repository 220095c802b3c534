package queuetest

import (
	"context"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

// How long Drain waits: in a test without a deadline, in a bubble, where no test can ask for its deadline and waiting is free,
// and how long before the deadline it gives up, to have the last word.
const (
	drainPatience  = time.Minute
	bubblePatience = 24 * time.Hour
	drainMargin    = 5 * time.Second
)

// Drain waits until the groups have nothing ready, running or waiting for a retry, and for those that do not exist yet. If that is
// not so in time before t's deadline, it ends t, saying of a group why it is not idle.
func Drain(t testing.TB, b *queue.Broker, groups ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience(t))
	defer cancel()
	if err := b.WaitIdle(ctx, groups...); err != nil {
		t.Fatal(err)
	}
}

// patience returns how long t can wait.
func patience(t testing.TB) (d time.Duration) {
	timed, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return drainPatience
	}
	defer func() {
		if recover() != nil { // the only way to find out that t is a bubble's
			d = bubblePatience
		}
	}()
	end, ok := timed.Deadline()
	if !ok {
		return drainPatience
	}
	left := time.Until(end)
	return max(left/2, left-drainMargin)
}

// Records returns what the topic holds now, in order within each partition. The records are the caller's.
func Records(t testing.TB, b *queue.Broker, topic string) []*queue.Record {
	t.Helper()
	var rs []*queue.Record
	for r, err := range b.Read(context.Background(), queue.Range{Topic: topic}) {
		if err != nil {
			t.Fatalf("reading %q: %v", topic, err)
		}
		rs = append(rs, r)
	}
	return rs
}
