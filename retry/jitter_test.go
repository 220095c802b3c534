package retry_test

import (
	"testing"
	"time"

	"github.com/leatmq/leat/retry"
	"pgregory.net/rapid"
)

// policies draws policies that Validate takes.
func policies() *rapid.Generator[retry.Policy] {
	return rapid.Custom(func(t *rapid.T) retry.Policy {
		p := retry.Policy{Jitter: retry.Jitter(rapid.IntRange(0, 3).Draw(t, "jitter"))}
		if p.Jitter != retry.DecorrelatedJitter && rapid.Bool().Draw(t, "listed") {
			p.List = rapid.SliceOfN(rapid.Map(rapid.Int64Min(0), func(n int64) time.Duration { return time.Duration(n) }), 1, 5).Draw(t, "list")
			return p
		}
		p.Max = time.Duration(rapid.Int64Min(1).Draw(t, "max"))
		p.First = time.Duration(rapid.Int64Range(1, int64(p.Max)).Draw(t, "first"))
		p.Factor = rapid.OneOf(rapid.SampledFrom([]float64{0, 1, 2, 3}), rapid.Float64Range(1, 1e9)).Draw(t, "factor")
		return p
	})
}

// TestDelayLaws: never below what the jitter promises, never above the bound of the attempt, which never shrinks nor passes Max, the same when asked again.
func TestDelayLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies().Draw(t, "policy")
		if err := p.Validate(); err != nil {
			t.Fatalf("refused: %v", err)
		}
		n := rapid.OneOf(rapid.IntRange(0, 70), rapid.Int()).Draw(t, "attempt")
		seed := rapid.Uint64().Draw(t, "seed")
		previous := time.Duration(rapid.Int64().Draw(t, "previous"))
		got := p.Delay(n, previous, seed)
		if again := p.Delay(n, previous, seed); again != got {
			t.Fatalf("%v, and asked again %v", got, again)
		}
		least, most := bounds(p, n)
		if got < least || got > most {
			t.Fatalf("%v is not within %v and %v", got, least, most)
		}
		if p.List != nil {
			return
		}
		_, next := bounds(p, max(n, n+1))
		if float64(next) < float64(most)*(1-1e-12) || next > p.Max { // but for what floating point rounds off
			t.Fatalf("the bound goes from %v to %v, with Max %v", most, next, p.Max)
		}
	})
}

// bounds returns the least and the most that the policy may wait after attempt n, by what its jitter is.
func bounds(p retry.Policy, n int) (least, most time.Duration) {
	if p.Jitter == retry.DecorrelatedJitter {
		return p.First, p.Max
	}
	jitter := p.Jitter
	p.Jitter = retry.NoJitter
	d := p.Delay(n, 0, 0)
	switch jitter {
	case retry.FullJitter:
		return 0, d
	case retry.EqualJitter:
		return d / 2, d
	}
	return d, d
}

// TestDecorrelated: within First and Factor times the delay before, and the same whether that is given or found again from the seed.
func TestDecorrelated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := retry.Policy{First: time.Millisecond, Max: time.Duration(rapid.Int64Range(1e6, 1e12).Draw(t, "max")), Jitter: retry.DecorrelatedJitter}
		seed := rapid.Uint64().Draw(t, "seed")
		previous := p.First
		for n := 1; n <= 8; n++ {
			d := p.Delay(n, previous, seed)
			if n == 1 {
				d = p.Delay(n, 0, seed)
			}
			if found := p.Delay(n, 0, seed); found != d {
				t.Fatalf("attempt %d: %v from the seed alone, %v from the delay before", n, found, d)
			}
			if d < p.First || d > min(3*previous, p.Max) {
				t.Fatalf("attempt %d: %v after %v", n, d, previous)
			}
			previous = d
		}
	})
	rapid.Check(t, func(t *rapid.T) { // a delay before that is none of the seed's
		p := retry.Policy{First: time.Millisecond, Max: time.Minute, Jitter: retry.DecorrelatedJitter}
		seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(2, 100).Draw(t, "attempt")
		previous := time.Duration(rapid.Int64Range(1, 1e12).Draw(t, "previous"))
		d, more := p.Delay(n, previous, seed), p.Delay(n, 2*previous, seed)
		if d < p.First || d > min(3*max(previous, p.First), p.Max) || more < d {
			t.Fatalf("%v after %v, %v after twice that", d, previous, more)
		}
	})
}

// TestDecorrelatedFromTheSeed: where the first draws are taken for their mean, delays are on average about those of the whole chain.
func TestDecorrelatedFromTheSeed(t *testing.T) {
	const seeds = 2000
	p := retry.Policy{Jitter: retry.DecorrelatedJitter}
	for _, n := range []int{1, 10, 20, 40, 100, 1000} {
		var alone, chain time.Duration
		for seed := range uint64(seeds) {
			alone += p.Delay(n, 0, seed) / seeds
			d := p.Delay(1, 0, seed)
			for i := 2; i <= n; i++ {
				d = p.Delay(i, d, seed)
			}
			chain += d / seeds
		}
		t.Logf("attempt %4d: mean %v, of the whole chain %v", n, alone, chain)
		if alone < chain/2 || alone > 2*chain {
			t.Errorf("attempt %d: mean %v, of the whole chain %v", n, alone, chain)
		}
	}
}

// TestJitterIsEven: each tenth of what may come comes about as often as the others, over seeds and over attempts.
func TestJitterIsEven(t *testing.T) {
	const draws = 20_000
	for _, jitter := range []retry.Jitter{retry.FullJitter, retry.EqualJitter, retry.DecorrelatedJitter} {
		p := retry.Policy{First: 1000, Max: 1000, Jitter: jitter}
		if jitter == retry.DecorrelatedJitter {
			p.Max = 3000
		}
		least, most := bounds(p, 1)
		var bySeed, byAttempt [10]int
		tenth := func(d time.Duration) int { return int(min((d-least)*10/(most-least), 9)) }
		for i := range draws {
			bySeed[tenth(p.Delay(1, 0, uint64(i)))]++
			byAttempt[tenth(p.Delay(i+1, p.First, 42))]++
		}
		for i := range bySeed {
			for _, n := range []int{bySeed[i], byAttempt[i]} {
				if n < draws/10*9/10 || n > draws/10*11/10 {
					t.Errorf("%v: tenth %d has %d and %d of %d", jitter, i, bySeed[i], byAttempt[i], draws)
				}
			}
		}
	}
}
