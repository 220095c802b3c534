package deduptest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatmq/leat/dedup"
)

func testGoexit[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	var ends sync.WaitGroup
	ends.Go(func() {
		s.Once(t.Context(), "a", func(ctx context.Context, tx Tx) error {
			if err := h.write("lost", nil)(ctx, tx); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
		t.Error("Once returned")
	})
	ends.Wait()
	h.wantWritten(t, s)
	want(t, s, "a", h.write("kept", nil), true, nil)
	h.wantWritten(t, s, "kept")
}

func testContextEnded[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if first, err := s.Once(ctx, "a", mustNotRun[Tx](t)); first || !errors.Is(err, context.Canceled) {
		t.Errorf("Once is %v, %v", first, err)
	}
	want(t, s, "a", h.write("kept", nil), true, nil)
	h.wantWritten(t, s, "kept")
}

func testContextEndsWithin[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	ctx, cancel := context.WithCancel(t.Context())
	first, err := s.Once(ctx, "a", func(ctx context.Context, tx Tx) error {
		if err := h.write("lost", nil)(ctx, tx); err != nil {
			t.Error(err)
		}
		cancel()
		return ctx.Err()
	})
	if first || !errors.Is(err, context.Canceled) {
		t.Errorf("Once is %v, %v", first, err)
	}
	h.wantWritten(t, s)
	want(t, s, "a", h.write("kept", nil), true, nil)
	h.wantWritten(t, s, "kept")
}

// hold begins the work on a key, and returns when it runs; the work ends with what is sent to end, and its outcome comes back.
func hold[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx], key, value string) (end chan<- error, ended <-chan outcome) {
	t.Helper()
	ends, outcomes, running := make(chan error), make(chan outcome, 1), make(chan struct{})
	go func() {
		var r outcome
		r.first, r.err = s.Once(t.Context(), key, func(ctx context.Context, tx Tx) error {
			err := h.write(value, nil)(ctx, tx)
			close(running)
			return errors.Join(err, <-ends)
		})
		outcomes <- r
	}()
	<-running
	return ends, outcomes
}

// outcome is what a call of Once returned.
type outcome struct {
	first bool
	err   error
}

// grace is how long a store that is wrong is given to run a function beside the one in flight. One that is right loses the time.
const grace = 20 * time.Millisecond

// behind calls Once for a key in flight, and fails t if the function runs before the one in flight has ended. It returns when the call has ended or may be taken
// to wait.
func behind[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx], key, value string, over *atomic.Bool) <-chan outcome {
	outcomes, ended := make(chan outcome, 1), make(chan struct{})
	go func() {
		var r outcome
		r.first, r.err = s.Once(t.Context(), key, func(ctx context.Context, tx Tx) error {
			if !over.Load() {
				t.Error("two functions of one key ran at a time")
			}
			return h.write(value, nil)(ctx, tx)
		})
		outcomes <- r
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(grace):
	}
	return outcomes
}

func testInFlight[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	end, held := hold(t, h, s, "a", "first")
	var over atomic.Bool
	waits := behind(t, h, s, "a", "second", &over)
	over.Store(true)
	end <- nil
	if r := <-held; !r.first || r.err != nil {
		t.Errorf("the one in flight ended with %v, %v", r.first, r.err)
	}
	if r := <-waits; r.first || r.err != nil && !errors.Is(r.err, dedup.ErrInFlight) {
		t.Errorf("the one behind it ended with %v, %v", r.first, r.err)
	}
	want(t, s, "a", mustNotRun[Tx](t), false, nil)
	h.wantWritten(t, s, "first")
}

func testInFlightFailed[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	end, held := hold(t, h, s, "a", "lost")
	var over atomic.Bool
	waits := behind(t, h, s, "a", "kept", &over)
	over.Store(true)
	end <- errFailed
	if r := <-held; r.first || !errors.Is(r.err, errFailed) {
		t.Errorf("the one in flight ended with %v, %v", r.first, r.err)
	}
	switch r := <-waits; {
	case errors.Is(r.err, dedup.ErrInFlight):
		want(t, s, "a", h.write("kept", nil), true, nil)
	case r.err != nil || !r.first:
		t.Errorf("the one behind it ended with %v, %v", r.first, r.err)
	}
	h.wantWritten(t, s, "kept")
}

func testOtherKeys[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	if h.Serial {
		t.Skip("the store says that it runs one transaction at a time")
	}
	end, held := hold(t, h, s, "a", "first")
	want(t, s, "b", h.write("second", nil), true, nil)
	want(t, s, "b", mustNotRun[Tx](t), false, nil)
	end <- nil
	if r := <-held; !r.first || r.err != nil {
		t.Errorf("the one in flight ended with %v, %v", r.first, r.err)
	}
	h.wantWritten(t, s, "first", "second")
}

// testConcurrent has many do the same few things, of which a third of the attempts fail: at the end each is done once.
func testConcurrent[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx]) {
	const workers, keys = 8, 12
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var running, done [keys]atomic.Int32
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for _, k := range rng.Perm(keys) {
				for !oneAttempt(t, h, s, k, rng.IntN(3) == 0, &running[k], &done[k]) {
					runtime.Gosched()
				}
			}
		})
	}
	all.Wait()
	var values []string
	for k := range keys {
		if n := done[k].Load(); n != 1 {
			t.Errorf("key %d was done %d times", k, n)
		}
		values = append(values, fmt.Sprint("value ", k))
	}
	h.wantWritten(t, s, values...)
}

// oneAttempt reports whether the key is done, by whomever.
func oneAttempt[Tx any](t *testing.T, h Harness[Tx], s dedup.Store[Tx], k int, fails bool, running, done *atomic.Int32) bool {
	first, err := s.Once(t.Context(), fmt.Sprint("key ", k), func(ctx context.Context, tx Tx) error {
		if running.Add(1) > 1 {
			t.Errorf("two functions of key %d ran at a time", k)
		}
		defer running.Add(-1)
		if err := h.write(fmt.Sprint("value ", k), nil)(ctx, tx); err != nil || !fails {
			return err
		}
		return errFailed
	})
	switch {
	case err == nil && first:
		done.Add(1)
		return true
	case err == nil:
		return true
	case !errors.Is(err, errFailed) && !errors.Is(err, dedup.ErrInFlight):
		t.Errorf("key %d: %v", k, err)
		return true
	}
	return false
}
