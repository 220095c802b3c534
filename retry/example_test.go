package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/retry"
)

func ExampleDo() {
	attempt := 0
	policy := retry.Exponential(time.Millisecond, time.Second)
	err := retry.Do(context.Background(), policy, func(context.Context) error {
		attempt++
		if attempt < 3 {
			return errors.New("the bank does not answer")
		}
		return nil
	})
	fmt.Println(attempt, err)
	// Output: 3 <nil>
}

// A policy only answers: the caller may wait in any way, such as a timer for each of many. The same seed gives the same answer.
func ExamplePolicy_Decide() {
	policy := retry.Policy{First: 100 * time.Millisecond, Max: time.Second, Jitter: retry.NoJitter, MaxAttempts: 5}
	for n := 1; n <= 5; n++ {
		fmt.Println(policy.Decide(retry.Attempt{Number: n, Err: errors.New("down"), Seed: 17}))
	}
	fmt.Println(policy.Decide(retry.Attempt{Number: 1, Err: retry.Permanent(errors.New("no such account"))}))
	// Output:
	// {true 100ms no reason}
	// {true 200ms no reason}
	// {true 400ms no reason}
	// {true 800ms no reason}
	// {false 0s out of attempts}
	// {false 0s permanent failure}
}

func ExamplePermanent() {
	errUnknown := errors.New("no such account")
	_, err := retry.DoValue(context.Background(), retry.Policy{}, func(context.Context) (int, error) {
		return 0, retry.Permanent(errUnknown)
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, errUnknown))
	// Output:
	// retry: gave up after 1 attempt (permanent failure): no such account
	// true
}

func ExampleAfter() {
	r := retry.Runner{OnRetry: func(r retry.Retry) { fmt.Println("attempt", r.Attempt, "failed, the next in", r.After) }}
	busy := true
	err := r.Do(context.Background(), func(context.Context) error {
		if busy {
			busy = false
			return retry.After(2*time.Millisecond, errors.New("too many requests")) // the answer said so
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// attempt 1 failed, the next in 2ms
	// <nil>
}

// When everything fails, the calls that share a budget do not repeat each other's load.
func ExampleBudget() {
	budget, err := retry.NewBudget(retry.BudgetOptions{Ratio: 0.1, PerSecond: -1, Burst: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := retry.Runner{Policy: retry.Constant(0), Budget: budget}
	for range 100 {
		_ = r.Do(context.Background(), func(context.Context) error { return errors.New("down") })
	}
	s := budget.Stats()
	fmt.Println(s.Calls, "calls,", s.Retries >= 10 && s.Retries <= 12)
	// Output: 100 calls, true
}

func ExamplePolicy_Validate() {
	fmt.Println(retry.Policy{First: time.Minute, Max: time.Second, Factor: 0.5}.Validate())
	// Output:
	// retry.Policy.First is 1m0s: must not pass Max, which is 1s
	// retry.Policy.Factor is 0.5: must be 1 or more, and finite; 0 is the default
}
