package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// What several clients see who work at the same time, in memory and on a disk that loses power under them: for each of a few small models there has to be an order of all
// calls, one after the other, in which every answer is right. Calls of which nobody knows whether they took effect may take it at any time, or not at all; those that were refused are
// not in the history, so that whatever comes of them is wrong.

// unsure is the answer of a call that may have taken effect, or may yet, or not.
type unsure struct{}

func (unsure) open() {}

// openEnded are answers of such calls.
type openEnded interface{ open() }

// line is a history.
type line struct {
	mu    sync.Mutex
	clock atomic.Int64
	ops   []porcupine.Operation // guarded by mu
}

// call notes a call: what f answers, unless that is nil, which says that nothing was done.
func (l *line) call(client int, input any, f func() any) {
	l.callAs(client, func() (any, any) { return input, f() })
}

// callAs is call, where it is known afterwards what was asked for.
func (l *line) callAs(client int, f func() (input, answer any)) {
	op := porcupine.Operation{ClientId: client, Call: l.clock.Add(1)}
	op.Input, op.Output = f()
	op.Return = l.clock.Add(1)
	if op.Output == nil {
		return
	}
	if _, ok := op.Output.(openEnded); ok {
		op.Return = math.MaxInt64
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops = append(l.ops, op)
}

// count tells how many calls there are, and how many of them have an unknown answer.
func (l *line) count() (calls, open int) {
	for _, op := range l.ops {
		if _, ok := op.Output.(openEnded); ok {
			open++
		}
	}
	return len(l.ops), open
}

// by splits a history: the operations of each key, together with those without one, which concern all.
func by[K comparable](key func(op porcupine.Operation) (K, bool)) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[K][]porcupine.Operation{}
		for _, op := range history {
			if k, ok := key(op); ok {
				parts[k] = nil
			}
		}
		for _, op := range history {
			k, ok := key(op)
			for part := range parts {
				if !ok || k == part {
					parts[part] = append(parts[part], op)
				}
			}
		}
		var all [][]porcupine.Operation
		for _, part := range parts {
			all = append(all, part)
		}
		return all
	}
}

// site is a queue that clients share. On a disk it can lose power.
type site struct {
	t     *testing.T
	disk  *disktest.Disk // nil: in memory
	world any            // what the clients of a history have between them
	grown atomic.Int64   // how often "t" was given partitions

	mu     sync.Mutex
	broker *queue.Broker // guarded by mu
	dying  *queue.Broker // guarded by mu; the one whose power is being cut
	up     chan struct{} // guarded by mu; closed when another broker is there
}

func newSite(t *testing.T, onDisk bool) *site {
	s := &site{t: t, up: make(chan struct{})}
	if onDisk {
		s.disk = disktest.New()
	}
	s.open()
	t.Cleanup(func() { s.now().Close() }) // of what crashed, too
	return s
}

func (s *site) open() {
	s.t.Helper()
	b, err := InMemory(Options{})
	if s.disk != nil {
		b.Close()
		b, err = openOn(s.disk)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broker = b
	close(s.up)
	s.up = make(chan struct{})
}

func (s *site) now() *queue.Broker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broker
}

// grow gives "t" partitions, so that it has total.
func (s *site) grow(b *queue.Broker, total int) error {
	err := b.Admin().AddPartitions(context.Background(), "t", total)
	if err == nil {
		s.grown.Add(1)
	}
	return err
}

// growSome is grow, now and then, to a number that others may have passed already.
func (s *site) growSome(rng *rand.Rand, most int) {
	if rng.IntN(12) == 0 {
		s.grow(s.now(), 1+rng.IntN(most))
	}
}

var errPower = errors.New("the power went away")

// crash cuts the power and opens what is left.
func (s *site) crash(rng *rand.Rand) {
	s.mu.Lock()
	s.dying = s.broker
	s.mu.Unlock()
	s.disk.Hook(func(disktest.Op) error { return errPower })
	now, cancel := context.WithCancel(context.Background())
	cancel()
	s.now().Shutdown(now) // that it fails is what it is about
	s.disk = s.disk.PowerLost(rng.IntN(disktest.Modes()), rng.Uint64())
	s.open()
}

// next waits for the broker behind b, if b is going down.
func (s *site) next(b *queue.Broker) {
	s.mu.Lock()
	up, down := s.up, s.broker == b && s.dying == b
	s.mu.Unlock()
	if down {
		<-up
	}
}

// outcome is the answer of a call that ended with err: unknown, or nil for refused.
func outcome(err error) any {
	if errors.Is(err, queue.ErrIndeterminate) {
		return unsure{}
	}
	return nil
}

