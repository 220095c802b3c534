package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

// witness checks, from inside handlers, that lanes keep their order and run one at a time.
type witness struct {
	t     *testing.T
	order queue.Order

	mu      sync.Mutex
	running map[string]bool
	last    map[string]int64
	done    map[queue.Position]int
	tried   map[queue.Position]int
	most    int // running at once
}

func newWitness(t *testing.T, order queue.Order) *witness {
	return &witness{t: t, order: order, running: map[string]bool{}, last: map[string]int64{}, done: map[queue.Position]int{}, tried: map[queue.Position]int{}}
}

func (w *witness) lane(d *queue.Delivery) string {
	switch {
	case w.order == queue.ByPartition:
		return fmt.Sprint(d.Position.Partition())
	case w.order == queue.ByKey && d.Key != nil:
		return fmt.Sprintf("%d %q", d.Position.Partition(), d.Key)
	}
	return d.Position.String()
}

func (w *witness) enter(d *queue.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lane := w.lane(d)
	if w.running[lane] {
		w.t.Errorf("lane %s runs twice at once", lane)
	}
	if offset, _ := d.Position.Offset(); offset < w.last[lane] {
		w.t.Errorf("lane %s: offset %d after %d", lane, offset, w.last[lane])
	}
	w.running[lane] = true
	w.tried[d.Position]++
	w.most = max(w.most, len(w.running))
}

func (w *witness) leave(d *queue.Delivery, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lane := w.lane(d)
	delete(w.running, lane)
	if err == nil {
		w.last[lane], _ = d.Position.Offset()
		w.done[d.Position]++
	}
}

var errFlaky = errors.New("not this time")

// TestOrderUnderFailuresAndRebalancing runs members that come and go, and handlers that fail, and expects every message done once, in the
// order of its lane.
func TestOrderUnderFailuresAndRebalancing(t *testing.T) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		t.Run(order.String(), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			synctest.Test(t, func(t *testing.T) { orderUnderFailures(t, order, seed) })
		})
	}
}

func orderUnderFailures(t *testing.T, order queue.Order, seed uint64) {
	const partitions, each = 5, 200
	b := memory(t, partitions)
	w := newWitness(t, order)
	rng := rand.New(rand.NewPCG(seed, 1))
	var lock sync.Mutex
	draw := func(n int) int {
		lock.Lock()
		defer lock.Unlock()
		return rng.IntN(n)
	}
	handler := func(_ context.Context, d *queue.Delivery) error {
		w.enter(d)
		time.Sleep(time.Duration(draw(5)) * time.Millisecond)
		var err error
		if draw(10) == 0 {
			err = errFlaky
		}
		w.leave(d, err)
		return err
	}
	ctx, stop := context.WithCancel(t.Context())
	var members sync.WaitGroup
	for n := range 3 {
		members.Go(func() {
			g := queue.Group{Name: "g", Topics: []string{"t"}, Order: order, Concurrency: 3, Failure: queue.Failure{MaxAttempts: -1}}
			for ctx.Err() == nil {
				stay, cancel := ctx, context.CancelFunc(func() {})
				if n > 0 {
					stay, cancel = context.WithTimeout(ctx, time.Duration(20+draw(200))*time.Millisecond)
				}
				if err := b.Consume(stay, g, handler); err != nil {
					t.Error(err)
				}
				cancel()
				time.Sleep(time.Duration(draw(50)) * time.Millisecond)
			}
		})
	}
	for range 10 {
		fill(t, b, partitions, each/10, 7)
		time.Sleep(20 * time.Millisecond)
	}
	wait, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := b.WaitIdle(wait, "g"); err != nil {
		t.Error(err)
	}
	stop()
	members.Wait()
	for p, n := range w.done {
		if n != 1 {
			t.Errorf("%s was done %d times", p, n)
		}
	}
	if len(w.done) != partitions*each {
		t.Errorf("%d messages done, want %d", len(w.done), partitions*each)
		for p, n := range w.tried {
			if w.done[p] == 0 {
				t.Errorf("%s was tried %d times", p, n)
			}
		}
		infos, err := b.Admin().Groups(t.Context())
		t.Errorf("%+v, %v", infos, err)
	}
	if w.most < 3 {
		t.Errorf("at most %d handlers ran at once", w.most)
	}
}

func TestByKeyHoldsOnlyTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 9, 3) // keys 0 1 2 0 1 2 0 1 2
		m := join(t, b, queue.Group{Order: queue.ByKey, Concurrency: 9})
		x, y, z := m.one(), m.one(), m.one()
		m.nothing(time.Minute) // three keys, each out
		if err := m.settle(x, queue.SettleRetry, time.Hour); err != nil {
			t.Fatal(err)
		}
		m.ack(y, z)
		if got := m.drain(); !slices.Equal(got, []string{"4", "5", "7", "8"}) {
			t.Errorf("while key 0 waits, %v ran", got)
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		again := m.one()
		if string(again.Value) != "0" || again.Attempt != 2 {
			t.Errorf("after the wait came %s, attempt %d", again.Value, again.Attempt)
		}
		m.ack(again)
		if got := m.drain(); !slices.Equal(got, []string{"3", "6"}) {
			t.Errorf("then %v", got)
		}
	})
}

func TestMessagesWithoutKeyWaitForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		for _, key := range [][]byte{nil, nil, {}, {}} {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Key: key, Value: fmt.Append(nil, key != nil)}); err != nil {
				t.Fatal(err)
			}
		}
		m := join(t, b, queue.Group{Order: queue.ByKey, Concurrency: 9})
		var got []string
		for range 3 {
			got = append(got, string(m.one().Value))
		}
		slices.Sort(got)
		if !slices.Equal(got, []string{"false", "false", "true"}) {
			t.Errorf("in flight: %v; the empty key is one lane, a nil key none", got)
		}
		m.nothing(time.Minute)
	})
}

func TestSeveralOfALaneInOneReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 10, 0)
		m := join(t, b, queue.Group{Order: queue.ByPartition, Concurrency: 4, Batch: queue.Batch{Messages: 8}})
		hs := m.receive(8, queue.ReceiveLimits{})
		for i, h := range hs {
			if string(h.Value) != fmt.Sprint(i) || h.Position.Partition() != hs[0].Position.Partition() {
				t.Fatalf("message %d is %s", i, h.Position)
			}
		}
		other := m.receive(8, queue.ReceiveLimits{})
		if len(hs) != 8 || len(other) != 8 || other[0].Position.Partition() == hs[0].Position.Partition() {
			t.Fatalf("%d of %s, then %d of %s", len(hs), hs[0].Position, len(other), other[0].Position)
		}
		m.nothing(time.Minute)
		m.ack(hs[:3]...)
		m.nothing(time.Minute) // until all are settled
		if err := m.settle(hs[3], queue.SettleRetry, time.Second); err != nil {
			t.Fatal(err)
		}
		for _, h := range hs[4:] {
			if err := m.settle(h, queue.SettleRelease, 0); err != nil {
				t.Fatal(err)
			}
		}
		again := m.receive(8, queue.ReceiveLimits{})
		for i, h := range again {
			attempt := 1
			if i == 0 {
				attempt = 2
			}
			if string(h.Value) != fmt.Sprint(3+i) || h.Attempt != attempt {
				t.Errorf("again %d: %s, attempt %d", i, h.Value, h.Attempt)
			}
		}
	})
}

// TestWhoLeavesPassesOn: a receiver that was called for a message, and whose ctx ended before it came to it, calls another.
func TestWhoLeavesPassesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 1, 0)
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 3})
		h := m.one()
		first, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := m.Receive(first, make([]queue.Handover, 1), queue.ReceiveLimits{})
			ended <- err
		}()
		synctest.Wait()
		got := make(chan queue.Handover, 1)
		go func() { got <- m.one() }()
		synctest.Wait()

		inner := m.Member.(*member)
		inner.group.mu.Lock()
		inner.settle(h.Handle.(*token), &queue.Settlement{Outcome: queue.SettleRelease})
		inner.feed.wake(0) // calls the first
		cancel()
		inner.group.mu.Unlock()
		synctest.Wait()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		select {
		case again := <-got:
			m.ack(again)
		default:
			t.Error("the second was not called")
			m.ack(m.one())
			m.leave()
		}
	})
}

// TestLaneDoesNotWaitForItsSettlerToComeBack: who settles is expected back in Receive, but another may be the one that waits there.
func TestLaneDoesNotWaitForItsSettlerToComeBack(t *testing.T) {
	for _, outcome := range []queue.Outcome{queue.SettleDone, queue.SettleRetry, queue.SettleRelease} {
		synctest.Test(t, func(t *testing.T) {
			b := memory(t, 1)
			fill(t, b, 1, 2, 1)
			m := join(t, b, queue.Group{Order: queue.ByKey, Concurrency: 2})
			h := m.one()
			got := make(chan time.Time)
			go func() {
				m.one()
				got <- time.Now()
			}()
			synctest.Wait()
			settled := time.Now()
			if err := m.settle(h, outcome, 0); err != nil {
				t.Fatal(err)
			}
			if took := (<-got).Sub(settled); took > 2*flushDelay {
				t.Errorf("the next of the lane came after %v", took)
			}
		})
	}
}
