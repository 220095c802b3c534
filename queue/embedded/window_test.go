package embedded

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

func TestWindowBoundsWhatIsReadAboveTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		const extra = 10
		fill(t, b, 1, windowRecords+extra, 0)
		g := queue.Group{Order: queue.Unordered, Concurrency: 1 << 16, Batch: queue.Batch{Messages: 4}, Guarantee: queue.AtMostOnce} // of which nothing is parked
		m := join(t, b, g)
		first := m.one()
		if err := m.settle(first, queue.SettleRetry, time.Hour); err != nil {
			t.Fatal(err)
		}
		done := 0
		for done < windowRecords-1 {
			hs := m.receive(1000, queue.ReceiveLimits{})
			m.ack(hs...)
			done += len(hs)
		}
		if done != windowRecords-1 {
			t.Errorf("%d records done above the floor, the bound is %d with the one that waits", done, windowRecords)
		}
		m.nothing(time.Minute)
		s := b.Stats().Groups[0]
		if s.Ready != extra || s.Waiting != 1 || !strings.Contains(s.Idle, "window full") || !strings.Contains(s.Idle, "t/0") {
			t.Errorf("stats %+v", s)
		}
		again := m.one()
		if again.Position != first.Position {
			t.Fatalf("got %s", again.Position)
		}
		m.ack(again)
		if got := m.drain(); len(got) != extra {
			t.Errorf("%d came when the floor had moved, want %d", len(got), extra)
		}
	})
}

func TestInFlightBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		for _, size := range []int{60, 50, 40, 500, 10} {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: bytes.Repeat([]byte{'v'}, size)}); err != nil {
				t.Fatal(err)
			}
		}
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 10, InFlightBytes: 100})
		first := m.one()
		m.nothing(time.Minute) // 110 bytes
		if s := b.Stats().Groups[0]; s.Idle != "in flight full" || s.InFlight != 1 || s.Ready != 4 {
			t.Errorf("stats %+v", s)
		}
		got := make(chan int)
		go func() {
			var dst [10]queue.Handover
			n, err := m.Receive(t.Context(), dst[:], queue.ReceiveLimits{})
			if err != nil {
				t.Error(err)
			}
			m.ack(dst[:n]...)
			got <- n
		}()
		synctest.Wait()
		m.ack(first)
		if n := <-got; n != 2 {
			t.Errorf("%d messages came when there was room for two", n)
		}
		if h := m.one(); len(h.Value) != 500 {
			t.Errorf("a message of %d bytes came, not the large one alone", len(h.Value))
		}
		m.nothing(time.Minute)
	})
}

func TestInFlightBytesOfSeveralReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		for _, size := range []int{30, 60, 20} {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, size)}); err != nil {
				t.Fatal(err)
			}
		}
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 10, InFlightBytes: 100})
		m.one()
		if n := len(m.receive(10, queue.ReceiveLimits{})); n != 1 {
			t.Errorf("%d messages on top of 30 bytes, where 70 more are allowed", n)
		}
	})
}

// TestFullMemberGoesOnWhenWhatIsNextFits: another member took what did not fit, and nothing of this one was settled.
func TestFullMemberGoesOnWhenWhatIsNextFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		for _, size := range []int{90, 50, 5, 4} {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, size)}); err != nil {
				t.Fatal(err)
			}
		}
		g := queue.Group{Order: queue.Unordered, Concurrency: 10, InFlightBytes: 100}
		x, y := join(t, b, g), join(t, b, g)
		x.one()
		got := make(chan int, 2)
		for range 2 {
			go func() { got <- len(x.one().Value) }()
		}
		synctest.Wait()
		if n := len(y.one().Value); n != 50 {
			t.Fatalf("the other member got %d bytes", n)
		}
		synctest.Wait()
		if len(got) != 2 {
			t.Errorf("%d of two small messages came", len(got))
			x.leave()
		}
	})
}

func TestReceiveLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 10, 0)
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 3, Batch: queue.Batch{Messages: 4}})
		if n := len(m.receive(10, queue.ReceiveLimits{Bytes: 3})); n != 3 {
			t.Errorf("%d messages of a byte each in three bytes", n)
		}
		if n := len(m.receive(10, queue.ReceiveLimits{})); n != 7 {
			t.Errorf("%d messages of seven", n)
		}
		fill(t, b, 1, 10, 0)
		if n := len(m.receive(10, queue.ReceiveLimits{})); n != 2 {
			t.Errorf("%d messages, two more make Concurrency times Batch.Messages", n)
		}
		m.nothing(time.Minute)
	})
}

func TestLinger(t *testing.T) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		t.Run(order.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { lingers(t, order) })
		})
	}
}

func lingers(t *testing.T, order queue.Order) {
	b := memory(t, 1)
	limits := queue.ReceiveLimits{Bytes: 1000, Linger: 100 * time.Millisecond}
	m := join(t, b, queue.Group{Order: order, Concurrency: 2, Batch: queue.Batch{Messages: 10}})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	publish := func(n int, every time.Duration) {
		for i := range n {
			select {
			case <-ctx.Done():
			case <-time.After(every):
				fill(t, b, 1, 1, 0)
				_ = i
			}
		}
	}
	go publish(5, 10*time.Millisecond)
	began := time.Now()
	hs := m.receive(10, limits)
	if took := time.Since(began); len(hs) != 5 || took != 110*time.Millisecond {
		t.Errorf("%d messages after %v; five come in 50ms, the first after 10ms", len(hs), took)
	}
	m.ack(hs...)
	go publish(20, time.Millisecond)
	began = time.Now()
	hs = m.receive(10, limits)
	if took := time.Since(began); len(hs) != 10 || took != 10*time.Millisecond {
		t.Errorf("%d messages after %v, want ten as soon as they are there", len(hs), took)
	}
	m.ack(hs...)
	if n := len(m.receive(10, queue.ReceiveLimits{Linger: time.Hour})); n != 10 {
		t.Errorf("%d messages of the ten that were left", n)
	}
}

// TestByPartitionReadsAhead bounds what a busy lane holds in memory.
func TestByPartitionReadsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		for range 20 {
			if _, err := b.PublishBatch(t.Context(), megabyte()...); err != nil {
				t.Fatal(err)
			}
		}
		m := join(t, b, queue.Group{Order: queue.ByPartition, Concurrency: 2})
		h := m.one()
		m.nothing(time.Minute)
		g := From(b).engine.groups["g"]
		g.mu.Lock()
		queued := g.set.Queued()
		g.mu.Unlock()
		if queued.Bytes > aheadBytes+2<<20 {
			t.Errorf("%d bytes are held behind one that runs", queued.Bytes)
		}
		m.ack(h)
		if got := m.drain(); len(got) != 20*16-1 {
			t.Errorf("%d messages came", len(got))
		}
	})
}

func megabyte() []queue.Message {
	var ms []queue.Message
	for i := range 16 {
		ms = append(ms, queue.Message{Topic: "t", Key: fmt.Append(nil, i), Value: make([]byte, 64<<10)})
	}
	return ms
}

// What a receiver is woken for, and has no room for, is for another member of the group.
func TestFullMemberLeavesTheMessageToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		small := queue.Group{Order: queue.Unordered, Concurrency: 2, InFlightBytes: 1}
		busy, idle := join(t, b, small), join(t, b, small)
		fill(t, b, 1, 1, 0)
		first := busy.one()
		time.Sleep(time.Second) // the cursor is written, and nothing else happens in the group
		type taken struct {
			by *testMember
			h  queue.Handover
		}
		got := make(chan taken, 2)
		for _, m := range []*testMember{busy, idle} {
			go func() { got <- taken{m, m.one()} }()
			synctest.Wait() // they wait in this order
		}
		fill(t, b, 1, 1, 0)
		synctest.Wait()
		if len(got) != 1 {
			t.Error("one member is full, the other idle, and a message waits")
		}
		busy.ack(first)
		fill(t, b, 1, 1, 0) // for the receiver that waits still
		for range 2 {
			x := <-got
			x.by.ack(x.h)
		}
	})
}
