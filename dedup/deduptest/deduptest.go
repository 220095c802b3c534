// Package deduptest holds what every [dedup.Store] must do, as tests that an implementation runs.
//
// It is for tests only. It does not judge how a store goes through a crash of its database: that is the database's promise.
package deduptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/dedup"
)

// TTL is how long the stores that a [Harness] opens keep a mark.
const TTL = time.Hour

// Harness is how the suite gets at a store.
type Harness[Tx any] struct {
	// Open returns a new, empty store that keeps its marks for TTL.
	Open func(t testing.TB) dedup.Store[Tx]
	// Reopen returns the store that a second process would open over the marks of s. Nil: the store does not outlive itself.
	Reopen func(t testing.TB, s dedup.Store[Tx]) dedup.Store[Tx]
	// Advance makes the time of s pass.
	Advance func(t testing.TB, s dedup.Store[Tx], d time.Duration)
	// Write stores a value in the transaction, and Written returns the values that were committed to s, in any order. Nil: the store's transaction holds nothing
	// but the mark.
	Write   func(ctx context.Context, tx Tx, value string) error
	Written func(t testing.TB, s dedup.Store[Tx]) []string
	// Around runs a test, in a bubble of testing/synctest for instance. Nil: as it is.
	Around func(t *testing.T, test func(t *testing.T))
	// Serial says that only one transaction of a store runs at a time, so that calls with different keys wait for each other.
	Serial bool
}

// Test runs the conformance suite.
func Test[Tx any](t *testing.T, h Harness[Tx]) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness[Tx], dedup.Store[Tx])
	}{
		{"OnlyOnce", testOnlyOnce[Tx]},
		{"FailureKeepsNothing", testFailure[Tx]},
		{"PanicKeepsNothing", testPanic[Tx]},
		{"GoexitKeepsNothing", testGoexit[Tx]},
		{"NoMarkWithoutSuccess", testMarkComesLast[Tx]},
		{"KeysThatAreRefused", testRefusedKeys[Tx]},
		{"KeysAreBytes", testKeysAreBytes[Tx]},
		{"Expiry", testExpiry[Tx]},
		{"ContextEnded", testContextEnded[Tx]},
		{"ContextEndsWithin", testContextEndsWithin[Tx]},
		{"InFlight", testInFlight[Tx]},
		{"InFlightThenFailed", testInFlightFailed[Tx]},
		{"OtherKeysGoOn", testOtherKeys[Tx]},
		{"Concurrent", testConcurrent[Tx]},
		{"Reopened", testReopened[Tx]},
	} {
		t.Run(test.name, func(t *testing.T) {
			around := h.Around
			if around == nil {
				around = func(t *testing.T, test func(*testing.T)) { test(t) }
			}
			around(t, func(t *testing.T) { test.run(t, h, h.Open(t)) })
		})
	}
}

var errFailed = errors.New("deduptest: the work failed")

// write returns a function that stores value and then returns err.
func (h Harness[Tx]) write(value string, err error) func(context.Context, Tx) error {
	return func(ctx context.Context, tx Tx) error {
		if h.Write != nil {
			if e := h.Write(ctx, tx, value); e != nil {
				return fmt.Errorf("write %q: %w", value, e)
			}
		}
		return err
	}
}

// wantWritten compares what was committed with values.
func (h Harness[Tx]) wantWritten(t *testing.T, s dedup.Store[Tx], values ...string) {
	t.Helper()
	if h.Written == nil {
		return
	}
	got := slices.Sorted(slices.Values(h.Written(t, s)))
	if slices.Sort(values); !slices.Equal(got, values) {
		t.Errorf("committed %q, want %q", got, values)
	}
}

// want calls Once and compares what it returns.
func want[Tx any](t *testing.T, s dedup.Store[Tx], key string, fn func(context.Context, Tx) error, first bool, wanted error) {
	t.Helper()
	got, err := s.Once(t.Context(), key, fn)
	if got != first || !errors.Is(err, wanted) || wanted == nil && err != nil {
		t.Errorf("Once(%.20q) is %v, %v, want %v, %v", key, got, err, first, wanted)
	}
}

// mustNotRun is a function that must not run.
func mustNotRun[Tx any](t *testing.T) func(context.Context, Tx) error {
	return func(context.Context, Tx) error {
		t.Error("the function ran")
		return nil
	}
}

