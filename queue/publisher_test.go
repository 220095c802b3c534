package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// batchEngine keeps the values of each batch that it is given, and refuses those that have a value "bad".
type batchEngine struct {
	*sliceEngine
	hold    map[string]chan struct{} // by topic: a publish waits until it is closed
	err     error                    // what every publish returns
	tried   int                      // guarded by sliceEngine.mu
	batches []string                 // guarded by it; values, separated by spaces
	stored  []Message                // guarded by it; copies
}

var errBad = errors.New("a bad value")

func newBatchEngine() *batchEngine {
	return &batchEngine{sliceEngine: newSliceEngine(), hold: map[string]chan struct{}{}}
}

func (e *batchEngine) Publish(ctx context.Context, ms []Message, rs []Receipt) error {
	if hold := e.hold[ms[0].Topic]; hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrIndeterminate, ctx.Err())
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tried++
	if e.err != nil {
		return e.err
	}
	var values []string
	for i := range ms {
		values = append(values, string(ms[i].Value))
	}
	if slices.Contains(values, "bad") {
		return errBad
	}
	e.batches = append(e.batches, strings.Join(values, " "))
	for i := range ms {
		rs[i] = Receipt{Position: PositionAt(ms[i].Topic, 0, int64(len(e.stored))), Durability: Memory}
		e.stored = append(e.stored, ms[i].clone())
	}
	return nil
}

func (e *batchEngine) got() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.batches)
}

func openPublisher(t testing.TB, e Engine, o PublisherOptions) *Publisher {
	t.Helper()
	p, err := open(t, e, Options{}).Publisher(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// give hands values to p, for topic "t".
func (p *Publisher) give(t testing.TB, values ...string) (fs []Pending) {
	t.Helper()
	for _, v := range values {
		f, err := p.Go(context.Background(), Message{Topic: "t", Value: []byte(v)})
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

func wantBatches(t *testing.T, e *batchEngine, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := e.got(); !slices.Equal(got, want) {
		t.Errorf("batches %q, want %q", got, want)
	}
}

// A batch goes when its first message has lingered, when it has enough messages, or enough bytes.
func TestPublisherBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		p := openPublisher(t, e, PublisherOptions{Linger: 10 * time.Millisecond, BatchMessages: 3, BatchBytes: 10})
		p.give(t, "a")
		time.Sleep(9 * time.Millisecond)
		p.give(t, "b")
		wantBatches(t, e)
		time.Sleep(time.Millisecond)
		wantBatches(t, e, "a b")
		p.give(t, "c", "d", "e")
		wantBatches(t, e, "a b", "c d e")
		p.give(t, "123456", "12345", "f") // the second does not fit any more
		wantBatches(t, e, "a b", "c d e", "123456")
		p.give(t, "twenty bytes in one g")
		wantBatches(t, e, "a b", "c d e", "123456", "12345 f", "twenty bytes in one g")
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got, want := p.Stats(), (PublisherStats{Published: 9, Batches: 5}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// Whoever comes while the batch before is on its way makes the next one, without lingering.
func TestPublisherGathersWhileOneIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		e.hold["t"] = make(chan struct{})
		p := openPublisher(t, e, PublisherOptions{Linger: -1})
		p.give(t, "a")
		synctest.Wait()
		p.give(t, "b", "c", "d")
		close(e.hold["t"])
		wantBatches(t, e, "a", "b c d")
	})
}

func TestPublisherReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPublisher(t, newBatchEngine(), PublisherOptions{})
		for i, f := range p.give(t, "a", "b", "c") {
			r, err := f.Wait(t.Context())
			if want := (Receipt{Position: PositionAt("t", 0, int64(i)), Durability: Memory}); r != want || err != nil {
				t.Errorf("message %d: %+v, %v, want %+v", i, r, err, want)
			}
			<-f.Done()
		}
		if _, err := (Pending{}).Wait(t.Context()); err == nil {
			t.Error("the zero Pending has an outcome")
		}
	})
}

