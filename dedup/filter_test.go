package dedup

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func key(n int) (k Key) {
	binary.BigEndian.PutUint64(k[24:], uint64(n)) // bytes that differ in little
	return k
}

func newFilter(t testing.TB, o FilterOptions) *Filter {
	t.Helper()
	f, err := NewFilter(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantState(t testing.TB, f *Filter, k Key, want State) Reservation {
	t.Helper()
	r, got := f.Reserve(k)
	if got != want {
		t.Errorf("key %x is %v, want %v", k[24:], got, want)
	}
	return r
}

func commit(t testing.TB, f *Filter, k Key) {
	t.Helper()
	if !wantState(t, f, k, New).Commit() {
		t.Errorf("key %x: the commit did not count", k[24:])
	}
}

func TestReservation(t *testing.T) {
	f := newFilter(t, FilterOptions{})
	first := wantState(t, f, key(1), New)
	if r := wantState(t, f, key(1), InFlight); r.Commit() {
		t.Error("a commit of what was not reserved counts")
	}
	first.Abort()
	second := wantState(t, f, key(1), New)
	if first.Abort(); first.Commit() {
		t.Error("a reservation that had ended counts")
	}
	wantState(t, f, key(1), InFlight) // still the second one's
	if !second.Commit() || second.Commit() {
		t.Error("the first commit counts, the second one does not")
	}
	second.Abort()
	wantState(t, f, key(1), Seen)
	if (Reservation{}).Commit() {
		t.Error("nobody's reservation counts")
	}
	Reservation{}.Abort()
	s := f.Stats()
	if s.Commits != 1 || s.Aborts != 1 || s.New != 2 || s.Refused != 2 || s.Seen != 1 || s.Keys != 1 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for option, o := range map[string]FilterOptions{
		"Keys": {Keys: -1}, "Keys ": {Keys: maxKeys + 1}, "Window": {Window: time.Microsecond}, "Window ": {Window: maxWindow + 1},
		"Window  ": {Window: -time.Second}, "History": {History: -1}, "History ": {History: maxHistory + 1}, "FalsePositives": {FalsePositives: 1e-7},
		"FalsePositives ": {FalsePositives: 0.6}, "InFlight": {InFlight: -1}, "InFlight ": {InFlight: maxKeys + 1},
	} {
		f, err := NewFilter(o)
		var wrong *OptionsError
		if f != nil || !errors.As(err, &wrong) {
			t.Errorf("%s: %v, %v", option, f, err)
		} else if name := "FilterOptions." + string([]byte(option)[:len(wrong.Option)-len("FilterOptions.")]); wrong.Option != name {
			t.Errorf("%s: %v", option, err)
		}
		if o.Bytes() != 0 {
			t.Errorf("%s: %d bytes", option, o.Bytes())
		}
	}
	if _, err := NewFilter(FilterOptions{Keys: -1, History: -1}); len(err.(interface{ Unwrap() []error }).Unwrap()) != 2 {
		t.Errorf("two faults: %v", err)
	}
	if _, err := NewMemory(MemoryOptions{TTL: -1}); err == nil {
		t.Error("a negative TTL is taken")
	}
}

func TestInFlightIsBounded(t *testing.T) {
	f := newFilter(t, FilterOptions{InFlight: 2})
	first := wantState(t, f, key(1), New)
	wantState(t, f, key(2), New)
	wantState(t, f, key(3), Full)
	wantState(t, f, key(2), InFlight) // says so also when there is no room
	first.Commit()
	wantState(t, f, key(1), Seen)
	wantState(t, f, key(3), New)
	wantState(t, f, key(4), Full)
	if s := f.Stats(); s.Full != 2 || s.InFlight != 2 {
		t.Errorf("%+v", s)
	}
}

func TestWindowByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFilter(t, FilterOptions{Window: time.Minute})
		for range 5 {
			commit(t, f, key(1))
			time.Sleep(time.Minute - 1)
			wantState(t, f, key(1), Seen)
			time.Sleep(time.Nanosecond)
		}
		commit(t, f, key(1))
		time.Sleep(time.Second)
		commit(t, f, key(2))
		r := wantState(t, f, key(3), New)
		time.Sleep(time.Hour) // nothing comes for many windows
		for n := range 3 {
			wantState(t, f, key(n), New).Abort()
		}
		wantState(t, f, key(3), InFlight) // reservations have no end
		r.Commit()
		wantState(t, f, key(3), Seen)
		s := f.Stats()
		if s.Reach != time.Minute || s.Early != 0 || s.RotatedByAge < 5 || s.RotatedByCount != 0 || s.Keys != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWindowByCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 100
		f := newFilter(t, FilterOptions{Keys: keys, Window: time.Hour})
		for n := range 10 * keys {
			commit(t, f, key(n))
			for back := range min(n+1, keys) {
				wantState(t, f, key(n-back), Seen)
			}
			if n >= 2*keys {
				wantState(t, f, key(n-2*keys), New).Abort()
			}
			time.Sleep(time.Millisecond)
		}
		s := f.Stats()
		if s.RotatedByCount != 9 || s.Early != 8 || s.RotatedByAge != 0 || s.Keys != 2*keys || s.Reach != 2*keys*time.Millisecond+time.Millisecond {
			t.Errorf("%+v", s)
		}
		time.Sleep(2 * time.Hour)
		if s := f.Stats(); s.Reach != time.Hour || s.Keys != 0 {
			t.Errorf("two hours later: %+v", s)
		}
	})
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 1000
		f := newFilter(t, FilterOptions{Keys: keys, Window: time.Hour, History: 3, FalsePositives: 0.001})
		for n := range 5 * keys {
			r, state := f.Reserve(key(n))
			if !state.Reserved() || !r.Commit() {
				t.Fatalf("key %d is %v", n, state)
			}
		}
		for n := range 5 * keys {
			wantState(t, f, key(n), []State{Perhaps, Seen}[n/(3*keys)]).Abort()
		}
		perhaps := 0
		for n := range 10_000 {
			r, state := f.Reserve(key(1_000_000 + n))
			if r.Abort(); state == Perhaps {
				perhaps++
			}
		}
		if perhaps == 0 || perhaps > 60 { // 3 generations of 0.001 are 30
			t.Errorf("%d of 10,000 new keys are Perhaps", perhaps)
		}
		time.Sleep(time.Hour)
		wantState(t, f, key(5*keys-1), Perhaps).Abort() // known, but too old
		time.Sleep(10 * time.Hour)
		for n := range 5 * keys {
			wantState(t, f, key(n), New).Abort()
		}
	})
}

