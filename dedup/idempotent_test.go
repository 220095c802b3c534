package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/dedup"
)

func newIdempotent(t testing.TB, o dedup.IdempotentOptions) *dedup.Idempotent[dedup.NoTx] {
	t.Helper()
	i, err := dedup.NewIdempotent(dedup.Store[dedup.NoTx](newMemory(t, dedup.MemoryOptions{TTL: time.Hour})), o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

var errFailed = errors.New("the work failed")

func returns(err error) func(context.Context, dedup.NoTx) error {
	return func(context.Context, dedup.NoTx) error { return err }
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIdempotent(t, dedup.IdempotentOptions{})
		do := func(key string, err, want error) {
			t.Helper()
			if got := i.Do(t.Context(), key, returns(err)); !errors.Is(got, want) || want == nil && got != nil {
				t.Errorf("Do(%.10q) is %v, want %v", key, got, want)
			}
		}
		do("a", errFailed, errFailed)
		do("a", nil, nil)
		do("a", errFailed, nil) // it does not run
		do("", nil, dedup.ErrNoKey)
		do(strings.Repeat("a", dedup.MaxKeyBytes+1), nil, dedup.ErrKeyTooLong)
		time.Sleep(time.Hour)
		do("a", errFailed, errFailed)
		do("a", nil, nil)
		if s, want := i.Stats(), (dedup.IdempotentStats{Done: 2, Skipped: 1, Failed: 2}); s != want {
			t.Errorf("%+v, want %+v", s, want)
		}
		var wrong *dedup.KeyError
		if err := i.Do(t.Context(), "", returns(nil)); !errors.As(err, &wrong) || !wrong.Permanent() {
			t.Errorf("no key: %v", err)
		}
	})
}

func TestIdempotentOptions(t *testing.T) {
	var wrong *dedup.OptionsError
	if _, err := dedup.NewIdempotent[dedup.NoTx](nil, dedup.IdempotentOptions{}); !errors.As(err, &wrong) {
		t.Errorf("no store: %v", err)
	}
	m := newMemory(t, dedup.MemoryOptions{})
	if _, err := dedup.NewIdempotent[dedup.NoTx](m, dedup.IdempotentOptions{InFlight: 7}); !errors.As(err, &wrong) {
		t.Errorf("an unknown policy: %v", err)
	}
}

// TestWaitsForTheOutcome has some calls wait for one in flight: they return when it succeeded, and one of them tries when it failed, panicked or ended its goroutine.
func TestWaitsForTheOutcome(t *testing.T) {
	ways := map[string]struct {
		end  func() error
		ran  int32 // how often the function ran, the first included
		done uint64
	}{
		"success": {func() error { return nil }, 1, 1},
		"failure": {func() error { return errFailed }, 2, 1},
		"panic":   {func() error { panic("the work panicked") }, 2, 1},
		"goexit":  {func() error { runtime.Goexit(); return nil }, 2, 1},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { waits(t, way.end, way.ran, way.done) }) })
	}
}

func waits(t *testing.T, end func() error, wantRan int32, wantDone uint64) {
	i := newIdempotent(t, dedup.IdempotentOptions{})
	var ran, returned atomic.Int32
	go func() {
		defer func() { recover() }()
		i.Do(t.Context(), "a", func(context.Context, dedup.NoTx) error {
			ran.Add(1)
			time.Sleep(time.Second)
			return end()
		})
	}()
	synctest.Wait()
	for range 5 {
		go func() {
			defer returned.Add(1)
			err := i.Do(t.Context(), "a", func(context.Context, dedup.NoTx) error { ran.Add(1); return nil })
			if err != nil {
				t.Errorf("one that waited got %v", err)
			}
		}()
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := i.Do(short, "a", returns(nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the wait of a short context ended with %v", err)
	}
	if err := i.Do(t.Context(), "b", returns(nil)); err != nil {
		t.Errorf("another key: %v", err)
	}
	synctest.Wait()
	if ran.Load() != 1 || returned.Load() != 0 || i.Stats().InFlight != 1 {
		t.Errorf("before the outcome: ran %d times, %d returned, %+v", ran.Load(), returned.Load(), i.Stats())
	}
	time.Sleep(time.Second)
	synctest.Wait()
	s := i.Stats()
	if ran.Load() != wantRan || returned.Load() != 5 || s.InFlight != 0 || s.Done != wantDone+1 {
		t.Errorf("after the outcome: ran %d times, %d returned, %+v", ran.Load(), returned.Load(), s)
	}
}

func TestRefuses(t *testing.T) {
	i := newIdempotent(t, dedup.IdempotentOptions{InFlight: dedup.Refuse})
	err := i.Do(t.Context(), "a", func(ctx context.Context, _ dedup.NoTx) error {
		if err := i.Do(ctx, "a", returns(nil)); !errors.Is(err, dedup.ErrInFlight) {
			t.Errorf("the same key within: %v", err)
		}
		return i.Do(ctx, "b", returns(nil))
	})
	if err != nil {
		t.Error(err)
	}
	if s, want := i.Stats(), (dedup.IdempotentStats{Done: 2, Refused: 1}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
}

// TestOncePerKey has many do the same things, with failures: each ends up done, once.
func TestOncePerKey(t *testing.T) {
	const workers, keys = 8, 50
	for _, policy := range []dedup.InFlightPolicy{dedup.Wait, dedup.Refuse} {
		seed := rand.Uint64()
		i := newIdempotent(t, dedup.IdempotentOptions{InFlight: policy})
		var running, done [keys]atomic.Int32
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(w)))
				for _, k := range rng.Perm(keys) {
					fails := rng.IntN(2)
					for err := errFailed; err != nil; runtime.Gosched() {
						err = i.Do(t.Context(), fmt.Sprint(k), func(context.Context, dedup.NoTx) error {
							if running[k].Add(1) > 1 {
								t.Errorf("seed %d: key %d runs twice at a time", seed, k)
							}
							runtime.Gosched()
							running[k].Add(-1)
							if fails--; fails >= 0 {
								return errFailed
							}
							done[k].Add(1)
							return nil
						})
					}
				}
			})
		}
		all.Wait()
		for k := range keys {
			if n := done[k].Load(); n != 1 {
				t.Errorf("seed %d: key %d was done %d times", seed, k, n)
			}
		}
		if s := i.Stats(); s.Done != keys || s.Done+s.Skipped != workers*keys || s.InFlight != 0 {
			t.Errorf("seed %d: %+v", seed, s)
		}
		t.Logf("seed %d: %d keys, %d calls: %+v", seed, keys, workers*keys, i.Stats())
	}
}