// What was given may be reused at once, and nil and empty stay what they are.
func TestPublisherCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		p := openPublisher(t, e, PublisherOptions{})
		rng := rand.New(rand.NewPCG(1, 2))
		var want []Message
		for i := range 500 {
			m := Message{Topic: "t", ID: fmt.Sprint(i), Partition: PinTo(i % 3), Timestamp: time.Unix(int64(i), 0)}
			for range rng.IntN(3) {
				m.Headers = append(m.Headers, Header{Key: fmt.Sprint("k", i), Value: bytes.Repeat([]byte{byte(i)}, rng.IntN(100))})
			}
			switch i % 3 {
			case 0:
				m.Key, m.Value = []byte{}, make([]byte, rng.IntN(10_000))
			case 1:
				m.Key, m.Value = bytes.Repeat([]byte("k"), i%7), nil
			}
			want = append(want, m.clone())
			if _, err := p.Go(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			for _, b := range append([][]byte{m.Key, m.Value}, values(m.Headers)...) {
				for i := range b {
					b[i] = '!'
				}
			}
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if !reflect.DeepEqual(e.stored[i], want[i]) {
				t.Fatalf("message %d was stored as %.200v, want %.200v", i, e.stored[i], want[i])
			}
		}
	})
}

func values(hs Headers) (vs [][]byte) {
	for _, h := range hs {
		vs = append(vs, h.Value)
	}
	return vs
}

// A message that cannot be stored fails alone, and the others keep their order.
func TestPublisherErrorHitsItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, bad := range [][]int{{0}, {7}, {15}, {3, 4, 12}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}} {
			e := newBatchEngine()
			p := openPublisher(t, e, PublisherOptions{})
			var given, want []string
			for i := range 16 {
				v := fmt.Sprint(i)
				if slices.Contains(bad, i) {
					v = "bad"
				} else {
					want = append(want, v)
				}
				given = append(given, v)
			}
			for i, f := range p.give(t, given...) {
				r, err := f.Wait(t.Context())
				isBad := slices.Contains(bad, i)
				if errors.Is(err, errBad) != isBad || isBad == (r != Receipt{}) {
					t.Errorf("%v: message %d: %+v, %v", bad, i, r, err)
				}
			}
			if got := strings.Join(e.got(), " "); got != strings.Join(want, " ") {
				t.Errorf("stored %q, want %q", got, want)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Errorf("all errors were claimed, and Close returns %v", err)
			}
			if s := p.Stats(); s.Failed != int64(len(bad)) || s.Published != int64(16-len(bad)) {
				t.Errorf("%v: %+v", bad, s)
			}
		}
	})
}

// Nothing is tried again of which it is not known whether it was stored, nor where nothing can be.
func TestPublisherKeepsTheOutcomeOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []error{ErrIndeterminate, ErrStopped, ErrClosed} {
			e := newBatchEngine()
			e.err = fmt.Errorf("%w: for a reason", want)
			p := openPublisher(t, e, PublisherOptions{})
			for _, f := range p.give(t, "a", "b", "c") {
				if r, err := f.Wait(t.Context()); !errors.Is(err, want) || r != (Receipt{}) {
					t.Errorf("%+v, %v, want %v", r, err, want)
				}
			}
			if e.tried != 1 {
				t.Errorf("%v: the engine was asked %d times, want once", want, e.tried)
			}
			p.Close(t.Context())
		}
	})
}

// The buffer has a bound: Go waits for room, in turn, or is refused.
func TestPublisherBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		e.hold["t"] = make(chan struct{})
		p := openPublisher(t, e, PublisherOptions{BufferBytes: 3 * (messageWeight + 1)})
		p.give(t, "a", "b", "c")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Go(ctx, Message{Topic: "t"}); !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no room within a second: %v, want ErrFull and the ctx's error", err)
		}
		var waiting sync.WaitGroup
		for _, v := range []string{"d", "e", "f"} {
			waiting.Go(func() { p.give(t, v) })
			synctest.Wait()
		}
		if held := p.Stats().Held; held != 3 {
			t.Errorf("%d messages are held, want 3", held)
		}
		close(e.hold["t"])
		waiting.Wait()
		p.give(t, strings.Repeat("more than all the buffer ", 100))
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := strings.Join(e.got(), " "); !strings.HasPrefix(got, "a b c ") || len(e.stored) != 7 {
			t.Errorf("stored %.40q, %d messages", got, len(e.stored))
		}

		e.hold["t"] = make(chan struct{})
		p = openPublisher(t, e, PublisherOptions{BufferBytes: 3 * (messageWeight + 1), Refuse: true})
		p.give(t, "a", "b", "c")
		if _, err := p.Go(t.Context(), Message{Topic: "t"}); !errors.Is(err, ErrFull) {
			t.Errorf("no room: %v, want ErrFull at once", err)
		}
		close(e.hold["t"])
		time.Sleep(time.Millisecond)
		synctest.Wait()
		p.give(t, "d")
		p.Close(t.Context())
		if _, err := p.Go(t.Context(), Message{Topic: "t"}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	})
}

