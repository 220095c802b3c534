package queuetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
)

func alterCases() []testCase {
	needs := []queue.Feature{queue.CanLimit}
	return []testCase{
		{name: "AlteredLimitRefuses", needs: needs, run: alterRefusing, asks: asksAlter},
		{name: "AlteredLimitDropsTheNew", needs: needs, run: alterDroppingNew, asks: asksAlter},
		{name: "AlteredLimitDropsTheOldest", needs: needs, run: alterDroppingOldest, asks: asksAlter},
		{name: "AlteredLimitLetsPublishersGoOn", needs: needs, run: alterBlocking, asks: asksAlter},
		{name: "AlteredPolicyIsForThoseThatWait", needs: needs, run: alterPolicy, asks: asksAlter},
		{name: "AlteredRate", needs: needs, run: alterRate, asks: asksAlter | asksBubble},
		{name: "AlteredLimitAfterARestart", needs: needs, run: alterRestarted, asks: asksAlter | asksRestart},
	}
}

// bounded has topic "t" with that limit, and group "g", which counts and has no members.
func (s *stage) bounded(l queue.Limit) {
	s.Helper()
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Limit: l}); err != nil {
		s.Fatal(err)
	}
	s.done(0)
}

// done has "g" be done with all that it is behind, which is to be n messages, and returns their values.
func (s *stage) done(n int) []string {
	s.Helper()
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 1})
	c.awaitCount(n)
	s.idle("g")
	c.stop()
	vs := values(c.got())
	if len(vs) != n {
		s.Errorf("%d messages were delivered, want %d: %q", len(vs), n, vs)
	}
	return vs
}

func (s *stage) alter(l queue.Limit) {
	s.Helper()
	s.harness.Alter(s, s.broker, "t", queue.TopicConfig{Limit: l})
}

