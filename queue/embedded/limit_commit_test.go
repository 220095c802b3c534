package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

// TestHandlerNeverWaitsForRoomThatOnlyItsAckFrees: handlers put a message in the topic that they take theirs from, which is full all the time since publishers wait for room.
func TestHandlerNeverWaitsForRoomThatOnlyItsAckFrees(t *testing.T) {
	for _, workers := range []int{1, 8} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { handlersOnAFullTopic(t, workers) })
		})
	}
}

func handlersOnAFullTopic(t *testing.T, workers int) {
	const most, lives = 4, 5
	b := limited(t, Options{}, 1, queue.Limit{Messages: most})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var handled, ended atomic.Int64
	all.Go(func() {
		err := b.Consume(ctx, queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Concurrency: workers}, func(_ context.Context, d *queue.Delivery) error {
			time.Sleep(time.Millisecond)
			handled.Add(1)
			if len(d.Value) == lives {
				ended.Add(1)
				return nil
			}
			if d.Attempt != 1 {
				t.Errorf("attempt %d: one that found no room was counted", d.Attempt)
			}
			return d.Publish(queue.Message{Topic: "t", Value: append(d.Value, 'x')})
		})
		if err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	for range 5 {
		all.Go(func() {
			for range 20 {
				if _, err := b.Publish(t.Context(), queue.Message{Topic: "t"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for ended.Load() < 100 {
		time.Sleep(10 * time.Millisecond)
		if n := b.Stats().Topics[0].Backlog; n > most+max(1, most/4) {
			t.Errorf("%d behind", n)
		}
	}
	cancel()
	all.Wait()
	wantBacklog(t, b, 0)
}

// TestPublisherAtALimit: each of what it gathers has the outcome that it would have had alone.
func TestPublisherAtALimit(t *testing.T) {
	for _, policy := range []backpressure.Policy{backpressure.Reject, backpressure.DropNew, backpressure.DropOldest, backpressure.Block} {
		b := limited(t, Options{}, 1, queue.Limit{Messages: 10, WhenFull: policy})
		m := join(t, b, queue.Group{Concurrency: 100})
		p, err := b.Publisher(queue.PublisherOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var fs []queue.Pending
		for i := range 30 {
			f, err := p.Go(t.Context(), queue.Message{Topic: "t", Value: fmt.Append(nil, i)})
			if err != nil {
				t.Fatal(err)
			}
			fs = append(fs, f)
		}
		if policy == backpressure.Block {
			for range 30 {
				m.ack(m.one())
			}
		}
		var stored, refused, dropped int
		for _, f := range fs {
			switch r, err := f.Wait(t.Context()); {
			case errors.Is(err, queue.ErrFull):
				refused++
			case err != nil:
				t.Error(err)
			case r.Dropped:
				dropped++
			default:
				stored++
			}
		}
		want := map[backpressure.Policy][3]int{
			backpressure.Reject: {10, 20, 0}, backpressure.DropNew: {10, 0, 20}, backpressure.DropOldest: {30, 0, 0}, backpressure.Block: {30, 0, 0},
		}
		if got := [3]int{stored, refused, dropped}; got != want[policy] {
			t.Errorf("%v: %v stored, refused and dropped, want %v", policy, got, want[policy])
		}
		p.Close(t.Context()) // it tells of what was refused
	}
}

// TestTopicsShareTheBrokersLimit: a topic whose group is stuck leaves room for others, waits do not hold them up, and what is in none of them is free again.
func TestTopicsShareTheBrokersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := InMemory(Options{Limit: backpressure.Weight{Count: 100}})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for _, topic := range []string{"stuck", "lively"} {
			limit(t, b, topic, 1, queue.Limit{WhenFull: backpressure.Reject})
		}
		limit(t, b, "patient", 1, queue.Limit{})
		stuck := join(t, b, queue.Group{Name: "stuck", Topics: []string{"stuck"}, Concurrency: 100})
		lively := join(t, b, queue.Group{Name: "lively", Topics: []string{"lively"}, Concurrency: 100})
		patient := join(t, b, queue.Group{Name: "patient", Topics: []string{"patient"}, Concurrency: 100})
		if n := fillUp(t, b, "stuck"); n != 50 {
			t.Errorf("one alone took %d of 100, want half", n)
		}
		for range 10 {
			if n := fillUp(t, b, "lively"); n < 20 || n > 25 {
				t.Errorf("another found room for %d", n)
			}
			lively.drain()
		}
		waited := make(chan error, 60)
		for range 60 {
			go func() { waited <- publishTo(b, "patient") }()
		}
		synctest.Wait()
		if s := b.Stats().Topics; s[1].Name != "patient" || s[1].Backlog != 25 || s[1].Blocked != 35 {
			t.Errorf("%+v", s[1])
		}
		if n := fillUp(t, b, "lively"); n == 0 {
			t.Error("those that wait for their own topic keep others out")
		}
		for n := 0; n < 60; n++ {
			patient.ack(patient.one())
			if err := <-waited; err != nil {
				t.Error(err)
			}
		}
		stuck.drain()
		lively.drain()
		if held, waiting := From(b).engine.flows.pool.Held(); held != (backpressure.Weight{}) || waiting != 0 {
			t.Errorf("%+v are held in the end, %d wait", held, waiting)
		}
	})
}

// TestOldestAreDroppedForGroupsThatNobodyJoined: groups that only exist, before and after a restart, and one that is at work on what is oldest.
func TestOldestAreDroppedForGroupsThatNobodyJoined(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := reopen(t, dir)
	err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Durability: queue.OS, Limit: queue.Limit{Messages: 10, WhenFull: backpressure.DropOldest}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"g", "h"} {
		if err := b.Admin().CreateGroup(t.Context(), queue.Group{Name: name, Topics: []string{"t"}, Order: queue.ByPartition}); err != nil {
			t.Fatal(err)
		}
	}
	next := 0
	publish := func(n int) {
		t.Helper()
		for range n {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: fmt.Append(nil, next)}); err != nil {
				t.Fatal(err)
			}
			next++
		}
	}
	publish(25)
	if s := b.Stats(); s.Topics[0].Backlog != 10 || s.Topics[0].DroppedOldest != 30 || s.Groups[0].Missed != 15 || s.Groups[0].Ready != 10 {
		t.Errorf("%+v", s)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = reopen(t, dir)
	publish(5)
	if s := b.Stats(); s.Topics[0].Backlog != 10 || s.Topics[0].DroppedOldest != 10 || s.Groups[1].Ready != 10 {
		t.Errorf("%+v", s)
	}
	m := join(t, b, queue.Group{Order: queue.ByPartition})
	first := m.one() // 20
	publish(3)
	if string(first.Value) != "20" || m.settle(first, queue.SettleDone, 0) != nil {
		t.Errorf("first comes %s", first.Value)
	}
	if second := m.one(); string(second.Value) != "24" {
		t.Errorf("then %s", second.Value)
	}
}

// TestBacklogFollowsTheModel has groups come and go, work, fail, move and be removed, and publishers publish and limits come, change and go meanwhile. In the end what is held is what the slowest group is behind.
func TestBacklogFollowsTheModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for run := range sized(t, 20, 200, 5000) {
		synctest.Test(t, func(t *testing.T) { backlogRun(t, rand.New(rand.NewPCG(seed, uint64(run)))) })
		if t.Failed() {
			t.Fatalf("seed %d, run %d", seed, run)
		}
	}
}

func backlogRun(t *testing.T, rng *rand.Rand) {
	l := anyLimit(rng)
	b, err := InMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	err = b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 1 + rng.IntN(3), MaxBytes: 100, Limit: l})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for n := range 1 + rng.IntN(3) {
		seed := rng.Uint64()
		all.Go(func() { backlogPublisher(ctx, t, b, rand.New(rand.NewPCG(seed, uint64(n)))) })
	}
	for n := range 1 + rng.IntN(2) {
		seed := rng.Uint64()
		all.Go(func() { backlogGroup(ctx, t, b, fmt.Sprint("g", n), rand.New(rand.NewPCG(seed, uint64(n)))) })
	}
	if altered := rand.New(rand.NewPCG(rng.Uint64(), 0)); altered.IntN(2) == 0 {
		all.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(time.Duration(altered.IntN(200)) * time.Millisecond)
				alter(t, b, anyLimit(altered))
			}
		})
	}
	time.Sleep(time.Duration(1+rng.IntN(2000)) * time.Millisecond)
	cancel()
	all.Wait()
	alter(t, b, queue.Limit{Messages: 1})
	synctest.Wait()
	f := From(b).engine.topics["t"].flow.Load()
	if err := f.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.pressed.Store(true) // as by who finds no room
	time.Sleep(2 * lookEvery)
	var want int64
	s := b.Stats()
	for _, g := range s.Groups {
		info, err := b.Admin().Group(t.Context(), g.Name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Uncounted {
			continue
		}
		want = max(want, g.Ready+g.InFlight+g.Waiting)
	}
	if held, _ := f.control.Held(); held != f.held {
		t.Errorf("the controller holds %+v, and should %+v", held, f.held)
	}
	if s.Topics[0].Backlog != want || (want == 0) != (s.Topics[0].BacklogBytes == 0) || f.reserved != (backpressure.Weight{}) {
		t.Errorf("first %+v: held %+v, reserved %+v, groups %+v", l, s.Topics[0], f.reserved, s.Groups)
	}
}

