package breaker_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/retry/breaker"
	"pgregory.net/rapid"
)

// model is a breaker that remembers every call, and counts anew each time.
type model struct {
	o       breaker.Options // with defaults
	state   breaker.State
	period  int
	calls   []ended // of this period
	until   time.Duration
	trips   int
	running int
}

// ended is a call that ended: in which tenth of the window, and how.
type ended struct {
	step         int64
	failed, slow bool
}

func (m *model) change(to breaker.State, now time.Duration) {
	m.state, m.calls, m.running = to, nil, 0
	m.period++
	switch to {
	case breaker.Open:
		m.until = now + min(m.o.OpenFor<<min(m.trips, 20), m.o.MaxOpenFor)
		m.trips++
	case breaker.Closed:
		m.trips = 0
	}
}

func (m *model) allow(now time.Duration) bool {
	if m.state == breaker.Open && now >= m.until {
		m.change(breaker.HalfOpen, now)
	}
	if m.state == breaker.Open || m.state == breaker.HalfOpen && m.running == m.o.Probes {
		return false
	}
	m.running++
	return true
}

func (m *model) done(period int, outcome breaker.Outcome, took, now time.Duration) {
	if period != m.period {
		return
	}
	m.running--
	if outcome == breaker.Ignored {
		return
	}
	slow := m.o.SlowAfter > 0 && took >= m.o.SlowAfter
	m.calls = append(m.calls, ended{int64(now / (m.o.Window / 10)), outcome == breaker.Failed, slow})
	if m.state == breaker.HalfOpen {
		if outcome == breaker.Failed || slow {
			m.change(breaker.Open, now)
		} else if len(m.calls) == m.o.Successes {
			m.change(breaker.Closed, now)
		}
		return
	}
	row, c := 0, m.counts(now)
	for _, call := range m.calls {
		row++
		if !call.failed {
			row = 0
		}
	}
	byRow := m.o.Failures > 0 && row >= m.o.Failures
	byRatio := m.o.FailureRatio > 0 && float64(c.Failed) >= m.o.FailureRatio*float64(c.Calls)
	bySlow := m.o.SlowRatio > 0 && float64(c.Slow) >= m.o.SlowRatio*float64(c.Calls)
	if byRow || c.Calls >= int64(m.o.MinCalls) && (byRatio || bySlow) {
		m.change(breaker.Open, now)
	}
}

func (m *model) counts(now time.Duration) (c breaker.Counts) {
	for _, call := range m.calls {
		if m.state == breaker.Closed && call.step <= int64(now/(m.o.Window/10))-10 {
			continue
		}
		c.Calls++
		if call.failed {
			c.Failed++
		}
		if call.slow {
			c.Slow++
		}
	}
	return c
}

// step is one of a history: time passes, then a call begins, or the one of that number among those that run ends.
type step struct {
	Sleep time.Duration
	Begin bool
	Which int
	End   breaker.Outcome
}

// judged has an error for each outcome.
var judged = []error{nil, errDown, retry.Permanent(errDown)}

func judge(err error) breaker.Outcome {
	for i := range judged {
		if judged[i] == err {
			return breaker.Outcome(i)
		}
	}
	return breaker.Failed
}

// TestModel compares with the model after each step of random histories.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := breaker.Options{
			Failures:     rapid.SampledFrom([]int{-1, 1, 2, 5}).Draw(rt, "failures"),
			FailureRatio: rapid.SampledFrom([]float64{0, 0.3, 0.5, 1}).Draw(rt, "ratio"),
			MinCalls:     rapid.IntRange(1, 6).Draw(rt, "min calls"),
			Window:       10 * time.Second, OpenFor: 3 * time.Second, MaxOpenFor: 10 * time.Second,
			Probes: rapid.IntRange(1, 3).Draw(rt, "probes"), Successes: rapid.IntRange(1, 4).Draw(rt, "successes"),
			ProbeTimeout: 1000 * time.Hour, Judge: judge,
		}
		if rapid.Bool().Draw(rt, "slow") {
			o.SlowAfter, o.SlowRatio = 2*time.Second, 0.5
		}
		history := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{
				Sleep: time.Duration(max(0, rapid.IntRange(-4, 6).Draw(t, "sleep"))) * 500 * time.Millisecond,
				Begin: rapid.Bool().Draw(t, "begin"), Which: rapid.IntRange(0, 9).Draw(t, "which"),
				End: breaker.Outcome(rapid.IntRange(0, 2).Draw(t, "end")),
			}
		}), 20, 120).Draw(rt, "history")
		fault := ""
		synctest.Test(t, func(t *testing.T) { fault = follow(newBreaker(t, o), &model{o: o.WithDefaults()}, history) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

func follow(b *breaker.Breaker, m *model, history []step) (fault string) {
	type running struct {
		call   breaker.Call
		period int
		since  time.Duration
	}
	var calls []running
	begin := time.Now()
	for i, s := range history {
		time.Sleep(s.Sleep)
		now := time.Since(begin)
		if s.Begin || len(calls) == 0 {
			call, err := b.Allow()
			if want := m.allow(now); want != (err == nil) {
				return fmt.Sprintf("step %d: %v, the model says %v", i, err, want)
			}
			if err == nil {
				calls = append(calls, running{call, m.period, now})
			}
		} else {
			c := &calls[s.Which%len(calls)]
			c.call.Done(judged[s.End])
			m.done(c.period, s.End, now-c.since, now)
			*c = calls[len(calls)-1]
			calls = calls[:len(calls)-1]
		}
		if got := b.Stats(); got.State != m.state || got.Counts != m.counts(now) {
			return fmt.Sprintf("step %d, after %v: %+v, the model has %v, %+v", i, now, got, m.state, m.counts(now))
		}
	}
	return ""
}