// room publishes until a publish finds none, n times at most, and returns how many found some.
func (s *stage) room(n int) int {
	s.Helper()
	for i := range n {
		r, err := s.broker.Publish(s.within(), queue.Message{Topic: "t"})
		if errors.Is(err, queue.ErrFull) || err == nil && r.Dropped {
			return i
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	return n
}

func (s *stage) wantRoom(what string, want int) {
	s.Helper()
	if got := s.room(want + 1); got != want {
		s.Errorf("%s: %d messages went in, want %d", what, got, want)
	}
}

// alterBound raises and lowers the bound of a topic that lets no more in than there is room for, without waiting, and takes it away.
func (s *stage) alterBound(p backpressure.Policy) {
	s.Helper()
	limit := func(n int64) queue.Limit { return queue.Limit{Messages: n, WhenFull: p} }
	s.bounded(limit(5))
	s.wantRoom("at first", 5)
	s.alter(limit(8))
	s.wantRoom("raised by 3", 3)
	s.alter(limit(2))
	s.wantRoom("lowered below what is there", 0)
	s.done(8)
	s.wantRoom("when that is done", 2)
	s.alter(queue.Limit{})
	if got := s.room(20); got != 20 {
		s.Errorf("without a limit %d messages went in, want 20", got)
	}
	s.alter(limit(25))
	s.wantRoom("bounded again, beside 22", 3)
	s.done(25)
	s.wantRoom("when that is done", 25)
	s.done(25)
}

func alterRefusing(s *stage)    { s.alterBound(backpressure.Reject) }
func alterDroppingNew(s *stage) { s.alterBound(backpressure.DropNew) }

func alterDroppingOldest(s *stage) {
	limit := func(n int64) queue.Limit { return queue.Limit{Messages: n, WhenFull: backpressure.DropOldest} }
	next := 0
	store := func(n int) {
		for range n {
			s.publish(queue.Message{Topic: "t", Value: fmt.Appendf(nil, "%02d", next)})
			next++
		}
	}
	newest := func(what string, n int) {
		s.Helper()
		got := s.done(n)
		slices.Sort(got)
		for i, v := range got {
			if want := fmt.Sprintf("%02d", next-n+i); v != want {
				s.Fatalf("%s: delivered were %q, want the newest %d before %d", what, got, n, next)
			}
		}
	}
	s.bounded(limit(5))
	store(8)
	s.alter(limit(3))
	store(1)
	newest("lowered to 3", 3)
	store(3)
	s.alter(limit(6))
	store(5)
	newest("raised to 6", 6)
	store(5)
	s.alter(queue.Limit{})
	store(20)
	newest("without a limit", 25)
	store(10)
	s.alter(limit(4))
	store(1)
	newest("bounded again", 4)
}

// publishing has n publishers wait for room, one behind the other, and returns their outcomes.
func (s *stage) publishing(n int) []chan publishOutcome {
	s.Helper()
	b, ctx := s.broker, s.within()
	var outcomes []chan publishOutcome
	for i := range n {
		c := make(chan publishOutcome, 1)
		outcomes = append(outcomes, c)
		go func() {
			r, err := b.Publish(ctx, queue.Message{Topic: "t", Value: fmt.Append(nil, i)})
			c <- publishOutcome{r, err}
		}()
		s.eventually("a publisher waits", func() bool {
			t, ok := s.topicStats("t")
			return !ok || t.Blocked == i+1
		})
	}
	s.quiet()
	return outcomes
}

// publishOutcome is what became of a publish.
type publishOutcome struct {
	receipt queue.Receipt
	err     error
}

func (s *stage) wantLetIn(what string, cs ...chan publishOutcome) {
	s.Helper()
	for i, c := range cs {
		if o := await(s, c, what); o.err != nil || o.receipt.Dropped {
			s.Errorf("%s: publisher %d: %+v, %v", what, i, o.receipt, o.err)
		}
	}
}

func (s *stage) wantStillWaiting(what string, cs ...chan publishOutcome) {
	s.Helper()
	s.quiet()
	for i, c := range cs {
		select {
		case o := <-c:
			s.Errorf("%s: publisher %d did not wait: %+v, %v", what, i, o.receipt, o.err)
		default:
		}
	}
}

func alterBlocking(s *stage) {
	s.bounded(queue.Limit{Messages: 3})
	s.publish(queue.Message{Topic: "t"}, queue.Message{Topic: "t"}, queue.Message{Topic: "t"})
	ps := s.publishing(5)
	s.alter(queue.Limit{Messages: 5})
	s.wantLetIn("raised by 2", ps[:2]...)
	s.wantStillWaiting("raised by 2", ps[2:]...)
	s.alter(queue.Limit{Messages: 1})
	s.wantStillWaiting("lowered", ps[2:]...)
	s.alter(queue.Limit{Messages: 6})
	s.wantLetIn("raised to one more than is there", ps[2])
	s.wantStillWaiting("raised to one more than is there", ps[3:]...)
	s.alter(queue.Limit{})
	s.wantLetIn("without a limit", ps[3:]...)
	s.publish(queue.Message{Topic: "t"}, queue.Message{Topic: "t"})
	s.alter(queue.Limit{Messages: 1})
	ps = s.publishing(1)
	s.done(10 + 1)
	s.wantLetIn("when all is done", ps...)
}

// alterPolicy has publishers wait, and what becomes of them is what the new policy says.
func alterPolicy(s *stage) {
	s.bounded(queue.Limit{Messages: 2})
	s.publish(queue.Message{Topic: "t", Value: []byte("first")}, queue.Message{Topic: "t", Value: []byte("second")})
	ps := s.publishing(2)
	s.alter(queue.Limit{Messages: 2, WhenFull: backpressure.Reject})
	for _, p := range ps {
		s.wantFull(await(s, p, "Reject").err)
	}
	s.alter(queue.Limit{Messages: 2})
	ps = s.publishing(2)
	s.alter(queue.Limit{Messages: 2, WhenFull: backpressure.DropNew})
	for _, p := range ps {
		if o := await(s, p, "DropNew"); o.err != nil || !o.receipt.Dropped {
			s.Errorf("DropNew: %+v, %v", o.receipt, o.err)
		}
	}
	s.alter(queue.Limit{Messages: 2})
	ps = s.publishing(1)
	s.alter(queue.Limit{Messages: 2, WhenFull: backpressure.DropOldest})
	s.wantLetIn("DropOldest", ps...)
	if got := s.done(2); !slices.Contains(got, "second") || !slices.Contains(got, "0") {
		s.Errorf("delivered were %q, want the second and what waited", got)
	}
}

func alterRate(s *stage) {
	s.bounded(queue.Limit{Rate: 0.001, Burst: 1})
	s.publish(queue.Message{Topic: "t"})
	b, ctx, ps := s.broker, s.within(), make(chan publishOutcome, 3)
	for range 3 {
		go func() {
			r, err := b.Publish(ctx, queue.Message{Topic: "t"})
			ps <- publishOutcome{r, err}
		}()
	}
	s.quiet()
	began := time.Now()
	s.alter(queue.Limit{Rate: 1, Burst: 1})
	s.wantLetIn("two tokens", ps, ps)
	if took := time.Since(began); took < 1900*time.Millisecond || took > 4*time.Second {
		s.Errorf("two tokens of one a second took %v", took)
	}
	began = time.Now()
	s.alter(queue.Limit{})
	s.wantLetIn("without a rate", ps)
	if took := time.Since(began); took > 0 {
		s.Errorf("without a rate it took %v", took)
	}
}

func alterRestarted(s *stage) {
	s.bounded(queue.Limit{Messages: 5, WhenFull: backpressure.Reject})
	s.wantRoom("at first", 5)
	s.alter(queue.Limit{Messages: 7, WhenFull: backpressure.Reject})
	s.restart()
	s.wantRoom("raised before the restart", 2)
	s.alter(queue.Limit{})
	s.restart()
	if got := s.room(20); got != 20 {
		s.Errorf("without a limit %d messages went in, want 20", got)
	}
	s.done(27)
}
