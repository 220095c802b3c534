package retry

import (
	"math/bits"
	"time"
)

// replayed is how many draws of DecorrelatedJitter are made again when the delay before is not given.
const replayed = 8

// Delay returns how long to wait after the failed attempt of that number, counted from 1; lower numbers count as 1. It is pure: the same arguments give
// the same delay. It is never negative and never above Max, or the largest of List, whatever the number.
//
// Calls that must not meet need different seeds; a seed may be anything that tells them apart, such as a random number or the place of
// a message. previous is the delay that was waited before the attempt, and only DecorrelatedJitter looks at it. Where it is not known, give 0: the
// draws before are made again from the seed, the last 8 of them, and those before these are taken for their mean, so that late delays are about
// as long, not the same.
func (p Policy) Delay(number int, previous time.Duration, seed uint64) time.Duration {
	p.fill()
	return p.delay(max(number, 1), previous, seed)
}

// delay is Delay of a policy with its defaults filled in.
func (p *Policy) delay(number int, previous time.Duration, seed uint64) time.Duration {
	switch {
	case p.List != nil:
		return p.Jitter.spread(p.listed(number), draw(seed, number))
	case p.Jitter == DecorrelatedJitter:
		return p.decorrelated(number, previous, seed)
	}
	return p.Jitter.spread(grown(p.First, p.Max, p.Factor, number-1), draw(seed, number))
}

func (p *Policy) listed(number int) time.Duration {
	if len(p.List) == 0 {
		return DefaultFirst // refused by Validate
	}
	return max(p.List[min(number, len(p.List))-1], 0)
}

func (p *Policy) decorrelated(number int, previous time.Duration, seed uint64) time.Duration {
	if number > 1 && previous > 0 {
		return p.between(max(previous, p.First), draw(seed, number))
	}
	from, d := 1, p.First
	if number > replayed {
		from = number - replayed + 1
		d = grown(p.First, max(p.First, p.Max/4), max(p.Factor/2, 1), number-replayed) // Max cuts the mean too
	}
	for i := range number - from + 1 {
		d = p.between(d, draw(seed, from+i))
	}
	return d
}

// between returns one of First to Factor times d, at most Max.
func (p *Policy) between(d time.Duration, random uint64) time.Duration {
	return p.First + upTo(times(d, p.Factor, p.Max)-p.First, random)
}

// grown returns d multiplied steps times, at most bound. It needs 0 < d <= bound, factor >= 1 and steps >= 0.
func grown(d, bound time.Duration, factor float64, steps int) time.Duration {
	switch {
	case factor == 1:
		return d
	case factor != 2:
		return times(d, power(factor, steps, float64(bound)), bound)
	case steps >= bits.LeadingZeros64(uint64(d)): // it would reach the sign
		return bound
	}
	return min(d<<steps, bound)
}

// power returns factor to the steps, or something above enough if it is above enough. math.Pow takes several times as long.
func power(factor float64, steps int, enough float64) float64 {
	product := 1.0
	for ; steps > 0 && product <= enough; steps >>= 1 {
		if steps&1 == 1 {
			product *= factor
		}
		factor *= factor
	}
	return product
}

// times returns d times factor, at most bound, also where that is past what a Duration holds.
func times(d time.Duration, factor float64, bound time.Duration) time.Duration {
	product := float64(d) * factor
	if !(product < float64(bound)) {
		return bound
	}
	return max(time.Duration(product), d)
}
