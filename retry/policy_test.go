package retry_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/retry"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		policy retry.Policy
		fields []string // at fault
	}{
		{"zero", retry.Policy{}, nil},
		{"exponential", retry.Exponential(time.Second, time.Minute), nil},
		{"constant", retry.Constant(time.Second), nil},
		{"at once", retry.Constant(0), nil},
		{"listed", retry.Listed(0, time.Second), nil},
		{"for ever", retry.Policy{MaxAttempts: -1}, nil},
		{"only a small Max", retry.Policy{Max: time.Millisecond}, nil},
		{"only a large First", retry.Policy{First: time.Hour}, nil},
		{"negative First", retry.Policy{First: -1}, []string{"First"}},
		{"negative Max", retry.Policy{Max: -1}, []string{"Max"}},
		{"First above Max", retry.Exponential(time.Minute, time.Second), []string{"First"}},
		{"shrinking", retry.Policy{Factor: 0.5}, []string{"Factor"}},
		{"not a number", retry.Policy{Factor: math.NaN()}, []string{"Factor"}},
		{"endless", retry.Policy{Factor: math.Inf(1)}, []string{"Factor"}},
		{"unknown jitter", retry.Policy{Jitter: 4}, []string{"Jitter"}},
		{"negative bounds", retry.Policy{MaxElapsed: -1, MaxAfter: -1}, []string{"MaxElapsed", "MaxAfter"}},
		{"empty list", retry.Listed(), []string{"List"}},
		{"negative in list", retry.Listed(1, -2, -3), []string{"List[1]", "List[2]"}},
		{"list and growth", retry.Policy{List: []time.Duration{1}, First: 1, Max: 2, Factor: 2}, []string{"First", "Max", "Factor"}},
		{"decorrelated list", retry.Policy{List: []time.Duration{1}, Jitter: retry.DecorrelatedJitter}, []string{"Jitter"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.policy.Validate()
			if got := fieldsOf(err); !slices.Equal(got, test.fields) {
				t.Errorf("%v: fields at fault are %q, want %q", err, got, test.fields)
			}
			if err != nil && !strings.Contains(err.Error(), "retry.Policy."+test.fields[0]+" is ") {
				t.Errorf("%q does not name the field", err)
			}
		})
	}
}

// fieldsOf returns the fields of the FieldErrors that are joined in err.
func fieldsOf(err error) []string {
	if err == nil {
		return nil
	}
	var fields []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var f *retry.FieldError
		if errors.As(e, &f) {
			fields = append(fields, f.Field)
		}
	}
	return fields
}

func TestWithDefaults(t *testing.T) {
	p := retry.Policy{}.WithDefaults()
	if p.First != 100*time.Millisecond || p.Max != time.Minute || p.Factor != 2 || p.MaxAttempts != 8 || p.MaxAfter != time.Hour {
		t.Errorf("the zero policy is %+v", p)
	}
	if p := (retry.Policy{Jitter: retry.DecorrelatedJitter}).WithDefaults(); p.Factor != 3 {
		t.Errorf("decorrelated jitter has factor %v, want 3", p.Factor)
	}
	if p := (retry.Policy{Max: 5}).WithDefaults(); p.First != 5 {
		t.Errorf("First is %v with a Max of 5ns", p.First)
	}
	if p := (retry.Policy{First: time.Hour}).WithDefaults(); p.Max != time.Hour {
		t.Errorf("Max is %v with a First of 1h", p.Max)
	}
}

func TestDelaysWithoutJitter(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name   string
		policy retry.Policy
		want   []time.Duration
	}{
		{"doubling", retry.Policy{First: 100 * ms, Max: time.Second, Jitter: retry.NoJitter}, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, time.Second, time.Second}},
		{"a half more", retry.Policy{First: 100 * ms, Factor: 1.5, Jitter: retry.NoJitter}, []time.Duration{100 * ms, 150 * ms, 225 * ms}},
		{"not growing", retry.Policy{First: ms, Factor: 1, Jitter: retry.NoJitter}, []time.Duration{ms, ms, ms}},
		{"constant", retry.Constant(7 * ms), []time.Duration{7 * ms, 7 * ms, 7 * ms}},
		{"at once", retry.Constant(0), []time.Duration{0, 0}},
		{"listed", retry.Listed(0, 5*ms, ms), []time.Duration{0, 5 * ms, ms, ms, ms}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, want := range test.want {
				if got := test.policy.Delay(i+1, 0, 1); got != want {
					t.Errorf("after attempt %d: %v, want %v", i+1, got, want)
				}
			}
			if got, want := test.policy.Delay(0, 0, 1), test.want[0]; got != want {
				t.Errorf("attempt 0 counts as the first: %v, want %v", got, want)
			}
		})
	}
}

// TestNothingOverflows asks for what would pass 63 bits, where a sketch with math.Pow becomes negative.
func TestNothingOverflows(t *testing.T) {
	const most = time.Duration(math.MaxInt64)
	for _, factor := range []float64{1, 1.0001, 1.5, 2, 3, 1e300, math.MaxFloat64} {
		for _, jitter := range []retry.Jitter{retry.FullJitter, retry.EqualJitter, retry.DecorrelatedJitter, retry.NoJitter} {
			for _, bound := range []time.Duration{1, time.Minute, most - 1, most} {
				p := retry.Policy{First: min(bound, time.Second), Max: bound, Factor: factor, Jitter: jitter}
				for _, n := range []int{math.MinInt, -1, 0, 1, 2, 34, 35, 62, 63, 64, 65, 1 << 20, math.MaxInt32, math.MaxInt - 1, math.MaxInt} {
					for _, seed := range []uint64{0, 1, math.MaxUint64} {
						if d := p.Delay(n, 0, seed); d < 0 || d > bound {
							t.Fatalf("factor %v, %v, at most %v, attempt %d: %v", factor, jitter, bound, n, d)
						}
					}
				}
			}
		}
	}
	p := retry.Policy{First: 1, Max: most, Jitter: retry.NoJitter}
	if d := p.Delay(math.MaxInt, 0, 0); d != most {
		t.Errorf("without jitter, attempt MaxInt waits %v, want the bound", d)
	}
	if d := p.Delay(63, 0, 0); d != 1<<62 {
		t.Errorf("attempt 63 waits %d, want 2^62", d)
	}
}

// TestRefusedPoliciesAreHarmless: Delay does not validate, and is bounded and quick all the same.
func TestRefusedPoliciesAreHarmless(t *testing.T) {
	for _, p := range []retry.Policy{
		{First: -1, Max: -5, Factor: math.NaN()}, {Factor: math.Inf(1)}, {Factor: -3, Jitter: 99}, {First: time.Hour, Max: time.Second},
		retry.Listed(), retry.Listed(-1), {List: []time.Duration{-5}, Jitter: retry.DecorrelatedJitter},
	} {
		for _, n := range []int{0, 1, 5, math.MaxInt} {
			if d := p.Delay(n, -7, 3); d < 0 || d > time.Minute {
				t.Errorf("%+v: attempt %d waits %v", p, n, d)
			}
		}
	}
}
