package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/retry"
)

// recorder keeps what its function was called with.
type recorder struct {
	mu    sync.Mutex
	calls []string
	errs  map[string][]error       // what an item fails with, attempt by attempt
	hold  map[string]chan struct{} // an item whose batch waits until it is closed, or ctx ends
	deaf  bool                     // ctx is not heeded
}

func (r *recorder) fn(ctx context.Context, items []string) []error {
	r.mu.Lock()
	r.calls = append(r.calls, strings.Join(items, " "))
	var errs []error
	var holds []chan struct{}
	for i, it := range items {
		if left := r.errs[it]; len(left) > 0 {
			if errs == nil {
				errs = make([]error, len(items))
			}
			errs[i], r.errs[it] = left[0], left[1:]
		}
		if c := r.hold[it]; c != nil {
			holds = append(holds, c)
		}
	}
	r.mu.Unlock()
	for _, c := range holds {
		if r.deaf {
			<-c
			continue
		}
		select {
		case <-c:
		case <-ctx.Done():
			return slices.Repeat([]error{ctx.Err()}, len(items))
		}
	}
	return errs
}

func (r *recorder) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.calls, want) {
		t.Errorf("calls %q, want %q", r.calls, want)
	}
}

func open[T any](t *testing.T, c Config[T], fn Func[T]) *Processor[T] {
	t.Helper()
	p, err := New(c, fn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close(context.Background())
		s := p.Stats()
		if s.Added != s.Done+s.Failed+s.Cancelled || s.Held != 0 || s.Running != 0 {
			t.Errorf("after Close the figures do not add up: %+v", s)
		}
	})
	return p
}

func add(t *testing.T, p *Processor[string], items ...string) {
	t.Helper()
	for _, it := range items {
		if err := p.Add(context.Background(), it); err != nil {
			t.Fatal(err)
		}
	}
}

// inBackground runs f, and returns what it returned when called.
func inBackground(f func() error) func() error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	synctest.Wait()
	return func() error { return <-c }
}

func firstByte(s string) string { return s[:1] }

var (
	errOdd = errors.New("an odd failure")
	never  = retry.Policy{MaxAttempts: 1}
	second = retry.Constant(time.Second)
)

// A batch goes when it has enough items or bytes, when its first item has waited, or is flushed.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		p := open(t, Config[string]{MaxBatchSize: 3, MaxBatchBytes: 10, MaxWaitTime: time.Second, Size: func(s string) int { return len(s) }}, r.fn)
		add(t, p, "a")
		time.Sleep(time.Second - 1)
		add(t, p, "b")
		r.want(t)
		time.Sleep(time.Nanosecond)
		r.want(t, "a b")
		add(t, p, "c", "d", "e")
		r.want(t, "a b", "c d e")
		add(t, p, "12345", "67890")
		r.want(t, "a b", "c d e", "12345 67890")
		add(t, p, "123456", "larger than any batch")
		r.want(t, "a b", "c d e", "12345 67890", "123456", "larger than any batch")
		add(t, p, "f")
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		r.want(t, "a b", "c d e", "12345 67890", "123456", "larger than any batch", "f")
		s := p.Stats()
		if s.Batches != 6 || s.BySize != 1 || s.ByBytes != 3 || s.ByTime != 1 || s.ByHurry != 1 || s.Items != 10 || s.Done != 10 {
			t.Errorf("got %+v", s)
		}
		if s.Waited != time.Second+1 {
			t.Errorf("items waited %v, want 1s and 1ns", s.Waited)
		}
	})
}

// What waits longest goes first: nobody waits for others longer than MaxWaitTime while a batch could run.
func TestNobodyWaitsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		p := open(t, Config[string]{MaxWaitTime: -1, MaxBatchSize: 2}, r.fn)
		r.hold = map[string]chan struct{}{"a": make(chan struct{})}
		add(t, p, "a", "b", "c", "d")
		r.want(t, "a")
		close(r.hold["a"])
		r.want(t, "a", "b c", "d")
	})
}