// linearTest is a kind of history.
type linearTest struct {
	model  porcupine.Model
	topics map[string]queue.TopicConfig
	client func(s *site, l *line, client int, rng *rand.Rand)
	grows  bool // clients give topic "t" partitions
	// Of those that are not nil: what clients have between them, what is noted of a crash, and what is done at the end, alone.
	world   func() any
	crashed any
	end     func(s *site, l *line)
}

const linearClients = 4

// run plays histories, some in memory and some on a disk whose power goes away once or twice, and judges each.
func (x *linearTest) run(t *testing.T, histories int) {
	t.Parallel()
	seed := rand.Uint64()
	calls, open, crashes, undecided, grown := 0, 0, 0, 0, 0
	for h := range histories {
		rng := rand.New(rand.NewPCG(seed, uint64(h)))
		onDisk := h%2 == 1
		s, l := newSite(t, onDisk), &line{}
		x.ensure(s)
		if x.world != nil {
			s.world = x.world()
		}
		var all sync.WaitGroup
		for c := range linearClients {
			rng := rand.New(rand.NewPCG(rng.Uint64(), uint64(c)))
			all.Go(func() { x.client(s, l, c, rng) })
		}
		for range rng.IntN(3) {
			if onDisk {
				crashes++
				x.crash(s, l, rng)
			}
		}
		all.Wait()
		if x.end != nil {
			x.end(s, l)
		}
		grown += int(s.grown.Load())
		n, o := l.count()
		calls, open = calls+n, open+o
		switch result := porcupine.CheckOperationsTimeout(x.model, l.ops, 10*time.Second); result {
		case porcupine.Unknown:
			undecided++ // there are too many orders to look at
		case porcupine.Illegal:
			t.Fatalf("seed %d, history %d (on disk: %v): %s: no order of %d calls explains their answers:\n%s", seed, h, onDisk, result, n, x.wrong(l))
		}
		if t.Failed() {
			t.Fatalf("seed %d, history %d (on disk: %v)", seed, h, onDisk)
		}
	}
	t.Logf("seed %d: %d histories, %d calls, %d of them with an unknown outcome, %d crashes, partitions given %d times, %d histories undecided; lost 0", seed, histories, calls, open, crashes, grown, undecided)
	if calls == 0 || x.grows && grown == 0 || histories > 10 && crashes == 0 || undecided > histories/5 {
		t.Error("17: a count is zero")
	}
}

// wrong tells of the first part of a history that is: the end of the longest order that explains its calls one after the other, and what cannot come behind it. Of each
// call it tells from when to when it went on, what was asked, and what was answered.
func (x *linearTest) wrong(l *line) string {
	parts := [][]porcupine.Operation{l.ops}
	if x.model.Partition != nil {
		parts = x.model.Partition(l.ops)
	}
	alone := x.model
	alone.Partition = nil
	for _, part := range parts {
		result, info := porcupine.CheckOperationsVerbose(alone, part, time.Minute)
		if result == porcupine.Ok {
			continue
		}
		var longest []porcupine.Operation
		for _, some := range info.PartialLinearizationsOperations()[0] {
			if len(some) > len(longest) {
				longest = some
			}
		}
		rest := slices.DeleteFunc(slices.Clone(part), func(op porcupine.Operation) bool {
			return slices.ContainsFunc(longest, func(o porcupine.Operation) bool { return o.Call == op.Call })
		})
		slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
		var text strings.Builder
		for i, op := range slices.Concat(longest[max(0, len(longest)-30):], rest[:min(len(rest), 5)]) {
			if i == min(30, len(longest)) {
				text.WriteString("and then:\n")
			}
			fmt.Fprintf(&text, "client %d, %d to %d: %+v: %+v\n", op.ClientId, op.Call, op.Return, op.Input, op.Output)
		}
		return text.String()
	}
	return ""
}

func (x *linearTest) ensure(s *site) {
	s.t.Helper()
	for name, c := range x.topics {
		if err := s.now().EnsureTopic(context.Background(), name, c); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (x *linearTest) crash(s *site, l *line, rng *rand.Rand) {
	began := s.disk
	left := atomic.Int64{}
	left.Store(int64(3 + rng.IntN(60)))
	due := make(chan struct{})
	began.Hook(func(disktest.Op) error {
		if left.Add(-1) == 0 {
			close(due)
		}
		return nil
	})
	patience := time.NewTimer(20 * time.Millisecond) // the clients may do less than that
	defer patience.Stop()
	select {
	case <-due:
	case <-patience.C:
	}
	l.call(linearClients, x.crashed, func() any {
		s.crash(rng)
		if x.crashed == nil {
			return nil
		}
		return true
	})
}

func valueOf(client, n int) string { return fmt.Sprintf("%d-%d", client, n) }
