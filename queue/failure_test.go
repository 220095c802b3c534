package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/retry"
)

func TestFailureValidate(t *testing.T) {
	class := func(error) (retry.Class, time.Duration) { return retry.ClassTransient, 0 }
	long := strings.Repeat("t", MaxNameBytes-1)
	for _, c := range []struct {
		name   string
		g      Group
		faults []string
	}{
		{"zero", Group{}, nil},
		{"all", Group{Failure: Failure{Retry: retry.Exponential(time.Second, time.Minute), MaxAttempts: 3, Classify: class, WhileRetry: PassKey, DeadLetter: "d"}}, nil},
		{"endless", Group{Failure: Failure{MaxAttempts: -1}}, nil},
		{"said twice", Group{Failure: Failure{Retry: retry.Policy{MaxAttempts: 3, Classify: class}, MaxAttempts: 3, Classify: class}},
			[]string{"Failure.MaxAttempts", "Failure.Classify"}},
		{"policy", Group{Failure: Failure{Retry: retry.Policy{First: -1, Jitter: 99}}}, []string{"Failure.Retry.First", "Failure.Retry.Jitter"}},
		{"constants", Group{Failure: Failure{WhileRetry: 7, Exhausted: 7}}, []string{"Failure.WhileRetry", "Failure.Exhausted"}},
		{"park", Group{Failure: Failure{WhileRetry: ParkKey}}, nil},
		{"park where all waits", Group{Order: ByPartition, Failure: Failure{WhileRetry: ParkKey}}, []string{"Failure.WhileRetry"}},
		{"pass what does not wait", Group{Order: Unordered, Failure: Failure{WhileRetry: PassKey}}, []string{"Failure.WhileRetry"}},
		{"a name for nothing", Group{Failure: Failure{Exhausted: Discard, DeadLetter: "d"}}, []string{"Failure.DeadLetter"}},
		{"a bad name", Group{Failure: Failure{DeadLetter: "leat.d"}}, []string{"Failure.DeadLetter"}},
		{"its own topic", Group{Failure: Failure{DeadLetter: "t"}}, []string{"Failure.DeadLetter"}},
		{"a long name", Group{Topics: []string{long}}, []string{"Failure.DeadLetter"}},
		{"a long name that needs none", Group{Topics: []string{long}, Failure: Failure{Exhausted: Discard}}, nil},
		{"at most once", Group{Guarantee: AtMostOnce, Failure: Failure{DeadLetter: "d"}}, nil},
		{"at most once, retried", Group{Guarantee: AtMostOnce, Failure: Failure{MaxAttempts: 2}}, []string{"Failure"}},
		{"at most once, with a policy", Group{Guarantee: AtMostOnce, Failure: Failure{Retry: retry.Constant(time.Second)}}, []string{"Failure"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.g.Name = "g"
			if c.g.Topics == nil {
				c.g.Topics = []string{"t"}
			}
			if got := faultFields(c.g.validate(byMessage, true)); !slices.Equal(got, c.faults) {
				t.Errorf("faults in %q, want %q", got, c.faults)
			}
		})
	}
	resume := func(context.Context, string, int) (Position, error) { return Position{}, nil }
	g := Group{Name: "g", Topics: []string{"t"}, Order: ByPartition, Resume: resume, Failure: Failure{WhileRetry: PassKey}}
	if got := faultFields(g.validate(byMessage, true)); !slices.Equal(got, []string{"Failure.WhileRetry"}) {
		t.Errorf("PassKey with Resume: faults in %q", got)
	}
}

