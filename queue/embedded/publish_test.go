package embedded

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

func TestPublishPlacesMessages(t *testing.T) {
	b := memory(t, 4)
	ensure(t, b, "u", 2)
	stamp := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	before := time.Now()
	rs, err := b.PublishBatch(t.Context(),
		queue.Message{Topic: "t", Key: []byte("foobar"), Value: []byte("a"), Timestamp: stamp},
		queue.Message{Topic: "u", Partition: queue.PinTo(1), Key: []byte{}, Value: []byte("b"), Headers: queue.Headers{}.With("h", "1")},
		queue.Message{Topic: "t", Key: []byte("foobar"), Value: []byte("c")},
	)
	if err != nil {
		t.Fatal(err)
	}
	foobar := keyed([]byte("foobar"), 4)
	for i, want := range []struct {
		topic     string
		partition int
		offset    int64
	}{{"t", foobar, 0}, {"u", 1, 0}, {"t", foobar, 1}} {
		p := rs[i].Position
		offset, _ := p.Offset()
		if p.Topic() != want.topic || p.Partition() != want.partition || offset != want.offset || p.Incarnation() == 0 {
			t.Errorf("receipt %d: %s, want %+v", i, p, want)
		}
		if rs[i].Durability != queue.Memory {
			t.Errorf("receipt %d says %s", i, rs[i].Durability)
		}
	}
	var got []*queue.Record
	for _, topic := range []string{"t", "u"} {
		for r, err := range b.Read(t.Context(), queue.Range{Topic: topic}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
	}
	if len(got) != 3 || string(got[0].Value) != "a" || string(got[1].Value) != "c" || string(got[2].Value) != "b" {
		t.Fatalf("read %v", got)
	}
	if !got[0].Timestamp.Equal(stamp) || got[1].Timestamp.Before(before.Add(-time.Second)) || got[2].Headers.Get("h") != "1" {
		t.Errorf("timestamps %v, %v, headers %v", got[0].Timestamp, got[1].Timestamp, got[2].Headers)
	}
	if got[2].Key == nil || got[2].Position != rs[1].Position {
		t.Errorf("the empty key came back as nil, or %s is not %s", got[2].Position, rs[1].Position)
	}
}

func TestPublishRefusesAllOrNothing(t *testing.T) {
	b := memory(t, 2)
	if err := b.EnsureTopic(t.Context(), "small", queue.TopicConfig{MaxBytes: 10}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	good := queue.Message{Topic: "t", Value: []byte("good")}
	for name, c := range map[string]struct {
		ctx  context.Context
		bad  queue.Message
		want error
	}{
		"unknown topic": {t.Context(), queue.Message{Topic: "none"}, queue.ErrNotFound},
		"too large":     {t.Context(), queue.Message{Topic: "small", Key: make([]byte, 5), Value: make([]byte, 6)}, queue.ErrTooLarge},
		"partition":     {t.Context(), queue.Message{Topic: "t", Partition: queue.PinTo(2)}, queue.ErrNotFound},
		"no time":       {ended, good, queue.ErrFull},
	} {
		if _, err := b.PublishBatch(c.ctx, good, c.bad); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		rs := make([]queue.Receipt, 2)
		if err := b.Engine().Publish(c.ctx, []queue.Message{good, c.bad}, rs); !errors.Is(err, c.want) || rs[0] != (queue.Receipt{}) {
			t.Errorf("%s, at the engine: %v, receipts %v", name, err, rs)
		}
	}
	if s := b.Stats().Topics; s[0].Records+s[1].Records != 0 {
		t.Errorf("something was stored: %+v", s)
	}
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "small", Value: make([]byte, 10)}); err != nil {
		t.Errorf("exactly as large as allowed: %v", err)
	}
	b.Close()
	if err := b.Engine().Publish(t.Context(), []queue.Message{good}, make([]queue.Receipt, 1)); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestMemoryIsBounded: what no group needs makes room, and else a publish is refused.
func TestMemoryIsBounded(t *testing.T) {
	b, err := InMemory(Options{MemoryBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	ensure(t, b, "t", 1)
	m := join(t, b, queue.Group{Order: queue.Unordered})
	message := queue.Message{Topic: "t", Value: make([]byte, 64<<10)}
	stored := 0
	for err = nil; err == nil && stored < 1000; stored++ {
		_, err = b.Publish(t.Context(), message)
	}
	if !errors.Is(err, queue.ErrFull) {
		t.Fatalf("after %d messages of 64 KiB in 4 MiB: %v", stored, err)
	}
	m.drain()
	m.leave() // the cursor is in the store now
	for range stored / 2 {
		if _, err := b.Publish(t.Context(), message); err != nil {
			t.Fatalf("after the group was done with all: %v", err)
		}
	}
}

func TestPublishAllocatesLittle(t *testing.T) {
	b := memory(t, 8)
	ms := make([]queue.Message, 100)
	for i := range ms {
		ms[i] = queue.Message{Topic: "t", Key: fmt.Append(nil, i%10), Value: make([]byte, 100), Headers: queue.Headers{{Key: "k", Value: []byte("v")}}}
	}
	rs := make([]queue.Receipt, len(ms))
	e := b.Engine()
	for _, n := range []int{1, 100} {
		allocs := testing.AllocsPerRun(100, func() {
			if err := e.Publish(t.Context(), ms[:n], rs[:n]); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 4+float64(n)/5 { // the store's blocks; under the race detector, pools forget a part of what they are given
			t.Errorf("%v allocations for %d messages", allocs, n)
		}
	}
}

func TestEnsureTopic(t *testing.T) {
	b := memory(t, 3)
	if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 3}); err != nil {
		t.Errorf("the same again: %v", err)
	}
	var fault *queue.ConfigError
	err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 4, Durability: queue.Interval, MaxBytes: 5})
	if !errors.As(err, &fault) || len(fault.Faults) != 4 {
		t.Errorf("another configuration: %v", err)
	}
	racing := make(chan error)
	for range 8 {
		go func() { racing <- b.EnsureTopic(t.Context(), "raced", queue.TopicConfig{Partitions: 2}) }()
	}
	for range 8 {
		if err := <-racing; err != nil {
			t.Errorf("racing: %v", err)
		}
	}
}
