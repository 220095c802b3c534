package retry

import (
	"fmt"
	"math/bits"
	"time"
)

// Jitter says how delays are spread. Many that fail at one moment would otherwise come back at one moment, again and again. The first three are those
// that Marc Brooker compares in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
type Jitter uint8

const (
	// FullJitter takes anything from 0 to the delay: the least work for the other side.
	FullJitter Jitter = iota
	// EqualJitter takes anything from half the delay to the delay: never much too early.
	EqualJitter
	// DecorrelatedJitter takes anything from First to Factor times the delay before: it grows from what it drew, not from the number of
	// the attempt.
	DecorrelatedJitter
	// NoJitter takes the delay as it is.
	NoJitter
)

func (j Jitter) known() bool { return j <= NoJitter }

// String returns the name of the constant.
func (j Jitter) String() string {
	switch j {
	case FullJitter:
		return "FullJitter"
	case EqualJitter:
		return "EqualJitter"
	case DecorrelatedJitter:
		return "DecorrelatedJitter"
	case NoJitter:
		return "NoJitter"
	}
	return fmt.Sprintf("Jitter(%d)", uint8(j))
}

// spread takes a part of d.
func (j Jitter) spread(d time.Duration, random uint64) time.Duration {
	switch j {
	case FullJitter:
		return upTo(d, random)
	case EqualJitter:
		half := d / 2
		return half + upTo(d-half, random)
	}
	return d
}

// upTo returns one of 0 to d, both included, all alike for an even random. d must not be negative.
func upTo(d time.Duration, random uint64) time.Duration {
	hi, _ := bits.Mul64(random, uint64(d)+1)
	return time.Duration(hi)
}

// draw returns the random number that belongs to a seed and an attempt: step number of the generator SplitMix64 (Steele, Lea, Flood: "Fast Splittable
// Pseudorandom Number Generators", OOPSLA 2014), which can be had without the steps before it. That is what makes a policy
// with jitter answer alike when it is asked twice.
func draw(seed uint64, number int) uint64 {
	z := seed + uint64(number)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
