package retry_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/leatmq/leat/retry"
)

// shapes are policies of each kind.
func shapes() map[string]retry.Policy {
	grown := retry.Exponential(time.Millisecond, time.Minute)
	equal, decorrelated, slow := grown, grown, grown
	equal.Jitter, decorrelated.Jitter, slow.Factor = retry.EqualJitter, retry.DecorrelatedJitter, 1.5
	return map[string]retry.Policy{
		"full": grown, "equal": equal, "decorrelated": decorrelated, "factor 1.5": slow, "listed": retry.Listed(time.Second, time.Minute),
	}
}

// BenchmarkDecide is the decision of goal P20: a policy, an error that is wrapped once, an attempt in the middle.
func BenchmarkDecide(b *testing.B) {
	err := fmt.Errorf("charging: %w", errDown)
	for name, p := range shapes() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				if d := p.Decide(retry.Attempt{Number: 5, Err: err, Seed: i, Previous: time.Second}); !d.Retry {
					b.Fatal(d)
				}
			}
			againstGoal(b)
		})
	}
	b.Run("decorrelated from the seed", func(b *testing.B) {
		b.ReportAllocs()
		p := shapes()["decorrelated"]
		p.MaxAttempts = -1
		for i := uint64(0); b.Loop(); i++ {
			if d := p.Decide(retry.Attempt{Number: 100, Err: err, Seed: i}); !d.Retry {
				b.Fatal(d)
			}
		}
		againstGoal(b)
	})
	b.Run("permanent", func(b *testing.B) {
		b.ReportAllocs()
		p, err := retry.Policy{}, fmt.Errorf("charging: %w", retry.Permanent(errDown))
		for b.Loop() {
			if d := p.Decide(retry.Attempt{Number: 1, Err: err}); d.Retry {
				b.Fatal(d)
			}
		}
		againstGoal(b)
	})
}

// againstGoal reports the ratio to the 50 ns that a decision may take.
func againstGoal(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "times-50ns")
}

func BenchmarkBudget(b *testing.B) {
	var budget retry.Budget
	b.ReportAllocs()
	for b.Loop() {
		budget.Deposit()
		budget.Withdraw()
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	err := fmt.Errorf("charging: %w", retry.After(time.Second, errDown))
	var budget retry.Budget
	for name, p := range shapes() {
		n := testing.AllocsPerRun(1000, func() {
			p.Decide(retry.Attempt{Number: 3, Err: err, Seed: 5})
			p.Decide(retry.Attempt{Number: 30, Err: errDown, Seed: 5})
			p.Delay(1000, 0, 9)
			budget.Deposit()
			budget.Withdraw()
		})
		if n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