// TestDecisions holds what a consumer decides against the policy, whose words these are.
func TestDecisions(t *testing.T) {
	at := NewPosition("t", 3, 5, 7)
	plain := errors.New("plain")
	for _, c := range []struct {
		name    string
		failure Failure
		attempt int
		err     error
		retry   bool
		least   time.Duration
		most    time.Duration
	}{
		{"first of the default", Failure{}, 1, plain, true, 0, 100 * time.Millisecond},
		{"seventh of the default", Failure{}, 7, plain, true, 0, 6400 * time.Millisecond},
		{"last of the default", Failure{}, 8, plain, false, 0, 0},
		{"endless", Failure{MaxAttempts: -1}, 1 << 30, plain, true, 0, time.Minute},
		{"number", Failure{MaxAttempts: 2}, 2, plain, false, 0, 0},
		{"number of the policy", Failure{Retry: retry.Policy{MaxAttempts: 2}}, 2, plain, false, 0, 0},
		{"permanent", Failure{}, 1, fmt.Errorf("no: %w", retry.Permanent(plain)), false, 0, 0},
		{"permanent panic", Failure{}, 1, &PanicError{Value: retry.Permanent(plain)}, false, 0, 0},
		{"after", Failure{}, 1, retry.After(3*time.Second, plain), true, 3 * time.Second, 3 * time.Second},
		{"after the last", Failure{}, 8, retry.After(3*time.Second, plain), false, 0, 0},
		{"after too long", Failure{}, 1, retry.After(100*time.Hour, plain), true, time.Hour, time.Hour},
		{"classified", Failure{Classify: func(error) (retry.Class, time.Duration) { return retry.ClassPermanent, 0 }}, 1, plain, false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			consumer := &consumer{group: Group{Failure: c.failure}, policy: c.failure.policy()}
			d := consumer.decide(&Handover{Record: Record{Position: at}, Attempt: c.attempt}, c.err)
			if d.Retry != c.retry || d.After < c.least || d.After > c.most {
				t.Errorf("%+v, want retry %v after %v to %v", d, c.retry, c.least, c.most)
			}
			if again := consumer.decide(&Handover{Record: Record{Position: at}, Attempt: c.attempt}, c.err); again != d {
				t.Errorf("asked again it answers %+v, before %+v", again, d)
			}
		})
	}
	if d := (&consumer{group: Group{Guarantee: AtMostOnce}}).decide(&Handover{Attempt: 1}, plain); d.Retry {
		t.Errorf("AtMostOnce: %+v", d)
	}
	// Known values: a decision is the same in another process.
	if got := at.seed(); got != 0xd2061ded0f64d982 {
		t.Errorf("the seed of %s is %#x", at, got)
	}
	seen := map[uint64]bool{}
	for p := range 10 {
		for o := range int64(1000) {
			seen[NewPosition("t", p, 1, o).seed()] = true
		}
	}
	if len(seen) != 10_000 {
		t.Errorf("%d seeds of 10000 positions", len(seen))
	}
}

// TestLettersNeedCommit has an engine that cannot store a letter in one step with the end of its message.
func TestLettersNeedCommit(t *testing.T) {
	e := newSliceEngine()
	delete(e.caps.Features, CanCommit)
	b := open(t, e, Options{})
	if err := b.Consume(t.Context(), group, func(context.Context, *Delivery) error { return nil }); !errors.Is(err, ErrUnsupported) {
		t.Errorf("dead letters: %v, want ErrUnsupported", err)
	}
	for _, x := range []Exhausted{Discard, StopGroup} {
		g := group
		g.Failure = Failure{Exhausted: x}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Consume(ctx, g, func(context.Context, *Delivery) error { return nil }); err != nil {
			t.Errorf("%v: %v", x, err)
		}
	}
}

// TestGoexitInDeadLettered has an event end the worker's goroutine: it is told once, and the worker goes on.
func TestGoexitInDeadLettered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, told := newSliceEngine(), make(chan DeadLetteredEvent, 10)
		b := open(t, e, Options{Events: Events{DeadLettered: func(x DeadLetteredEvent) {
			told <- x
			runtime.Goexit()
		}}})
		publish(t, b, "bad", "good")
		ctx, cancel := context.WithCancel(t.Context())
		g := group
		g.Failure = Failure{MaxAttempts: 1}
		wait := inBackground(func() error {
			return b.Consume(ctx, g, func(_ context.Context, d *Delivery) error {
				if string(d.Value) == "bad" {
					return errors.New("bad")
				}
				return nil
			})
		})
		synctest.Wait()
		if want := []Outcome{SettleDone, SettleDone}; len(told) != 1 || !slices.Equal(e.outcomes(), want) {
			t.Errorf("told %d times, settled %v, want once and %v", len(told), e.outcomes(), want)
		}
		if x := <-told; x.Topic != "t.dead" || x.Attempts != 1 || x.Group != "g" || x.Err == nil {
			t.Errorf("told of %+v", x)
		}
		if letters := e.settled[0].Publish; len(letters) != 1 || letters[0].Topic != "t.dead" || string(letters[0].Value) != "bad" {
			t.Errorf("published %+v", letters)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}