// TestFalsePositivesNeverJudge has Bloom filters that answer wrong at nearly every other question: no key is Seen, or Perhaps, that was not committed.
func TestFalsePositivesNeverJudge(t *testing.T) {
	f := newFilter(t, FilterOptions{Keys: 1000, FalsePositives: 0.5})
	for n := range 2000 {
		commit(t, f, key(n))
	}
	for n := range 20_000 {
		wantState(t, f, key(10_000+n), New).Abort()
	}
	s := f.Stats()
	measured := float64(s.FalsePositives) / float64(s.Questions)
	t.Logf("%d false positives of %d questions: %.3f; by fill %.3f and %.3f", s.FalsePositives, s.Questions, measured,
		s.Generations[0].FalsePositives, s.Generations[1].FalsePositives)
	if measured < 0.3 || measured > 0.7 {
		t.Errorf("measured %.3f, and the options say 0.5", measured)
	}
}

func TestRateOfFalsePositives(t *testing.T) {
	for _, p := range []float64{0.1, 0.01, 0.001} {
		f := newFilter(t, FilterOptions{Keys: 20_000, FalsePositives: p})
		for n := range 20_000 {
			commit(t, f, key(n))
		}
		before := f.Stats()
		for n := range 200_000 {
			wantState(t, f, key(1_000_000+n), New).Abort()
		}
		s := f.Stats()
		measured := float64(s.FalsePositives-before.FalsePositives) / float64(s.Questions-before.Questions)
		g := s.Generations[0]
		t.Logf("asked for %v: measured %.5f, by fill %.5f; fill %.3f", p, measured, g.FalsePositives, g.Fill)
		if measured > 1.5*p || measured < p/3 || g.FalsePositives > 1.5*p || g.Fill < 0.4 || g.Fill > 0.6 || !g.Exact || g.Keys != 20_000 {
			t.Errorf("asked for %v: measured %.5f, %+v", p, measured, g)
		}
	}
}

// TestMemoryIsBounded fills filters several times over, and measures.
func TestMemoryIsBounded(t *testing.T) {
	for _, o := range []FilterOptions{
		{Keys: 1000, InFlight: 10}, {Keys: 1000, InFlight: 10_000}, {Keys: 56_000, InFlight: 1}, {Keys: 57_344, InFlight: 1}, {Keys: 60_000, InFlight: 1},
		{Keys: 65_536, InFlight: 1, History: 20}, {Keys: 120_000, InFlight: 1},
	} {
		before := heap()
		f := newFilter(t, o)
		made := heap() - before
		for n := range 3*o.Keys + o.Keys/2 {
			r, _ := f.Reserve(key(n))
			r.Commit()
		}
		for n := range o.InFlight {
			f.Reserve(key(1<<30 + n))
		}
		used := heap() - before
		runtime.KeepAlive(f)
		t.Logf("%d keys, %d in flight, %d of history: %d KiB when made, %d KiB full, %.0f bytes a key; bound %d KiB",
			o.Keys, o.InFlight, o.History, made>>10, used>>10, float64(used)/float64(o.Keys), o.Bytes()>>10)
		if used > o.Bytes() {
			t.Errorf("%+v: %d bytes, the bound is %d", o, used, o.Bytes())
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestOneHolder has many reserve few keys of a filter that forgets all the time.
func TestOneHolder(t *testing.T) {
	f := newFilter(t, FilterOptions{Keys: 4, Window: time.Millisecond, History: 1, InFlight: 6})
	var holders [10]atomic.Int32
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for n := range 2000 {
				k := (n*7 + w*3) % len(holders)
				r, state := f.Reserve(key(k))
				if !state.Reserved() {
					continue
				}
				if holders[k].Add(1) != 1 {
					t.Errorf("key %d has two holders", k)
				}
				runtime.Gosched()
				holders[k].Add(-1)
				if n%3 == 0 {
					r.Abort()
				} else if !r.Commit() {
					t.Errorf("key %d: the commit of its holder did not count", k)
				}
			}
		})
	}
	all.Wait()
	s := f.Stats()
	if s.InFlight != 0 || s.New+s.Perhaps != s.Commits+s.Aborts || s.Commits == 0 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d commits, %d aborts, %d in flight, %d seen, %d full", s.Commits, s.Aborts, s.Refused, s.Seen, s.Full)
}
