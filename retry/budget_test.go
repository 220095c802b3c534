package retry_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/retry"
	"pgregory.net/rapid"
)

func newBudget(t *testing.T, o retry.BudgetOptions) *retry.Budget {
	t.Helper()
	b, err := retry.NewBudget(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withdraw takes until nothing is left, and returns how much there was.
func withdraw(b *retry.Budget) (n int) {
	for b.Withdraw() {
		n++
	}
	return n
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, retry.BudgetOptions{Ratio: 0.25, PerSecond: 2, Burst: 3})
		if n := withdraw(b); n != 3 {
			t.Errorf("%d at first, want the burst of 3", n)
		}
		for range 8 {
			b.Deposit()
		}
		if n := withdraw(b); n != 2 {
			t.Errorf("%d for 8 calls, want a quarter", n)
		}
		time.Sleep(time.Second)
		if n := withdraw(b); n != 2 {
			t.Errorf("%d for a second, want 2", n)
		}
		for range 1000 {
			b.Deposit()
		}
		time.Sleep(time.Hour)
		if n := withdraw(b); n != 3 {
			t.Errorf("%d after much, want the burst of 3", n)
		}
		s := b.Stats()
		if want := (retry.BudgetStats{Tokens: 0, Calls: 1008, Retries: 10, Refused: 4}); s != want {
			t.Errorf("%+v, want %+v", s, want)
		}
	})
}

func TestZeroBudgetHasTheDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var zero retry.Budget
		for name, b := range map[string]*retry.Budget{"zero": &zero, "new": newBudget(t, retry.BudgetOptions{})} {
			first := withdraw(b)
			time.Sleep(5 * time.Second)
			if then := withdraw(b); first != 10 || then != 5 {
				t.Errorf("%s: %d at first, %d after 5 seconds, want 10 and 5", name, first, then)
			}
		}
		none := newBudget(t, retry.BudgetOptions{Ratio: -1, PerSecond: -1, Burst: 1})
		withdraw(none)
		none.Deposit()
		time.Sleep(time.Hour)
		if n := withdraw(none); n != 0 {
			t.Errorf("%d without calls and time", n)
		}
	})
}

func TestBudgetOptions(t *testing.T) {
	for _, test := range []struct {
		o      retry.BudgetOptions
		fields []string
	}{
		{retry.BudgetOptions{}, nil},
		{retry.BudgetOptions{Ratio: -1, PerSecond: -1, Burst: 1}, nil},
		{retry.BudgetOptions{Ratio: math.NaN(), PerSecond: math.Inf(1), Burst: -1}, []string{"Ratio", "PerSecond", "Burst"}},
		{retry.BudgetOptions{Burst: math.MaxInt}, []string{"Burst"}},
	} {
		b, err := retry.NewBudget(test.o)
		if got := fieldsOf(err); !slices.Equal(got, test.fields) || (b == nil) != (err != nil) {
			t.Errorf("%+v: %v", test.o, err)
		}
	}
}

// TestBudgetIsNeverPassed: over any history, retries are at most the burst, the part of the calls and what time brought.
func TestBudgetIsNeverPassed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := retry.BudgetOptions{
			Ratio: rapid.Float64Range(0.01, 2).Draw(rt, "ratio"), PerSecond: rapid.Float64Range(0.01, 5).Draw(rt, "per second"),
			Burst: rapid.IntRange(1, 20).Draw(rt, "burst"),
		}
		steps := rapid.SliceOf(rapid.IntRange(0, 1000)).Draw(rt, "steps")
		var fault string
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(t, o)
			begin := time.Now()
			for _, step := range steps {
				switch {
				case step < 400:
					b.Deposit()
				case step < 900:
					b.Withdraw()
				default:
					time.Sleep(time.Duration(step-900) * 50 * time.Millisecond)
				}
			}
			s := b.Stats()
			most := float64(o.Burst) + o.Ratio*float64(s.Calls) + o.PerSecond*time.Since(begin).Seconds() + 1e-6
			if float64(s.Retries)+s.Tokens > most || s.Tokens < 0 || s.Tokens > float64(o.Burst) {
				fault = fmt.Sprintf("%+v, at most %v in all", s, most)
			}
		})
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

// TestDoSharesABudget: when everything fails, a tenth is added to the load, not seven times it.
func TestDoSharesABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retry.Runner{Policy: retry.Constant(0), Budget: newBudget(t, retry.BudgetOptions{PerSecond: -1})}
		var mu sync.Mutex
		calls, refused := 0, 0
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				err := r.Do(t.Context(), func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					calls++
					return errDown
				})
				mu.Lock()
				defer mu.Unlock()
				if e, ok := err.(*retry.Error); ok && e.Reason == retry.OutOfBudget {
					refused++
				}
			})
		}
		all.Wait()
		if calls < 1000+80 || calls > 1000+10+100 {
			t.Errorf("%d calls for 1000, want at most a burst of 10 and a tenth more", calls)
		}
		if refused < 900 {
			t.Errorf("%d were out of budget", refused)
		}
	})
}

// TestCancelledRetryIsGivenBack: a retry that was paid for and did not come.
func TestCancelledRetryIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, retry.BudgetOptions{Burst: 5, Ratio: -1, PerSecond: -1})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := retry.Runner{Policy: retry.Constant(time.Minute), Budget: b}.Do(ctx, func(context.Context) error { return errDown })
		wantError(t, err, retry.Cancelled, 1)
		if s := b.Stats(); s.Tokens != 5 || s.Retries != 0 {
			t.Errorf("%+v", s)
		}
	})
}
