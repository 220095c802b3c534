package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/retry/breaker"
)

func TestOptions(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name   string
		o      breaker.Options
		fields []string // at fault
	}{
		{"zero", breaker.Options{}, nil},
		{"all", breaker.Options{Failures: -1, FailureRatio: 1, SlowAfter: s, SlowRatio: 0.5, MinCalls: 1, Window: s, OpenFor: s, MaxOpenFor: s, Probes: 3, Successes: 2, ProbeTimeout: s}, nil},
		{"long OpenFor", breaker.Options{OpenFor: time.Hour}, nil},
		{"ratios", breaker.Options{FailureRatio: 1.1, SlowAfter: s, SlowRatio: 2}, []string{"FailureRatio", "SlowRatio"}},
		{"no numbers", breaker.Options{FailureRatio: math.NaN()}, []string{"FailureRatio"}},
		{"slow without ratio", breaker.Options{SlowAfter: s}, []string{"SlowAfter"}},
		{"ratio without slow", breaker.Options{SlowRatio: 0.5}, []string{"SlowAfter"}},
		{"negative", breaker.Options{MinCalls: -1, Window: -1, OpenFor: -1, MaxOpenFor: -2, Probes: -1, Successes: -1, ProbeTimeout: -1},
			[]string{"MinCalls", "Window", "OpenFor", "MaxOpenFor", "Probes", "Successes", "ProbeTimeout"}},
		{"short", breaker.Options{Window: 9, OpenFor: 2 * s, MaxOpenFor: s}, []string{"Window", "MaxOpenFor"}},
		{"large", breaker.Options{Failures: 1 << 40, MinCalls: 1 << 40, Probes: 1 << 40, Successes: 1 << 40}, []string{"Failures", "MinCalls", "Probes", "Successes"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := breaker.New(test.o)
			var fields []string
			if err != nil {
				for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
					var f *retry.FieldError
					if errors.As(e, &f) && f.Of == "breaker.Options" {
						fields = append(fields, f.Field)
					}
				}
			}
			if !slices.Equal(fields, test.fields) || (b == nil) != (err != nil) {
				t.Errorf("%v: fields at fault are %q, want %q", err, fields, test.fields)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	down := errors.New("down")
	for _, test := range []struct {
		err  error
		want breaker.Outcome
	}{
		{nil, breaker.Succeeded},
		{down, breaker.Failed},
		{context.DeadlineExceeded, breaker.Failed},
		{fmt.Errorf("asking: %w", context.Canceled), breaker.Ignored},
		{fmt.Errorf("asking: %w", retry.Permanent(down)), breaker.Succeeded},
		{retry.After(time.Second, down), breaker.Failed},
	} {
		if got := breaker.Judge(test.err); got != test.want {
			t.Errorf("%v is %v, want %v", test.err, got, test.want)
		}
	}
}

func TestNamesOfConstants(t *testing.T) {
	for _, s := range []fmt.Stringer{breaker.Closed, breaker.Open, breaker.HalfOpen, breaker.Succeeded, breaker.Failed, breaker.Ignored} {
		if s.String() == "" || strings.Contains(s.String(), "(") {
			t.Errorf("%#v has no name: %q", s, s)
		}
	}
	for _, s := range []fmt.Stringer{breaker.State(77), breaker.Outcome(77)} {
		if !strings.Contains(s.String(), "77") {
			t.Errorf("an unknown constant is %q", s)
		}
	}
}
