package backpressure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestRateLetsThroughWhatItSays(t *testing.T) {
	checks(t, 100, 500, 5_000)
	rapid.Check(t, func(rt *rapid.T) {
		perSecond, burst := rapid.Float64Range(0.5, 1000).Draw(rt, "rate"), rapid.IntRange(1, 50).Draw(rt, "burst")
		pauses := rapid.SliceOfN(rapid.IntRange(0, 500), 1, 50).Draw(rt, "pauses")
		synctest.Test(t, func(t *testing.T) {
			r, err := NewRate(perSecond, burst)
			if err != nil {
				t.Fatal(err)
			}
			began, passed := time.Now(), 0
			for _, ms := range pauses {
				time.Sleep(time.Duration(ms) * time.Millisecond)
				for range 5 {
					if r.Allow(1) {
						passed++
					}
				}
				if most := float64(burst) + perSecond*time.Since(began).Seconds() + 1e-6; float64(passed) > most {
					t.Fatalf("%d passed in %v: the rate is %v, the burst %d", passed, time.Since(began), perSecond, burst)
				}
			}
		})
	})
}

func TestRateWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := NewRate(10, 2)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 12 {
			if err := r.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 990*time.Millisecond || took > 1010*time.Millisecond {
			t.Errorf("12 of a burst of 2 and 10 a second took %v", took)
		}
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err = r.Wait(soon, 1)
		if !errors.Is(err, ErrRateLimited) || !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait that is too long: %v", err)
		}
		if err := r.Wait(t.Context(), 3); !errors.Is(err, ErrWeight) {
			t.Errorf("more than the burst: %v", err)
		}
		if r.Allow(-1) || !errors.Is(r.Wait(t.Context(), -1), ErrWeight) {
			t.Error("a negative number passed")
		}
		cancelled, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Millisecond); cancel() }()
		if err := r.Wait(cancelled, 2); !errors.Is(err, ErrRateLimited) || !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that was cancelled: %v", err)
		}
		time.Sleep(200 * time.Millisecond)
		if !r.Allow(2) {
			t.Error("waits that ended took tokens")
		}
	})
}

func TestRateOptions(t *testing.T) {
	for _, perSecond := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := NewRate(perSecond, 1); !errors.Is(err, ErrOption) {
			t.Errorf("a rate of %v: %v", perSecond, err)
		}
	}
	if _, err := NewRate(1, -1); !errors.Is(err, ErrOption) {
		t.Errorf("a negative burst: %v", err)
	}
	for perSecond, want := range map[float64]int{0.1: 1, 5: 1, 1000: 100, 1e300: math.MaxInt32} {
		if r, err := NewRate(perSecond, 0); err != nil || r.Burst() != want {
			t.Errorf("a rate of %v has a burst of %d, %v, want %d", perSecond, r.Burst(), err, want)
		}
	}
}

func TestRatesAreEachKeysOwnInBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := NewRates(RatesOptions{PerSecond: 1, Burst: 2, Keys: 3})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b", "c"} {
			if !r.Allow(key, 2) || r.Allow(key, 1) {
				t.Errorf("key %s does not have its own burst", key)
			}
		}
		if err := r.Wait(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for i := range 100 {
			r.Allow(fmt.Sprint("other", i), 1)
		}
		if keys, forgotten := r.Len(); keys != 3 || forgotten != 97 {
			t.Errorf("%d keys kept, want 3; %d forgotten too early, want 97: all but three that were full", keys, forgotten)
		}
		if !r.Allow("a", 2) {
			t.Error("a key that was forgotten does not begin anew")
		}
	})
	for _, o := range []RatesOptions{{}, {PerSecond: 1, Keys: -1}, {PerSecond: 1, Burst: -1}} {
		if _, err := NewRates(o); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
