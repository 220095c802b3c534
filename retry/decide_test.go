package retry_test

import (
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/leatmq/leat/retry"
	"pgregory.net/rapid"
)

var errDown = errors.New("down")

func TestDecide(t *testing.T) {
	const s = time.Second
	again := func(d time.Duration) retry.Decision { return retry.Decision{Retry: true, After: d} }
	no := func(r retry.Reason) retry.Decision { return retry.Decision{Reason: r} }
	constant := retry.Constant(s)
	bounded := constant
	bounded.MaxElapsed = 10 * s
	impatient := constant
	impatient.MaxAfter = 5 * s
	endless := constant
	endless.MaxAttempts = -1
	once := retry.Policy{MaxAttempts: 1}
	classes := constant
	classes.Classify = func(err error) (retry.Class, time.Duration) {
		if errors.Is(err, io.EOF) {
			return retry.ClassPermanent, 0
		}
		return retry.ClassTransient, 4 * s
	}
	tests := []struct {
		name    string
		policy  retry.Policy
		attempt retry.Attempt
		want    retry.Decision
	}{
		{"first", constant, retry.Attempt{Number: 1, Err: errDown}, again(s)},
		{"no error known", constant, retry.Attempt{Number: 1}, again(s)},
		{"last but one", constant, retry.Attempt{Number: 7, Err: errDown}, again(s)},
		{"last", constant, retry.Attempt{Number: 8, Err: errDown}, no(retry.OutOfAttempts)},
		{"far beyond", constant, retry.Attempt{Number: math.MaxInt, Err: errDown}, no(retry.OutOfAttempts)},
		{"endless", endless, retry.Attempt{Number: math.MaxInt, Err: errDown}, again(s)},
		{"only one, number not given", once, retry.Attempt{Err: errDown}, no(retry.OutOfAttempts)},
		{"permanent", endless, retry.Attempt{Number: 1, Err: retry.Permanent(errDown)}, no(retry.PermanentFailure)},
		{"permanent and last", constant, retry.Attempt{Number: 8, Err: retry.Permanent(errDown)}, no(retry.PermanentFailure)},
		{"after, sooner", constant, retry.Attempt{Number: 1, Err: retry.After(1, errDown)}, again(1)},
		{"after, later", constant, retry.Attempt{Number: 1, Err: retry.After(9*s, errDown)}, again(9 * s)},
		{"after, too late", impatient, retry.Attempt{Number: 1, Err: retry.After(9*s, errDown)}, again(5 * s)},
		{"after, never", constant, retry.Attempt{Number: 1, Err: retry.After(math.MaxInt64, errDown)}, again(time.Hour)},
		{"after the last", constant, retry.Attempt{Number: 8, Err: retry.After(s, errDown)}, no(retry.OutOfAttempts)},
		{"in time", bounded, retry.Attempt{Number: 1, Err: errDown, Elapsed: 9 * s}, again(s)},
		{"too late", bounded, retry.Attempt{Number: 1, Err: errDown, Elapsed: 9*s + 1}, no(retry.OutOfTime)},
		{"much too late", bounded, retry.Attempt{Number: 1, Err: errDown, Elapsed: math.MaxInt64}, no(retry.OutOfTime)},
		{"a clock set back", bounded, retry.Attempt{Number: 1, Err: errDown, Elapsed: math.MinInt64}, again(s)},
		{"after, past the end", bounded, retry.Attempt{Number: 1, Err: retry.After(11*s, errDown)}, no(retry.OutOfTime)},
		{"own class, permanent", classes, retry.Attempt{Number: 1, Err: io.EOF}, no(retry.PermanentFailure)},
		{"own class, after", classes, retry.Attempt{Number: 1, Err: errDown}, again(4 * s)},
		{"own class decides alone", classes, retry.Attempt{Number: 1, Err: retry.Permanent(errDown)}, again(4 * s)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.policy.Decide(test.attempt); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

// TestDecideAgrees: what is decided is what Delay says, or why not; asked twice, it is the same.
func TestDecideAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies().Draw(t, "policy")
		p.MaxAttempts = rapid.IntRange(-1, 20).Draw(t, "attempts")
		p.MaxElapsed = time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "elapsed at most"))
		a := retry.Attempt{
			Number: rapid.Int().Draw(t, "number"), Err: errDown, Elapsed: time.Duration(rapid.Int64().Draw(t, "elapsed")),
			Previous: time.Duration(rapid.Int64().Draw(t, "previous")), Seed: rapid.Uint64().Draw(t, "seed"),
		}
		d := p.Decide(a)
		if again := p.Decide(a); again != d {
			t.Fatalf("%+v, and asked again %+v", d, again)
		}
		if d.Retry != (d.Reason == 0) {
			t.Fatalf("%+v", d)
		}
		if d.Retry && d.After != p.Delay(a.Number, a.Previous, a.Seed) {
			t.Fatalf("decided %v, the delay is %v", d.After, p.Delay(a.Number, a.Previous, a.Seed))
		}
		if most := p.WithDefaults().MaxAttempts; d.Retry && most > 0 && a.Number >= most {
			t.Fatalf("attempt %d of %d is followed by another", a.Number, most)
		}
		if d.Retry && p.MaxElapsed > 0 && (d.After > p.MaxElapsed || a.Elapsed > p.MaxElapsed-d.After) {
			t.Fatalf("%+v would begin after %v", d, p.MaxElapsed)
		}
	})
}
