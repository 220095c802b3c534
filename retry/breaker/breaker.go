package breaker

import (
	"context"
	"sync"
	"time"

	"github.com/leatmq/leat/retry"
)

// Breaker is a circuit breaker; New makes one. Safe for concurrent use; it has no goroutine and needs no Close.
type Breaker struct {
	o     Options      // with defaults
	open  retry.Policy // how long it stays open
	begin time.Time

	mu     sync.Mutex // guards all that follows; no callback runs under it
	state  State
	period uint64        // counts changes: a call of an earlier period no longer counts
	calls  window        // while Closed
	inARow int           // failures since the last success, while Closed
	until  time.Duration // since begin; it stays Open until then
	trips  int           // how often it opened since it was last Closed
	probes probes        // while HalfOpen

	refused, opened int64
	news            news
}

// probes are the calls that a half-open Breaker lets through.
type probes struct {
	running int
	newest  time.Duration // when the last of them began, since the Breaker did
	counts  Counts
}

// New returns a closed Breaker, or what Validate says of o.
func New(o Options) (*Breaker, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	return &Breaker{
		o:     o,
		open:  retry.Policy{First: o.OpenFor, Max: o.MaxOpenFor, Jitter: retry.NoJitter},
		begin: time.Now(),
		calls: window{width: o.Window / steps},
	}, nil
}

// Do calls fn with ctx, unless the Breaker refuses with an *OpenError, and returns what fn does. A panic or a Goexit of fn counts as failed, and goes on.
func (b *Breaker) Do(ctx context.Context, fn func(context.Context) error) error {
	call, err := b.Allow()
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // a panic or a Goexit, of fn or of Judge
			call.end(Failed)
		}
	}()
	err = fn(ctx)
	call.Done(err)
	returned = true
	return err
}

// Call is a call that the Breaker let through. Keep it in one place: a copy that is told the end again counts again.
type Call struct {
	b      *Breaker // nil when its end was told
	period uint64
	begin  time.Duration // since the Breaker did
}

// Allow returns a Call, whose Done must be called when it ends, or an *OpenError.
func (b *Breaker) Allow() (Call, error) {
	b.mu.Lock()
	now := time.Since(b.begin)
	err := b.admit(now)
	call := Call{b: b, period: b.period, begin: now}
	b.unlock()
	if err != nil {
		return Call{}, err
	}
	return call, nil
}

// admit returns nil if a call may go through, and moves from Open to HalfOpen when it is time.
func (b *Breaker) admit(now time.Duration) error {
	if b.state == Open && now >= b.until {
		b.change(HalfOpen, now)
	}
	if b.state == HalfOpen && b.probes.running == b.o.Probes && now-b.probes.newest >= b.o.ProbeTimeout {
		b.probes.counts.add(true, false)
		b.change(Open, now)
	}
	switch {
	case b.state == Open:
		b.refused++
		return &OpenError{Name: b.o.Name, State: Open, Left: b.until - now}
	case b.state == HalfOpen && b.probes.running == b.o.Probes:
		b.refused++
		return &OpenError{Name: b.o.Name, State: HalfOpen}
	case b.state == HalfOpen:
		b.probes.running++
		b.probes.newest = now
	}
	return nil
}

// Done tells how the call ended: nil, or its error, which Options.Judge looks at. It counts once, and only if the Breaker has not changed its state since the
// call began. The zero Call ends nothing.
func (c *Call) Done(err error) {
	if c.b == nil {
		return
	}
	outcome := Succeeded
	if err != nil {
		outcome = c.b.o.Judge(err)
	}
	c.end(outcome)
}

// end is Done with its outcome known.
func (c *Call) end(outcome Outcome) {
	b := c.b
	if b == nil {
		return
	}
	c.b = nil
	b.mu.Lock()
	defer b.unlock()
	if c.period != b.period {
		return
	}
	now := time.Since(b.begin)
	slow := b.o.SlowAfter > 0 && now-c.begin >= b.o.SlowAfter
	if b.state == HalfOpen {
		b.endProbe(outcome, slow, now)
		return
	}
	b.endCall(outcome, slow, now)
}

func (b *Breaker) endProbe(outcome Outcome, slow bool, now time.Duration) {
	p := &b.probes
	p.running--
	if outcome == Ignored {
		return
	}
	p.counts.add(outcome == Failed, slow)
	switch {
	case outcome == Failed || slow:
		b.change(Open, now)
	case p.counts.Calls >= int64(b.o.Successes):
		b.change(Closed, now)
	}
}

func (b *Breaker) endCall(outcome Outcome, slow bool, now time.Duration) {
	if outcome == Ignored {
		return
	}
	b.calls.moveTo(now)
	b.calls.add(outcome == Failed, slow)
	b.inARow++
	if outcome != Failed {
		b.inARow = 0
	}
	if b.tooMuch() {
		b.change(Open, now)
	}
}

// tooMuch reports whether what was counted while Closed is more than may be.
func (b *Breaker) tooMuch() bool {
	sum, o := b.calls.sum, &b.o
	if o.Failures > 0 && b.inARow >= o.Failures {
		return true
	}
	if sum.Calls < int64(o.MinCalls) {
		return false
	}
	passes := func(part int64, ratio float64) bool { return ratio > 0 && float64(part) >= ratio*float64(sum.Calls) }
	return passes(sum.Failed, o.FailureRatio) || passes(sum.Slow, o.SlowRatio)
}

// change begins a new period, in which nothing is counted yet.
func (b *Breaker) change(to State, now time.Duration) {
	c := Change{Name: b.o.Name, From: b.state, To: to, Counts: b.counts()}
	b.state = to
	b.period++
	b.inARow, b.probes = 0, probes{}
	b.calls.reset()
	switch to {
	case Open:
		b.trips++
		b.opened++
		c.OpenFor = b.open.Delay(b.trips, 0, 0)
		b.until = now + c.OpenFor
	case Closed:
		b.trips = 0
	}
	if b.o.OnChange != nil {
		b.news.put(c)
	}
}

func (b *Breaker) counts() Counts {
	switch b.state {
	case Closed:
		return b.calls.sum
	case HalfOpen:
		return b.probes.counts
	}
	return Counts{}
}

// State returns the state. An Open Breaker stays so until a call comes after its time.
func (b *Breaker) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Stats returns the figures of this moment. It changes nothing, but for forgetting what is older than the window.
func (b *Breaker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Since(b.begin)
	b.calls.moveTo(now)
	s := Stats{State: b.state, Counts: b.counts(), InARow: b.inARow, Probing: b.probes.running, Refused: b.refused, Opened: b.opened}
	if b.state == Open {
		s.OpenLeft = max(b.until-now, 0)
	}
	return s
}