func testOnlyOnce[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	want(t, s, "a", h.write("first", nil), true, nil)
	want(t, s, "a", mustNotRun[Tx](t), false, nil)
	want(t, s, "b", h.write("second", nil), true, nil)
	want(t, s, "a", mustNotRun[Tx](t), false, nil)
	h.wantWritten(t, s, "first", "second")
}

func testFailure[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	for range 3 {
		want(t, s, "a", h.write("lost", errFailed), false, errFailed)
	}
	h.wantWritten(t, s)
	want(t, s, "a", h.write("kept", nil), true, nil)
	want(t, s, "a", mustNotRun[Tx](t), false, nil)
	h.wantWritten(t, s, "kept")
}

func testPanic[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	func() {
		defer func() {
			if p := recover(); p != "deduptest" {
				t.Errorf("recovered %v, want the panic of the function", p)
			}
		}()
		s.Once(t.Context(), "a", func(ctx context.Context, tx Tx) error {
			if err := h.write("lost", nil)(ctx, tx); err != nil {
				t.Error(err)
			}
			panic("deduptest")
		})
	}()
	h.wantWritten(t, s)
	want(t, s, "a", h.write("kept", nil), true, nil)
	h.wantWritten(t, s, "kept")
}

// testMarkComesLast fails for a store that marks first and takes the mark back later: a second process would see it.
func testMarkComesLast[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	want(t, s, "a", func(ctx context.Context, tx Tx) error {
		h.wantWritten(t, s)
		return h.write("kept", nil)(ctx, tx)
	}, true, nil)
	h.wantWritten(t, s, "kept")
}

func testRefusedKeys[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	want(t, s, "", mustNotRun[Tx](t), false, dedup.ErrNoKey)
	want(t, s, strings.Repeat("k", dedup.MaxKeyBytes+1), mustNotRun[Tx](t), false, dedup.ErrKeyTooLong)
	want(t, s, strings.Repeat("k", dedup.MaxKeyBytes), h.write("longest", nil), true, nil)
	want(t, s, strings.Repeat("k", dedup.MaxKeyBytes), mustNotRun[Tx](t), false, nil)
	want(t, s, strings.Repeat("k", dedup.MaxKeyBytes-1), h.write("shorter", nil), true, nil)
}

// testKeysAreBytes has keys that databases and their collations take for the same, or do not take at all.
func testKeysAreBytes[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	keys := []string{
		"a", "A", "a ", " a", "a\x00", "\x00", "\x00a", "\xff", "\xff\xfe", "ä", "a\u0308", "ß", "ss", "1", "01", "1.0", "'", "''", `\`, `\\`, "%", "_",
		"NULL", "a\n", "\t", "$1", "?",
	}
	var values []string
	for i, key := range keys {
		value := fmt.Sprint("value ", i)
		want(t, s, key, h.write(value, nil), true, nil)
		values = append(values, value)
	}
	for _, key := range keys {
		want(t, s, key, mustNotRun[Tx](t), false, nil)
	}
	h.wantWritten(t, s, values...)
}

func testExpiry[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	want(t, s, "a", h.write("first", nil), true, nil)
	h.Advance(t, s, TTL-time.Minute)
	want(t, s, "a", mustNotRun[Tx](t), false, nil)
	want(t, s, "b", h.write("other", nil), true, nil)
	h.Advance(t, s, 2*time.Minute)
	want(t, s, "a", h.write("lost", errFailed), false, errFailed) // expired, and it stays so
	want(t, s, "a", h.write("second", nil), true, nil)
	want(t, s, "a", mustNotRun[Tx](t), false, nil)
	want(t, s, "b", mustNotRun[Tx](t), false, nil)
	h.Advance(t, s, TTL-time.Minute)
	want(t, s, "a", mustNotRun[Tx](t), false, nil) // the time began again
	h.Advance(t, s, 2*time.Minute)
	want(t, s, "a", h.write("third", nil), true, nil)
	h.wantWritten(t, s, "first", "other", "second", "third")
}

func testReopened[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	if h.Reopen == nil {
		t.Skip("the store says that its marks do not outlive it")
	}
	want(t, s, "a", h.write("first", nil), true, nil)
	want(t, s, "b", h.write("lost", errFailed), false, errFailed)
	second := h.Reopen(t, s)
	want(t, second, "a", mustNotRun[Tx](t), false, nil)
	want(t, second, "b", h.write("second", nil), true, nil)
	want(t, s, "b", mustNotRun[Tx](t), false, nil)
	h.Advance(t, s, TTL+time.Minute)
	want(t, second, "a", h.write("again", nil), true, nil)
	h.wantWritten(t, second, "first", "second", "again")
}
