package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
)

func crashCases() []testCase {
	return []testCase{
		{name: "CrashKeepsWhatWasAcknowledged", run: crashMessages, asks: asksCrash, needs: []queue.Feature{queue.CanRead}},
		{name: "CrashKeepsIDs", run: crashIDs, asks: asksCrash, needs: []queue.Feature{queue.CanDedup}},
		{name: "CrashLosesNothingAtLeastOnce", run: func(s *stage) { crashWork(s, queue.AtLeastOnce) }, asks: asksCrash},
		{name: "CrashRepeatsNothingAtMostOnce", run: func(s *stage) { crashWork(s, queue.AtMostOnce) }, asks: asksCrash, needs: []queue.Feature{queue.CanClaim}},
		{name: "CrashLeavesOneOutputExactlyOnce", run: func(s *stage) { crashWork(s, queue.ExactlyOnce) }, asks: asksCrash, needs: []queue.Feature{queue.CanCommit, queue.CanRead}},
	}
}

// fragile opens a broker that can crash, as the stage's.
func (s *stage) fragile() {
	s.Helper()
	b, crash := s.harness.Crash(s, s.options(0))
	s.broker = b
	s.crash = func() { s.broker = crash() }
}

// crashMessages crashes while producers publish.
func crashMessages(s *stage) {
	s.fragile()
	s.topic("t", 3)
	h, next := newHistory(), [loadProducers]int{}
	for range s.sized(3, 6, 60) {
		var acks atomic.Int64
		enough := make(chan struct{})
		var all sync.WaitGroup
		b := s.broker
		for p := range loadProducers {
			all.Go(func() {
				for {
					next[p]++
					v := value(p, next[p])
					r, err := b.Publish(context.Background(), queue.Message{Topic: "t", Key: v, Value: v})
					switch {
					case errors.Is(err, queue.ErrIndeterminate):
						h.published(string(v), maybe, queue.Position{})
					case err != nil:
						h.published(string(v), rejected, queue.Position{})
					default:
						h.published(string(v), acked, r.Position)
						if acks.Add(1) == 30 {
							close(enough)
						}
						continue
					}
					return
				}
			})
		}
		await(s, enough, "some publishes")
		s.crash()
		all.Wait()
	}
	stored := s.records("t")
	for _, r := range stored {
		h.followed(r)
	}
	for _, wrong := range h.check(stored) {
		s.Error(wrong)
	}
	s.Logf("%d acknowledged, %d refused, %d unknown", h.count(acked), h.count(rejected), h.count(maybe))
}

// crashIDs publishes what was acknowledged before a crash again.
func crashIDs(s *stage) {
	s.fragile()
	s.topic("t", 2)
	before := make([]queue.Receipt, 20)
	ms := make([]queue.Message, len(before))
	for i := range ms {
		ms[i] = queue.Message{Topic: "t", ID: fmt.Sprint("id-", i), Value: fmt.Append(nil, i)}
	}
	copy(before, s.publish(ms...))
	for range 2 {
		s.crash()
		for i, r := range s.publish(ms...) {
			if !r.Duplicate || r.Position != before[i].Position {
				s.Errorf("%s after a crash: %+v, want a duplicate of %s", ms[i].ID, r, before[i].Position)
			}
		}
	}
}

// crashLife is how much handlers do between two crashes.
type crashLife struct {
	begun, most int64         // begun is atomic
	enough      chan struct{} // closed when so many have begun
}

// begin lets so many handlers go on, and has the others wait for the crash.
func (l *crashLife) begin(ctx context.Context) error {
	switch n := atomic.AddInt64(&l.begun, 1); {
	case n == l.most:
		close(l.enough)
	case n > l.most:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// crashWork crashes again and again while a group works, and lets it come to an end at last.
func crashWork(s *stage, guarantee queue.Guarantee) {
	const n, each, refill = 60, 10, 20
	s.fragile()
	s.topic("t", 3)
	s.topic("out", 1)
	s.fill("t", n, 10)
	var mu sync.Mutex
	begun := map[string]int{} // guarded by mu
	life := &crashLife{most: each, enough: make(chan struct{})}
	work := func(ctx context.Context, d *queue.Delivery) error {
		mu.Lock()
		begun[string(d.Value)]++
		mu.Unlock()
		if err := life.begin(ctx); err != nil {
			return err
		}
		if guarantee == queue.ExactlyOnce {
			return d.Publish(queue.Message{Topic: "out", Value: d.Value})
		}
		return nil
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 4, Guarantee: guarantee}
	if guarantee != queue.AtMostOnce { // which tries nothing again
		g.Failure.MaxCrashes = 100 // a message may be in flight at each crash, and is not to be given up
	}
	for range 4 {
		s.consume(g, work).await(life.enough, "some handlers")
		s.crash()
		life = &crashLife{most: each, enough: make(chan struct{})} // no handler is left
		if guarantee == queue.AtMostOnce {                         // those that were taken are lost; the first values are published again
			s.fill("t", refill, 10)
		}
	}
	life.most = 1 << 20
	s.consume(g, work)
	s.idle("g")
	mu.Lock()
	defer mu.Unlock()
	for i := range n {
		switch times := begun[fmt.Sprint(i)]; {
		case guarantee == queue.AtMostOnce && i >= refill && times > 1:
			s.Errorf("message %d was worked on %d times", i, times)
		case guarantee != queue.AtMostOnce && times == 0:
			s.Errorf("message %d is lost", i)
		}
	}
	if guarantee == queue.ExactlyOnce {
		want := make([]queue.Message, n)
		for i := range want {
			want[i] = queue.Message{Value: fmt.Append(nil, i)}
		}
		ExpectPublished(s, s.broker, "out", want...)
	}
}
