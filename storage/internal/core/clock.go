package core

import (
	"sync"
	"sync/atomic"
	"time"
)

// Clock tells when something is appended and how old it is, by a wall clock that may be set while the store runs, or while it does not.
//
// Append times are the wall clock's. Within a partition they never go back: where the newest one lies ahead of the wall clock, which was set back, those
// that follow go on from there at the pace of time. How far ahead the store has ever been, its lead, outlives it in the checkpoint; so the age of what lies ahead is
// known, and cleanup by age goes on. What was appended before the clock was set ahead does not become older by that while the store runs.
type Clock struct {
	Told func(by time.Duration) // is called when the clock was set, without a lock; nil: nobody wants to know. Set before use

	base  time.Time // what mono counts from, unless read is another's: then zero
	read  func() (wall, mono int64)
	drift atomic.Int64 // wall minus mono, when the clock was last found to have been set
	lead  atomic.Int64

	mu    sync.Mutex // held while the clock is found to have been set
	jumps []jump     // guarded by mu: ahead, oldest first
}

// jump is a step of the wall clock ahead.
type jump struct{ from, by int64 }

const (
	jumpOf   = int64(time.Second) // what a clock has to be off to have been set
	maxJumps = 64
)

func (c *Clock) init() {
	base := time.Now()
	c.read, c.base = func() (wall, mono int64) { return c.parts(time.Now()) }, base
	wall, mono := c.parts(base)
	c.drift.Store(wall - mono)
}

func (c *Clock) parts(now time.Time) (wall, mono int64) {
	return now.UnixNano(), int64(now.Sub(c.base))
}

// Turn has the clock read by read: the wall clock, and one that is never set, in nanoseconds. Before use.
func (c *Clock) Turn(read func() (wall, mono int64)) {
	c.read, c.base = read, time.Time{}
	wall, mono := read()
	c.drift.Store(wall - mono)
}

// Begin takes over the lead of the owner before, and the newest append time of all. It returns how far that lies ahead of the wall clock.
func (c *Clock) Begin(lead, newest int64) time.Duration {
	ahead := max(0, newest-c.Now())
	if ahead == 0 {
		lead = 0
	}
	c.lead.Store(max(lead, ahead))
	return time.Duration(ahead)
}

// Lead is what Begin takes.
func (c *Clock) Lead() int64 { return c.lead.Load() }

// Now is the wall clock, in nanoseconds of Unix time.
func (c *Clock) Now() int64 {
	wall, mono := c.read()
	if c.off(wall, mono) {
		c.set(wall, mono)
	}
	return wall
}

// at is Now, if time.Now just told now; zero: it told nobody. Whether the clock was set is found out by Now alone: now may be of before that.
func (c *Clock) at(now time.Time) int64 {
	if now.IsZero() || c.base.IsZero() {
		return c.Now()
	}
	wall, mono := c.parts(now)
	if c.off(wall, mono) {
		return c.Now()
	}
	return wall
}

// off tells whether the clock was set since that was last found out.
func (c *Clock) off(wall, mono int64) bool {
	by := wall - mono - c.drift.Load()
	return by > jumpOf || by < -jumpOf
}

// set notes that the clock was set.
func (c *Clock) set(wall, mono int64) {
	c.mu.Lock()
	by := wall - mono - c.drift.Load()
	if by <= jumpOf && by >= -jumpOf { // another has noted it
		c.mu.Unlock()
		return
	}
	c.drift.Store(wall - mono)
	if by < 0 {
		c.lead.Add(-by)
		c.unjump(-by)
	} else if rest := by - c.lead.Load(); rest <= 0 {
		c.lead.Add(-by)
	} else {
		c.lead.Store(0)
		c.jumps = append(c.jumps, jump{from: wall - rest, by: rest})
		if len(c.jumps) > maxJumps {
			c.jumps[1].by += c.jumps[0].by // what lies between becomes younger, which is safe
			c.jumps = c.jumps[1:]
		}
	}
	c.mu.Unlock()
	if c.Told != nil {
		c.Told(time.Duration(by))
	}
}

// unjump takes back steps ahead.
func (c *Clock) unjump(by int64) {
	for i := len(c.jumps) - 1; i >= 0 && by > 0; i-- {
		n := min(by, c.jumps[i].by)
		by -= n
		if c.jumps[i].by -= n; c.jumps[i].by == 0 {
			c.jumps = c.jumps[:i]
		}
	}
}

// Stamp returns the append time of what is appended at a time to a partition whose newest append time is last.
func (c *Clock) Stamp(at, last int64) int64 {
	if last <= at {
		return at
	}
	return max(last, at+c.lead.Load())
}

// Age returns how old what was appended at a time is.
func (c *Clock) Age(appended int64) time.Duration {
	now := c.Now()
	if appended > now {
		return time.Duration(now + c.lead.Load() - appended)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	age := now - appended
	for _, j := range c.jumps {
		if appended <= j.from {
			age -= j.by
		}
	}
	return time.Duration(max(0, age))
}

// Horizon returns the append time of what is of some age now.
func (c *Clock) Horizon(age time.Duration) time.Time {
	at := c.Now() - int64(age)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.jumps) - 1; i >= 0 && at < c.jumps[i].from+c.jumps[i].by; i-- {
		at -= c.jumps[i].by
	}
	return unixNano(at)
}