// anyLimit is none now and then.
func anyLimit(rng *rand.Rand) queue.Limit {
	l := queue.Limit{Messages: int64(1 + rng.IntN(30)), Bytes: 2 << 20, WhenFull: backpressure.Policy(rng.IntN(4))}
	switch rng.IntN(6) {
	case 0:
		l = queue.Limit{}
	case 1:
		l.Bytes = 0
	case 2:
		l.Rate, l.Burst = 1000, 10
	}
	return l
}

func backlogPublisher(ctx context.Context, t *testing.T, b *queue.Broker, rng *rand.Rand) {
	for ctx.Err() == nil {
		ms := make([]queue.Message, 1+rng.IntN(2))
		for i := range ms {
			ms[i] = queue.Message{Topic: "t", Key: fmt.Append(nil, rng.IntN(5)), Value: make([]byte, rng.IntN(50))}
		}
		_, err := b.PublishBatch(ctx, ms...)
		if err != nil && !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrTooLarge) && !errors.Is(err, queue.ErrIndeterminate) {
			t.Error(err)
			return
		}
		if rng.IntN(3) == 0 || err != nil {
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
	}
}

// backlogGroup consumes for a while, again and again, and has things done to the group in between.
func backlogGroup(ctx context.Context, t *testing.T, b *queue.Broker, name string, rng *rand.Rand) {
	seed := rng.Uint64()
	for n := 0; ctx.Err() == nil; n++ {
		consuming, stop := context.WithTimeout(ctx, time.Duration(rng.IntN(300))*time.Millisecond)
		g := queue.Group{
			Name: name, Topics: []string{"t"}, Order: queue.Order(rng.IntN(3)), Concurrency: 1 + rng.IntN(3), Uncounted: rng.IntN(4) == 0,
			Guarantee: queue.Guarantee(rng.IntN(2)), Failure: queue.Failure{Exhausted: queue.Discard},
		}
		if g.Order == queue.ByKey && g.Guarantee == queue.AtLeastOnce && rng.IntN(2) == 0 {
			g.Failure.WhileRetry, g.Failure.Retry = queue.ParkKey, retry.Constant(100*time.Millisecond)
		}
		err := b.Consume(consuming, g, func(_ context.Context, d *queue.Delivery) error {
			rng := rand.New(rand.NewPCG(seed, uint64(len(d.Value))+uint64(d.Attempt)<<8))
			time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
			if rng.IntN(5) == 0 {
				return errors.New("some trouble")
			}
			return nil
		})
		stop()
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			t.Error(err)
			return
		}
		switch rng.IntN(8) {
		case 0:
			err = b.Admin().Seek(ctx, name, queue.Earliest())
		case 1:
			err = b.Admin().Seek(ctx, name, queue.Latest())
		case 2:
			err = b.Admin().DeleteGroup(ctx, name)
		case 3:
			_, err = b.Admin().Purge(ctx, "t")
		}
		if err != nil && !errors.Is(err, queue.ErrNotFound) && ctx.Err() == nil {
			t.Error(err)
			return
		}
	}
}
