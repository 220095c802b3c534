package embedded

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
)

// load is a group that is ten times slower than the publishers of its topic, for five minutes.
type load struct {
	t                           *testing.T
	broker                      *queue.Broker
	published, refused, dropped atomic.Int64 // by what publishers were told
	handled                     atomic.Int64
	peak                        int64 // of what Stats says is behind, and of what was published and not handled
	heap                        [2]uint64
	mu                          sync.Mutex
	seen                        map[[2]int]bool // guarded by mu; which were handled
	twice                       int             // guarded by mu
}

const (
	loadLimit   = 100
	loadMemory  = 4 << 20
	loadTime    = 5 * time.Minute
	loadWorkers = 4
)

func (l *load) publish(ctx context.Context, n int) {
	for i := 0; ctx.Err() == nil; i++ {
		r, err := l.broker.Publish(ctx, queue.Message{Topic: "t", Key: fmt.Append(nil, i%10), Value: fmt.Appendf(make([]byte, 0, 1000), "%d-%d-%900d", n, i, 0)})
		switch {
		case err == nil && r.Dropped:
			l.dropped.Add(1)
		case err == nil:
			l.published.Add(1)
		case errors.Is(err, queue.ErrFull) && ctx.Err() != nil:
			return
		case errors.Is(err, queue.ErrFull):
			l.refused.Add(1)
		default:
			l.t.Errorf("a publisher was told %v", err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *load) handle(_ context.Context, d *queue.Delivery) error {
	time.Sleep(100 * time.Millisecond)
	var which [2]int
	if _, err := fmt.Sscanf(string(d.Value), "%d-%d-", &which[0], &which[1]); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[which] {
		l.twice++
	}
	l.seen[which] = true
	l.handled.Add(1)
	return nil
}

// watch looks at what is behind and at memory, until ctx ends.
func (l *load) watch(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		l.peak = max(l.peak, l.broker.Stats().Topics[0].Backlog)
		if held := From(l.broker).Storage().MemoryBytes; held > loadMemory {
			l.t.Errorf("%d bytes of messages in memory", held)
		}
		for i, at := range []time.Duration{time.Minute, loadTime - time.Second} {
			if time.Since(began) > at && l.heap[i] == 0 {
				l.heap[i] = heapAlloc()
			}
		}
	}
}

func heapAlloc() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestSlowConsumerForFiveMinutes(t *testing.T) {
	for i, policy := range []backpressure.Policy{backpressure.Block, backpressure.DropOldest, backpressure.Reject, backpressure.DropNew} {
		orders := []queue.Order{queue.ByKey, queue.ByPartition}
		if sized(t, 1, 2, 2) == 1 {
			orders = orders[i%2 : i%2+1]
		}
		for _, order := range orders {
			t.Run(fmt.Sprint(policy, " ", order), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { slowConsumer(t, policy, order) })
			})
		}
	}
}

func slowConsumer(t *testing.T, policy backpressure.Policy, order queue.Order) {
	b, err := InMemory(Options{MemoryBytes: loadMemory})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l := &load{t: t, broker: b, seen: map[[2]int]bool{}}
	err = b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 4, Limit: queue.Limit{Messages: loadLimit, WhenFull: policy}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), loadTime)
	defer stop()
	consuming, end := context.WithCancel(t.Context())
	var producers, others sync.WaitGroup
	others.Go(func() {
		if err := b.Consume(consuming, queue.Group{Name: "g", Topics: []string{"t"}, Order: order, Concurrency: loadWorkers}, l.handle); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	for n := range 4 {
		producers.Go(func() { l.publish(ctx, n) })
	}
	others.Go(func() { l.watch(consuming) })
	producers.Wait()
	idle, cancel := contextFor(t, time.Minute)
	defer cancel()
	if err := b.WaitIdle(idle, "g"); err != nil {
		t.Error(err)
	}
	end()
	others.Wait()
	l.judge(policy)
}

// judge wants that nothing was lost and everybody told as chosen.
func (l *load) judge(policy backpressure.Policy) {
	t, b := l.t, l.broker
	ts, gs := b.Stats().Topics[0], groupStats(b, "g")
	t.Logf("published %d, refused %d, dropped %d, handled %d, missed %d, at most %d behind, heap %d and %d",
		l.published.Load(), l.refused.Load(), l.dropped.Load(), l.handled.Load(), gs.Missed, l.peak, l.heap[0], l.heap[1])
	if l.peak > loadLimit || l.peak < loadLimit-loadWorkers {
		t.Errorf("%d behind at most, want %d, and no more", l.peak, loadLimit)
	}
	if grown := int64(l.heap[1]) - int64(l.heap[0]); grown > 4<<20 { // what the test itself keeps of what it saw included
		t.Errorf("the heap grew by %d bytes in four minutes", grown)
	}
	if ts.Backlog != 0 || ts.BacklogBytes != 0 || ts.Blocked != 0 {
		t.Errorf("when all is done: %+v", ts)
	}
	if l.handled.Load()+gs.Missed != l.published.Load() || l.twice != 0 {
		t.Errorf("%d published, %d handled, %d of them twice, %d missed", l.published.Load(), l.handled.Load(), l.twice, gs.Missed)
	}
	told := map[backpressure.Policy]int64{
		backpressure.Reject: l.refused.Load(), backpressure.DropNew: l.dropped.Load(), backpressure.DropOldest: gs.Missed,
	}
	for p, n := range told {
		if p == policy && n < 50_000 || p != policy && n > 0 {
			t.Errorf("%v: %d, though the policy is %v", p, n, policy)
		}
	}
	if ended := ts.QueueFull - l.refused.Load(); ended < 0 || ended > 4 || ts.DroppedNew != l.dropped.Load() || ts.DroppedOldest != gs.Missed {
		t.Errorf("%+v", ts)
	}
}
