package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/retry"
)

// says has the methods of an application that does not import the package.
type says struct {
	error
	permanent bool
}

func (e says) Permanent() bool { return e.permanent }
func (e says) Unwrap() error   { return e.error }

// asks has the other one.
type asks struct {
	error
	after time.Duration
}

func (e asks) RetryAfter() time.Duration { return e.after }

// hides gives its inner error to errors.As alone.
type hides struct{ inner error }

func (e hides) Error() string      { return "hidden" }
func (e hides) As(target any) bool { return errors.As(e.inner, target) }

func TestClassify(t *testing.T) {
	const s = time.Second
	base := io.ErrUnexpectedEOF
	wrap := func(err error) error { return fmt.Errorf("while charging: %w", err) }
	tests := []struct {
		name  string
		err   error
		class retry.Class
		after time.Duration
	}{
		{"nil", nil, 0, 0},
		{"plain", base, 0, 0},
		{"context", context.DeadlineExceeded, 0, 0},
		{"permanent", retry.Permanent(base), retry.ClassPermanent, 0},
		{"after", retry.After(s, base), 0, s},
		{"after nothing", retry.After(-s, base), 0, 0},
		{"wrapped permanent", wrap(wrap(retry.Permanent(wrap(base)))), retry.ClassPermanent, 0},
		{"wrapped after", wrap(retry.After(s, wrap(base))), 0, s},
		{"joined permanent", errors.Join(base, wrap(retry.Permanent(base)), base), retry.ClassPermanent, 0},
		{"joined after", errors.Join(retry.After(s, base), base, retry.After(3*s, base), retry.After(2*s, base)), 0, 3 * s},
		{"two %w", fmt.Errorf("%w and %w", base, retry.Permanent(base)), retry.ClassPermanent, 0},
		{"permanent around after", retry.Permanent(retry.After(s, base)), retry.ClassPermanent, 0},
		{"after around permanent", retry.After(s, retry.Permanent(base)), retry.ClassPermanent, 0},
		{"outer after", retry.After(s, retry.After(2*s, base)), 0, s},
		{"outer method says no", says{retry.Permanent(base), false}, 0, 0},
		{"outer no, inner after", says{retry.After(s, base), false}, 0, s},
		{"method", wrap(says{base, true}), retry.ClassPermanent, 0},
		{"no in one branch, yes in the other", errors.Join(says{base, false}, says{base, true}), retry.ClassPermanent, 0},
		{"yes in one branch, no in the other", errors.Join(says{base, true}, says{base, false}), retry.ClassPermanent, 0},
		{"methods in branches", errors.Join(asks{base, s}, asks{base, 3 * s}, asks{base, 2 * s}), 0, 3 * s},
		{"only by As", wrap(hides{retry.Permanent(base)}), retry.ClassPermanent, 0},
		{"nothing by As", wrap(hides{base}), 0, 0},
		{"a nil among the joined", fmt.Errorf("%w", errors.Join(nil, base)), 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if class, after := retry.Classify(test.err); class != test.class || after != test.after {
				t.Errorf("%v, %v, want %v, %v", class, after, test.class, test.after)
			}
		})
	}
}

func TestMarkedErrorsAreWhatTheyWere(t *testing.T) {
	if retry.Permanent(nil) != nil || retry.After(time.Second, nil) != nil {
		t.Error("nil became an error")
	}
	err := retry.After(time.Second, retry.Permanent(fmt.Errorf("reading: %w", io.EOF)))
	if !errors.Is(err, io.EOF) || err.Error() != "reading: EOF" {
		t.Errorf("%q is no longer io.EOF, or says something else", err)
	}
}

func TestNamesOfConstants(t *testing.T) {
	for _, s := range []fmt.Stringer{
		retry.ClassTransient, retry.ClassPermanent, retry.FullJitter, retry.EqualJitter, retry.DecorrelatedJitter, retry.NoJitter, retry.Reason(0), retry.PermanentFailure,
		retry.OutOfAttempts, retry.OutOfTime, retry.OutOfBudget, retry.PastDeadline, retry.Cancelled,
	} {
		if s.String() == "" || strings.Contains(s.String(), "(") {
			t.Errorf("%#v has no name: %q", s, s)
		}
	}
	for _, s := range []fmt.Stringer{retry.Class(77), retry.Jitter(77), retry.Reason(77)} {
		if !strings.Contains(s.String(), "77") {
			t.Errorf("an unknown constant is %q", s)
		}
	}
}
