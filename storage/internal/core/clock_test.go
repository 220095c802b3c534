package core

import (
	"math/rand/v2"
	"testing"
	"time"
)

// turned is a clock whose hands a test moves.
type turned struct {
	Clock
	wall, mono int64
}

func newTurned() *turned {
	c := &turned{wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()}
	c.Turn(func() (int64, int64) { return c.wall, c.mono })
	return c
}

func (c *turned) pass(d time.Duration) { c.wall += int64(d); c.mono += int64(d) }
func (c *turned) set(d time.Duration)  { c.wall += int64(d) }

const (
	hour = time.Hour
	day  = 24 * hour
	year = 365 * day
)

// However the clock is set, append times do not go back, and what is appended becomes old at the pace of time: never sooner, and not for ever later (G31, M25).
func TestClockIsSet(t *testing.T) {
	for _, steps := range [][]time.Duration{
		{}, {-2 * time.Second}, {-day}, {-56 * year}, {10 * year}, {10 * year, -10 * year}, {-day, day}, {-56 * year, 56 * year},
		{5 * time.Second, -7 * time.Second, 3 * time.Second, -time.Second, -2 * time.Second}, {day, day, -2 * day}, {-day, 3 * day},
	} {
		c, told := newTurned(), 0
		c.Told = func(time.Duration) { told++ }
		type appended struct{ stamp, mono int64 }
		var all []appended
		last, rng := int64(0), rand.New(rand.NewPCG(1, 1))
		record := func() {
			for range 20 {
				c.pass(time.Duration(rng.Int64N(int64(time.Minute))))
				stamp := c.Stamp(c.Now(), last)
				if stamp < last {
					t.Fatalf("%v: append times go back by %v", steps, time.Duration(last-stamp))
				}
				last = stamp
				all = append(all, appended{stamp, c.mono})
			}
		}
		record()
		for _, step := range steps {
			c.set(step)
			record()
		}
		c.pass(2 * day)
		for _, a := range all {
			age, is := c.Age(a.stamp), time.Duration(c.mono-a.mono)
			if age > is+2*time.Second {
				t.Errorf("%v: what is %v old is taken for %v old", steps, is, age)
			}
			if a.stamp > c.wall && age < is-hour {
				t.Errorf("%v: what is %v old and lies ahead is taken for %v old", steps, is, age)
			}
		}
		if age := c.Age(last); age < day && len(steps) < 2 {
			t.Errorf("%v: two days later, the newest is %v old", steps, age)
		}
		if h := c.Horizon(hour).UnixNano(); c.wall > last && len(steps) == 1 && steps[0] > 0 && h < all[0].stamp {
			t.Errorf("%v: what is older than an hour lies before %v", steps, c.Horizon(hour))
		}
		if len(steps) > 0 && told == 0 {
			t.Errorf("%v: nobody was told", steps)
		}
	}
}

// A process that is started daily cleans up all the same what was stamped by a clock that was ahead.
func TestClockAheadIsOutlived(t *testing.T) {
	c := newTurned()
	stamp := c.wall + int64(10*year)
	lead := int64(0)
	for days := range 8 {
		next := newTurned()
		next.wall = c.wall + int64(day)
		if ahead := next.Begin(lead, stamp); ahead <= 0 {
			t.Fatal("not ahead")
		}
		c, lead = next, next.Lead()
		if age := c.Age(stamp); age != time.Duration(days)*day {
			t.Errorf("after %d days, it is %v old", days, age)
		}
	}
	c.set(11 * year)
	if c.Begin(lead, stamp) != 0 || c.Lead() != 0 {
		t.Error("the clock is right again, and there is a lead")
	}
}

// TestClockBelievesWhoLooked: but only where it would have read the same clock.
func TestClockBelievesWhoLooked(t *testing.T) {
	var c Clock
	c.init()
	now := time.Now()
	if got := c.at(now); got != now.UnixNano() {
		t.Errorf("%d, want what was told, %d", got, now.UnixNano())
	}
	if got := c.at(time.Time{}); got < now.UnixNano() {
		t.Errorf("told nothing, it is %d, before %d", got, now.UnixNano())
	}
	c.drift.Add(-2 * jumpOf) // as if it had been set ahead, and that found out, since now
	if got := c.at(now); got <= now.UnixNano() || c.Lead() != 0 {
		t.Errorf("%d, lead %d: want what it is now, since it was set meanwhile", got, c.Lead())
	}
	c.Turn(func() (wall, mono int64) { return 7, 7 })
	if got := c.at(now); got != 7 {
		t.Errorf("%d, want that of the clock that it was given, 7", got)
	}
}
