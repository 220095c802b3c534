package batch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/retry"
)

// loops returns how often something is done, as LEAT_LOOPS says.
func loops(t *testing.T, short, ci, full int) int {
	n, ok := map[string]int{"": short, "short": short, "ci": ci, "full": full}[os.Getenv("LEAT_LOOPS")]
	if !ok {
		t.Fatalf("LEAT_LOOPS=%s: want short, ci or full", os.Getenv("LEAT_LOOPS"))
	}
	return n
}

// model is what must be: by key, what came and is not finished, in order. A call may have of each key a beginning of that, and none of a key that is worked on.
type model struct {
	t    *testing.T
	mu   sync.Mutex
	rng  *rand.Rand // guarded by mu
	c    Config[string]
	keys map[string][]string // guarded by mu
	busy map[string]bool     // guarded by mu
	runs int                 // guarded by mu
	done map[string]int      // guarded by mu; how often an item ended
}

// TestFollowsTheModel has many goroutines add items of many keys, which take their time, and fail in all ways.
func TestFollowsTheModel(t *testing.T) {
	histories, seeds := loops(t, 30, 300, 5000), rand.Uint64()
	t.Logf("%d histories, the first of seed %d, then one more each", histories, seeds)
	for i := range histories {
		seed := seeds + uint64(i)
		synctest.Test(t, func(t *testing.T) { follow(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func follow(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	m := &model{t: t, rng: rng, keys: map[string][]string{}, busy: map[string]bool{}, done: map[string]int{}}
	m.c = Config[string]{
		MaxBatchSize: 1 + rng.IntN(10), MaxBatchBytes: 20 + rng.IntN(100), MaxBufferSize: 1 + rng.IntN(30), Parallelism: 1 + rng.IntN(4),
		MaxWaitTime: time.Duration(rng.IntN(3)-1) * time.Millisecond,
		Key:         func(s string) string { return s[:strings.Index(s, ":")] }, Size: func(s string) int { return len(s) },
		Retry: retry.Policy{First: time.Millisecond, Max: 10 * time.Millisecond, MaxAttempts: 1000},
	}
	p := open(t, m.c, m.work)
	var adding sync.WaitGroup
	const producers, each, keys = 4, 50, 3
	for g := range producers {
		rng := rand.New(rand.NewPCG(seed, uint64(g+1)))
		adding.Go(func() {
			for i := range each {
				it := fmt.Sprintf("%d-%d:%d", g, rng.IntN(keys), i)
				m.add(it)
				if rng.IntN(10) == 0 {
					p.Do(context.Background(), it)
				} else if err := p.Add(context.Background(), it); err != nil {
					t.Error(err)
				}
				if rng.IntN(20) == 0 {
					p.Flush(context.Background())
				}
			}
		})
	}
	adding.Wait()
	p.Close(context.Background())
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, left := range m.keys {
		if len(left) > 0 {
			t.Errorf("of key %s %v is left", key, left)
		}
	}
	if s := p.Stats(); len(m.done) != producers*each || s.Done+s.Failed != producers*each {
		t.Errorf("%d items ended, want %d; %+v", len(m.done), producers*each, s)
	}
}

func (m *model) add(it string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := m.c.Key(it)
	m.keys[key] = append(m.keys[key], it)
}

// work judges a call, and makes one up in return.
func (m *model) work(ctx context.Context, items []string) []error {
	errs, took := m.begin(items)
	time.Sleep(took)
	m.end(items, errs)
	if alike := slices.Compact(slices.Clone(errs)); len(alike) > 1 {
		return errs
	}
	switch errs[0] {
	case nil:
		return nil
	case errOdd:
		panic(errOdd)
	}
	return errs
}

func (m *model) begin(items []string) (errs []error, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs++; m.runs > m.c.Parallelism {
		m.t.Errorf("%d calls at once, want at most %d", m.runs, m.c.Parallelism)
	}
	bytes := 0
	byKey := map[string][]string{}
	for _, it := range items {
		bytes += len(it)
		byKey[m.c.Key(it)] = append(byKey[m.c.Key(it)], it)
		switch m.rng.IntN(6) {
		case 0:
			errs = append(errs, errOdd)
		case 1:
			errs = append(errs, retry.Permanent(errOdd))
		default:
			errs = append(errs, nil)
		}
	}
	if len(items) > m.c.MaxBatchSize || bytes > m.c.MaxBatchBytes && len(items) > 1 {
		m.t.Errorf("a batch of %d items, %d bytes", len(items), bytes)
	}
	for key, got := range byKey {
		if m.busy[key] {
			m.t.Errorf("key %s is worked on twice at a time", key)
		}
		m.busy[key] = true
		if want := m.keys[key]; len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			m.t.Errorf("a call has %v of key %s, want the first of %v", got, key, want)
		}
	}
	return errs, time.Duration(m.rng.IntN(3000)) * time.Microsecond
}

// end removes of each key what ended: all up to the first that is tried again.
func (m *model) end(items []string, errs []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs--
	held := map[string]bool{}
	for i, it := range items {
		key := m.c.Key(it)
		delete(m.busy, key)
		if held[key] = held[key] || errs[i] == errOdd; !held[key] && len(m.keys[key]) > 0 {
			m.keys[key] = m.keys[key][1:]
			if m.done[it]++; m.done[it] > 1 {
				m.t.Errorf("%s ended twice", it)
			}
		}
	}
}