// A topic that is held up holds up no other.
func TestPublisherTopicsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		e.hold["t"] = make(chan struct{})
		p := openPublisher(t, e, PublisherOptions{})
		p.give(t, "held")
		f, err := p.Go(t.Context(), Message{Topic: "u", Value: []byte("free")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		wantBatches(t, e, "free")
		close(e.hold["t"])
	})
}

func TestPublisherFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		p := openPublisher(t, e, PublisherOptions{Linger: time.Hour})
		p.give(t, "a")
		began := time.Now()
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("a flush took %v", d)
		}
		fs := p.give(t, "bad", "bad", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := fs[0].Wait(ctx); !errors.Is(err, ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second of waiting: %v, want ErrIndeterminate and the ctx's error", err)
		}
		var failed *PublisherError
		if err := p.Flush(t.Context()); !errors.As(err, &failed) || failed.Failed != 2 || !errors.Is(err, errBad) {
			t.Errorf("two failed: Flush returned %v", err)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("told already: %v", err)
		}
		fs = p.give(t, "bad", "bad")
		e.hold["t"] = make(chan struct{})
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, what := range []string{"waits", "is on its way"} {
			if err := p.Flush(ctx); !errors.Is(err, ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a second of flushing what %s: %v", what, err)
			}
		}
		close(e.hold["t"])
		fs[1].Wait(t.Context())
		if err := p.Flush(t.Context()); !errors.As(err, &failed) || failed.Failed != 1 {
			t.Errorf("one failed that was not waited for: Flush returned %v", err)
		}
	})
}

// What fails and is not asked for takes memory within a bound, and is counted.
func TestPublisherFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPublisher(t, newBatchEngine(), PublisherOptions{BatchMessages: 1})
		for range 2 * maxFailed {
			p.give(t, "bad")
		}
		var failed *PublisherError
		if err := p.Close(t.Context()); !errors.As(err, &failed) || failed.Failed != 2*maxFailed || len(failed.Causes) != maxCauses {
			t.Errorf("Close returned %v", err)
		}
		if again := p.Close(t.Context()); again != error(failed) {
			t.Errorf("a second Close returned %v", again)
		}
	})
}

func TestPublisherClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		p := openPublisher(t, e, PublisherOptions{Linger: time.Hour})
		p.give(t, "a", "b")
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wantBatches(t, e, "a b")
		if _, err := p.Go(t.Context(), Message{Topic: "t"}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	})
}

// When the ctx of Close ends, what is on its way may be stored or not, and what is not sent is not: each is told which.
func TestPublisherCloseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		e.hold["t"] = make(chan struct{})
		p := openPublisher(t, e, PublisherOptions{BatchMessages: 2, BufferBytes: 5 * (messageWeight + 1)})
		fs := p.give(t, "a", "b", "c", "d", "e")
		var blocked error
		var waiting sync.WaitGroup
		waiting.Go(func() { _, blocked = p.Go(context.Background(), Message{Topic: "t"}) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var failed *PublisherError
		if err := p.Close(ctx); !errors.As(err, &failed) || failed.Failed != 5 {
			t.Errorf("Close returned %v", err)
		}
		for i, f := range fs {
			want := ErrClosed
			if i < 2 {
				want = ErrIndeterminate
			}
			if _, err := f.Wait(t.Context()); !errors.Is(err, want) {
				t.Errorf("message %d: %v, want %v", i, err, want)
			}
		}
		if waiting.Wait(); !errors.Is(blocked, ErrClosed) {
			t.Errorf("who waited for room got %v, want ErrClosed", blocked)
		}
		wantBatches(t, e)
	})
}