// SPEC 6: one failed sub-batch hides the errors of others, and fails what succeeded. Here each item has its own result.
func TestEachItemHasItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := errors.New("another failure")
		r := recorder{errs: map[string][]error{"b": {errOdd}, "e": {other}}}
		p := open(t, Config[string]{MaxBatchSize: 2, Parallelism: 3, Retry: never}, r.fn)
		results := map[string]func() error{}
		for _, it := range []string{"a", "b", "c", "d", "e", "f"} {
			results[it] = inBackground(func() error { return p.Do(t.Context(), it) })
		}
		for it, result := range results {
			want := map[string]error{"b": errOdd, "e": other}[it]
			if err := result(); err != want {
				t.Errorf("%s: %v, want %v", it, err, want)
			}
		}
	})
}

// Only what failed is tried again.
func TestOnlyWhatFailedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{errs: map[string][]error{"b": {errOdd, errOdd}, "c": {retry.Permanent(errOdd)}}}
		p := open(t, Config[string]{MaxBatchSize: 4, Retry: second}, r.fn)
		began := time.Now()
		add(t, p, "a", "b", "c", "d")
		var failed *FailedError
		if err := p.Flush(t.Context()); !errors.As(err, &failed) || failed.Failed != 1 || !errors.Is(err, errOdd) {
			t.Errorf("one failed: Flush returned %v", err)
		}
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("two retries took %v", d)
		}
		r.want(t, "a b c d", "b", "b")
		if s := p.Stats(); s.Done != 3 || s.Failed != 1 || s.Retried != 2 {
			t.Errorf("got %+v", s)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("told already: %v", err)
		}
	})
}

// SPEC 6: splitting ignores keys. Here items of one key are in one batch, or one after the other.
func TestKeysKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{hold: map[string]chan struct{}{"a1": make(chan struct{})}}
		p := open(t, Config[string]{MaxBatchSize: 2, MaxWaitTime: -1, Parallelism: 3, Key: firstByte}, r.fn)
		for _, it := range []string{"a1", "a2", "b1", "a3", "c1"} {
			add(t, p, it)
			synctest.Wait()
		}
		r.want(t, "a1", "b1", "c1")
		close(r.hold["a1"])
		r.want(t, "a1", "b1", "c1", "a2 a3")
	})
}

// What fails holds those of its key behind it, and no others; those of its batch come again behind it.
func TestFailureHoldsItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{errs: map[string][]error{"a1": {errOdd}}}
		p := open(t, Config[string]{MaxBatchSize: 3, MaxWaitTime: -1, Parallelism: 2, Key: firstByte, Retry: second}, r.fn)
		r.hold = map[string]chan struct{}{"x": make(chan struct{}), "y": make(chan struct{})} // both workers, so that the others gather
		add(t, p, "x")
		synctest.Wait()
		add(t, p, "y", "a1", "b1", "a2")
		r.want(t, "x", "y")
		close(r.hold["x"])
		r.want(t, "x", "y", "a1 a2 b1")
		add(t, p, "a3")
		add(t, p, "b2")
		r.want(t, "x", "y", "a1 a2 b1", "b2")
		close(r.hold["y"])
		time.Sleep(time.Second)
		r.want(t, "x", "y", "a1 a2 b1", "b2", "a1 a2 a3")
		if s := p.Stats(); s.Retried != 1 {
			t.Errorf("%d attempts were followed by another, want 1: a2 was done", s.Retried)
		}
	})
}

