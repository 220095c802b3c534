package backpressure

import (
	"fmt"
	"math"
)

// Weight is what something counts for. In a bound a zero field is no bound.
type Weight struct{ Count, Bytes int64 }

// Plus returns the sum.
func (w Weight) Plus(o Weight) Weight { return Weight{w.Count + o.Count, w.Bytes + o.Bytes} }

// Minus returns the difference.
func (w Weight) Minus(o Weight) Weight { return Weight{w.Count - o.Count, w.Bytes - o.Bytes} }

// Max returns the larger of each field.
func (w Weight) Max(o Weight) Weight { return Weight{max(w.Count, o.Count), max(w.Bytes, o.Bytes)} }

// within tells whether w, which is not negative, fits beside used.
func (w Weight) within(most, used Weight) bool {
	return w.Count <= most.Count-used.Count && w.Bytes <= most.Bytes-used.Bytes
}

// bad tells whether w can never be taken.
func (w Weight) bad() bool { return w.Count|w.Bytes < 0 }

// limit returns bound with what is no bound as the largest number, and an error for one that bounds nothing.
func limit(bound Weight) (Weight, error) {
	if bound.bad() || bound == (Weight{}) {
		return bound, fmt.Errorf("%w: a bound of %+v: neither field negative, and one of them not zero", ErrOption, bound)
	}
	if bound.Count == 0 {
		bound.Count = math.MaxInt64
	}
	if bound.Bytes == 0 {
		bound.Bytes = math.MaxInt64
	}
	return bound, nil
}

// judge returns ErrWeight for a weight that can never be within most.
func (w Weight) judge(most Weight) error {
	if w.bad() || !w.within(most, Weight{}) {
		return fmt.Errorf("%w: %+v, the bound is %+v", ErrWeight, w, most)
	}
	return nil
}