// A broker that is closed sends what its publishers hold, within its time.
func TestBrokerClosesPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		p := openPublisher(t, e, PublisherOptions{Linger: time.Hour})
		p.give(t, "a", "bad")
		if err := p.broker.Close(); !errors.Is(err, errBad) {
			t.Errorf("Close returned %v", err)
		}
		wantBatches(t, e, "a")
		if _, err := p.broker.Publisher(PublisherOptions{}); !errors.Is(err, ErrClosed) {
			t.Errorf("a publisher of a closed broker: %v", err)
		}

		e = newBatchEngine()
		e.hold["t"] = make(chan struct{})
		p = openPublisher(t, e, PublisherOptions{})
		f := p.give(t, "a")[0]
		began := time.Now()
		p.broker.Close()
		if d := time.Since(began); d != p.broker.drainTime+grace {
			t.Errorf("Close with an engine that hangs took %v", d)
		}
		if _, err := f.Wait(t.Context()); !errors.Is(err, ErrIndeterminate) {
			t.Errorf("got %v, want ErrIndeterminate", err)
		}
	})
}

func TestPublisherOverAnEngineWithoutBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBatchEngine()
		delete(e.caps.Features, CanBatch)
		p := openPublisher(t, e, PublisherOptions{})
		p.give(t, "a", "b")
		wantBatches(t, e, "a", "b")
	})
}

func TestPublisherRefuses(t *testing.T) {
	b := open(t, newBatchEngine(), Options{})
	var config *ConfigError
	if _, err := b.Publisher(PublisherOptions{BatchMessages: -1, BatchBytes: 9 << 20, BufferBytes: -1}); !errors.As(err, &config) || len(config.Faults) != 3 {
		t.Errorf("got %v, want three faults", err)
	}
	p, err := b.Publisher(PublisherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Go(t.Context(), Message{Topic: "t", Value: make([]byte, 2<<20)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Go(ended, Message{Topic: "t"}); !errors.Is(err, ErrFull) || !errors.Is(err, context.Canceled) {
		t.Errorf("an ended ctx: %v", err)
	}
}

// Of each of many goroutines messages stand in the order in which they were given, whatever fails in between.
func TestPublisherOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	e := newBatchEngine()
	p := openPublisher(t, e, PublisherOptions{BatchMessages: 7, Linger: 10 * time.Microsecond, BufferBytes: 20 * messageWeight})
	const goroutines, each = 8, 300
	var all, flushes sync.WaitGroup
	ended := make(chan struct{})
	flushes.Go(func() { // any time is right for a flush
		for {
			select {
			case <-ended:
				return
			default:
				p.Flush(t.Context())
			}
		}
	})
	for g := range goroutines {
		rng := rand.New(rand.NewPCG(seed, uint64(g)))
		all.Go(func() {
			for i := range each {
				if rng.IntN(20) == 0 {
					p.give(t, "bad")
				}
				p.give(t, fmt.Sprintf("%d:%d", g, i))
			}
		})
	}
	all.Wait()
	close(ended)
	flushes.Wait()
	if err := p.Close(t.Context()); err != nil && !errors.Is(err, errBad) {
		t.Errorf("Close returned %v", err)
	}
	next := [goroutines]int{}
	for _, m := range e.stored {
		var g, i int
		fmt.Sscanf(string(m.Value), "%d:%d", &g, &i)
		if i != next[g] {
			t.Fatalf("goroutine %d: message %d where %d is due", g, i, next[g])
		}
		next[g]++
	}
	if len(e.stored) != goroutines*each {
		t.Errorf("%d messages were stored, want %d", len(e.stored), goroutines*each)
	}
}

// TestPublisherAllocations: what a batch costs is shared by its messages.
func TestPublisherAllocations(t *testing.T) {
	p := openPublisher(t, newDiscardEngine(), PublisherOptions{Linger: time.Hour})
	m := Message{Topic: "t", Key: []byte("k"), Value: make([]byte, 100), Headers: Headers{}.With("a", "b")}
	batch := func() {
		for range 1000 {
			if _, err := p.Go(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	batch()
	if n := testing.AllocsPerRun(20, batch); n > 60 {
		t.Errorf("1,000 messages take %v allocations", n)
	}
}