// SPEC 6: a cancelled context is not honoured. Here what has not begun does not begin, and who waits is told how far it came.
func TestCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{hold: map[string]chan struct{}{"a": make(chan struct{})}, errs: map[string][]error{"d": {errOdd, errOdd}, "a": {errOdd}}}
		p := open(t, Config[string]{MaxWaitTime: -1, MaxBatchSize: 1, MaxBufferSize: 3, Key: firstByte, Retry: second}, r.fn)
		ctx, cancel := context.WithCancel(t.Context())
		running := inBackground(func() error { return p.Do(ctx, "a") })
		waiting := inBackground(func() error { return p.Do(ctx, "b") })
		behind := inBackground(func() error { return p.Do(ctx, "a2") })
		full := inBackground(func() error { return p.Do(ctx, "c") })
		cancel()
		if err := running(); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("at work: %v, want ErrUnknown and ctx's error", err)
		}
		for _, result := range []func() error{waiting, behind, full} {
			if err := result(); !errors.Is(err, ErrNotRun) || !errors.Is(err, context.Canceled) {
				t.Errorf("not begun: %v, want ErrNotRun and ctx's error", err)
			}
		}
		if err := p.Add(ctx, "e"); !errors.Is(err, ErrNotRun) || !errors.Is(err, backpressure.ErrFull) {
			t.Errorf("with an ended ctx: %v", err)
		}
		close(r.hold["a"])
		ctx, cancel = context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := p.Do(ctx, "d"); !errors.Is(err, errOdd) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotRun) {
			t.Errorf("between attempts: %v, want ctx's error and that of the attempt", err)
		}
		time.Sleep(time.Hour)
		r.want(t, "a", "d") // a failed, and is not tried again, since nobody waits
		var failed *FailedError
		if err := p.Flush(t.Context()); !errors.As(err, &failed) || failed.Failed != 1 {
			t.Errorf("a failed unseen: Flush returned %v", err)
		}
		if s := p.Stats(); s.Added != 4 || s.Cancelled != 3 || s.Failed != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// The buffer is bounded, what waits for an attempt included.
func TestBufferIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{errs: map[string][]error{"a": {errOdd}}}
		p := open(t, Config[string]{MaxWaitTime: -1, MaxBufferSize: 2, Retry: second}, r.fn)
		r.hold = map[string]chan struct{}{"b": make(chan struct{})}
		add(t, p, "a")
		synctest.Wait() // parked
		add(t, p, "b")
		added := inBackground(func() error { return p.Add(t.Context(), "c") })
		if held := p.Stats().Held; held != 2 {
			t.Errorf("%d items are held, want 2", held)
		}
		close(r.hold["b"])
		if err := added(); err != nil {
			t.Error(err)
		}
	})
}

// A panic, a Goexit and a wrong number of errors fail all items of the batch, and the processor goes on.
func TestFunctionsThatMisbehave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config[string]{MaxWaitTime: -1, Retry: never}, func(_ context.Context, items []string) []error {
			switch items[0] {
			case "panic":
				panic(errOdd)
			case "exit":
				runtime.Goexit()
			case "short":
				return make([]error, len(items)+1)
			}
			return nil
		})
		var panicked *PanicError
		if err := p.Do(t.Context(), "panic"); !errors.As(err, &panicked) || !errors.Is(err, errOdd) || len(panicked.Stack) == 0 {
			t.Errorf("a panic: %v", err)
		}
		if err := p.Do(t.Context(), "exit"); !errors.Is(err, errGoexit) {
			t.Errorf("a Goexit: %v", err)
		}
		if err := p.Do(t.Context(), "short"); err == nil || !strings.Contains(err.Error(), "2 errors for 1 items") {
			t.Errorf("a wrong length: %v", err)
		}
		if err := p.Do(t.Context(), "fine"); err != nil {
			t.Error(err)
		}
	})
}

// Close finishes what there is, retries included; without time it ends what runs, and says what was not run.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{errs: map[string][]error{"b": {errOdd}}}
		p := open(t, Config[string]{MaxWaitTime: time.Hour, Retry: second}, r.fn)
		add(t, p, "a", "b", "c")
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		r.want(t, "a b c", "b")
		if err := p.Add(t.Context(), "d"); !errors.Is(err, ErrNotRun) || !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}

		r = recorder{errs: map[string][]error{"b": {errOdd}}, hold: map[string]chan struct{}{"a1": make(chan struct{})}}
		p = open(t, Config[string]{MaxWaitTime: -1, MaxBatchSize: 1, Key: firstByte, Parallelism: 2, Retry: second}, r.fn)
		var results []func() error
		for _, it := range []string{"a1", "a2", "b"} {
			results = append(results, inBackground(func() error { return p.Do(context.Background(), it) }))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		add(t, p, "a3")
		var failed *FailedError
		if err := p.Close(ctx); !errors.As(err, &failed) || failed.Failed != 1 || !errors.Is(err, ErrNotRun) {
			t.Errorf("a3 was not run: Close returned %v", err)
		}
		for i, want := range [][]error{{context.Canceled}, {ErrNotRun, ErrClosed}, {ErrClosed, errOdd}} {
			err := results[i]()
			for _, want := range want {
				if !errors.Is(err, want) {
					t.Errorf("item %d: %v, want %v", i, err, want)
				}
			}
		}
		r.want(t, "a1", "b")
	})
}

