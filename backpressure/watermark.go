package backpressure

import (
	"fmt"
	"math"
	"sync"
)

// Watermark tells when something became much, and when that is over: it is high from High of the bound on, in number or in bytes, until both are at Low or below again, so
// that what goes up and down at one level is not told again and again. It is a number and no lock: not safe for concurrent use.
type Watermark struct {
	share     Marks
	high, low Weight
	above     bool
}

// Marks are parts of a bound, from 0 to 1. Zero values: high at 0.8, low at half of High.
type Marks struct{ High, Low float64 }

const defaultHigh = 0.8

// NewWatermark returns the watermark of a bound, of which a zero field is no bound. ErrOption for a bound or marks that cannot be: 0 <= Low < High <= 1.
func NewWatermark(bound Weight, m Marks) (*Watermark, error) {
	most, err := limit(bound)
	if err != nil {
		return nil, err
	}
	if m.High == 0 {
		m.High = defaultHigh
	}
	if m.Low == 0 {
		m.Low = m.High / 2
	}
	if !(m.Low > 0 && m.Low < m.High && m.High <= 1) {
		return nil, fmt.Errorf("%w: marks %+v: Low must be below High, and both from 0 to 1", ErrOption, m)
	}
	w := &Watermark{share: m}
	w.bound(most)
	return w, nil
}

// bound sets what the marks are parts of.
func (w *Watermark) bound(most Weight) {
	part := func(n int64, share float64, round func(float64) float64) int64 {
		if n == math.MaxInt64 {
			return n
		}
		return int64(round(float64(n) * share))
	}
	w.high = Weight{part(most.Count, w.share.High, math.Ceil), part(most.Bytes, w.share.High, math.Ceil)}
	w.low = Weight{part(most.Count, w.share.Low, math.Floor), part(most.Bytes, w.share.Low, math.Floor)}
}

// Note tells whether what is held crossed a mark: High then says which way.
func (w *Watermark) Note(held Weight) (crossed bool) {
	if w.above {
		crossed = held.Count <= w.low.Count && held.Bytes <= w.low.Bytes
	} else {
		crossed = held.Count >= w.high.Count || held.Bytes >= w.high.Bytes
	}
	w.above = w.above != crossed
	return crossed
}

// High tells whether it is high.
func (w *Watermark) High() bool { return w.above }

// crossing tells of a gate's crossings, one at a time and in order, whoever caused them.
type crossing struct {
	mark *Watermark // guarded by the gate's lock
	fn   func(high bool, held Weight)

	mu      sync.Mutex
	news    bool   // guarded by mu; of high and held
	high    bool   // guarded by mu
	held    Weight // guarded by mu
	told    bool   // guarded by mu; the last that was told: high
	telling bool   // guarded by mu; somebody is at it
}

// note is called with the gate's lock held.
func (c *crossing) note(held Weight) bool {
	if !c.mark.Note(held) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.news, c.high, c.held = true, c.mark.High(), held
	return true
}

// tell tells what is new. A crossing that was taken back before anybody could be told is not told.
func (c *crossing) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.telling {
		return
	}
	c.telling = true
	for c.news {
		c.news = false
		if c.high == c.told {
			continue
		}
		c.told = c.high
		high, held := c.high, c.held
		c.mu.Unlock()
		c.fn(high, held)
		c.mu.Lock()
	}
	c.telling = false
}

// Watch has fn told when the gate becomes high by m, and when it is low again: in turn, one call at a time, by who caused it, without a lock held. fn may use the gate; it holds up whoever
// caused it, and must not panic. It is to be called once, before the gate is used. ErrOption, as NewWatermark.
func (g *Gate) Watch(m Marks, fn func(high bool, held Weight)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	mark, err := NewWatermark(g.most, m)
	if err != nil {
		return err
	}
	g.marks = &crossing{mark: mark, fn: fn}
	return nil
}