// Close does not wait for ever for a function that does not heed its ctx.
func TestCloseLeavesWhatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{deaf: true, hold: map[string]chan struct{}{"a": make(chan struct{})}}
		p := open(t, Config[string]{MaxWaitTime: -1}, r.fn)
		add(t, p, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := p.Close(ctx); !errors.Is(err, ErrStuck) {
			t.Errorf("Close returned %v", err)
		}
		if d := time.Since(began); d != time.Second+grace {
			t.Errorf("Close took %v", d)
		}
		close(r.hold["a"])
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestFlushEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{hold: map[string]chan struct{}{"a": make(chan struct{})}}
		p := open(t, Config[string]{}, r.fn)
		add(t, p, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 3 {
			if err := p.Flush(ctx); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		if len(p.flights) > 2 {
			t.Errorf("%d flights for one item", len(p.flights))
		}
		flushed := inBackground(func() error { return p.Flush(t.Context()) })
		add(t, p, "later")
		close(r.hold["a"])
		if err := flushed(); err != nil {
			t.Error(err)
		}
	})
}

func TestConfigThatCannotBe(t *testing.T) {
	_, err := New(Config[int]{MaxBatchSize: -1, MaxBatchBytes: 1, MaxBufferSize: -1, Parallelism: -1, Retry: retry.Policy{First: -1}}, nil)
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
	for _, field := range []string{"MaxBatchSize", "MaxBatchBytes", "MaxBufferSize", "Parallelism", "Retry", "function"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not tell of %s", err, field)
		}
	}
}

// Figures for a long run: what is finished takes no memory.
func TestNothingIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{}
		p := open(t, Config[string]{Key: func(s string) string { return s }, MaxWaitTime: -1}, r.fn)
		for i := range 1000 {
			add(t, p, fmt.Sprint(i))
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if len(p.lanes) != 0 || len(p.ready.of) != 0 || p.readyItems != 0 || p.readyBytes != 0 || len(p.flights) != 1 {
			t.Errorf("%d lanes, %d ready, %d items, %d flights", len(p.lanes), len(p.ready.of), p.readyItems, len(p.flights))
		}
	})
}

// Who gives up makes way for those of its key behind it; one behind another that waits for its next attempt changes nothing for others.
func TestWhoGivesUpMakesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{errs: map[string][]error{"a1": {errOdd}}}
		p := open(t, Config[string]{MaxWaitTime: -1, Key: firstByte, Retry: second}, r.fn)
		one, giveUpOne := context.WithCancel(t.Context())
		two, giveUpTwo := context.WithCancel(t.Context())
		first := inBackground(func() error { return p.Do(one, "a1") })
		behind := inBackground(func() error { return p.Do(two, "a2") })
		add(t, p, "a3")
		giveUpTwo()
		if err := behind(); !errors.Is(err, ErrNotRun) {
			t.Errorf("got %v", err)
		}
		r.want(t, "a1")
		giveUpOne()
		if err := first(); !errors.Is(err, errOdd) {
			t.Errorf("got %v", err)
		}
		r.want(t, "a1", "a3")
	})
}

// What was done, and comes again behind what failed, has not used up an attempt.
func TestAttemptsBehindAFailureDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{errs: map[string][]error{"a1": {errOdd}, "a2": {nil, errOdd}}}
		policy := second
		policy.MaxAttempts = 2
		p := open(t, Config[string]{Key: firstByte, Retry: policy}, r.fn)
		first := inBackground(func() error { return p.Do(t.Context(), "a1") })
		if err := errors.Join(p.Do(t.Context(), "a2"), first()); err != nil {
			t.Error(err)
		}
		r.want(t, "a1 a2", "a1 a2", "a2")
	})
}
