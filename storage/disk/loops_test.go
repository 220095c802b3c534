package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// sized picks the figure for LEAT_LOOPS: short is what go test runs, ci what .ci/run runs, full what is published.
func sized(tb testing.TB, short, ci, full int) int {
	switch v := os.Getenv("LEAT_LOOPS"); v {
	case "", "short":
		return short
	case "ci":
		return ci
	case "full":
		return full
	default:
		tb.Fatalf("LEAT_LOOPS=%s: want short, ci or full", v)
		return 0
	}
}

// tiny has everything happen within a few hundred operations: slots are rotated and used again, segments roll, checkpoints are made.
func tiny() disk.Options {
	return disk.Options{
		MemoryBytes: 8 << 20,
		Tuning: disk.Tuning{
			SlotBytes: 64 << 10, Slots: 2, JournalBytes: 256 << 10, SegmentBytes: 64 << 10, SpillBytes: 24 << 10, CheckpointEvery: -1, OpenFiles: 4,
			CleanEvery: -1, RewriteEvery: -1, UnlinkPause: -1, RoomEvery: 2 * time.Millisecond,
		},
	}
}

func open(fs vfs.FS) (*disk.Store, error) { return disk.OpenFS(fs, tiny()) }

// run takes n steps of a workload, and stops at the first error.
func run(s storage.Store, h *storagetest.History, seed uint64, n int) error {
	return steps(s, h, seed, n, true)
}

// fill is run without anything being removed.
func fill(s storage.Store, h *storagetest.History, seed uint64, n int) error {
	return steps(s, h, seed, n, false)
}

func steps(s storage.Store, h *storagetest.History, seed uint64, n int, removes bool) error {
	w := storagetest.NewWorkload(h, s, seed)
	w.Big, w.Removes = 24<<10, removes
	for range n {
		if err := w.Step(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// tally is the sums of a loop, over all its goroutines. A loop in which something of it stays zero has tested less than it says.
type tally struct {
	open func(vfs.FS) (*disk.Store, error) // how stores are opened; nil: open

	mu       sync.Mutex
	counts   map[string]int64
	verdict  storagetest.Verdict
	problems []string
}

func newTally() *tally { return &tally{counts: map[string]int64{}} }

func (a *tally) count(what string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[what] += int64(n)
}

func (a *tally) get(what string) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[what]
}

// judge adds a verdict on what happened at a place that where names.
func (a *tally) judge(v *storagetest.Verdict, where string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range v.Problems {
		a.fault(fmt.Sprintf("%s: %s", where, p))
	}
	a.verdict.Add(v)
	return !v.Bad()
}

// wrong notes something that Check does not look at.
func (a *tally) wrong(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault(fmt.Sprintf(format, args...))
}

func (a *tally) fault(problem string) {
	if len(a.problems) < 20 {
		a.problems = append(a.problems, problem)
	}
}

func (a *tally) failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.problems) >= 20
}

// stats adds what a store counted.
func (a *tally) stats(s storage.Stats) {
	a.count("commits", int(s.Commits))
	a.count("syncs", int(s.Syncs))
	a.count("spills", int(s.Spills))
	a.count("checkpoints", int(s.Checkpoints))
	a.count("segments", int(s.Segments))
	a.count("rewritten", int(s.Work["rewrite"].Runs))
	a.count("compacted", int(s.Work["compact"].Runs))
	a.count("trimmed", int(s.Trimmed))
	a.count("removed", int(s.Work["unlink"].Runs))
}

// end prints the line of a loop and fails if anything went wrong or some count stayed zero.
func (a *tally) end(t *testing.T, name, line string, positive ...string) {
	t.Helper()
	t.Logf("%s: %s; %s", name, line, a.verdict.String())
	for _, p := range a.problems {
		t.Error(p)
	}
	for _, what := range positive {
		if a.get(what) == 0 {
			t.Errorf("%s: no %s: the loop is vacuous", name, what)
		}
	}
}

func (a *tally) opened(fs vfs.FS) (*disk.Store, error) {
	if a.open != nil {
		return a.open(fs)
	}
	return open(fs)
}

// check opens fs, compares it with h, and hands the store to then, which leaves it open; it returns false if anything was wrong.
func (a *tally) check(fs vfs.FS, h *storagetest.History, loss storagetest.Loss, seed uint64, where string, then func(*disk.Store)) bool {
	s, err := a.opened(fs)
	if err != nil {
		a.wrong("%s: open: %v", where, err)
		return false
	}
	a.count(disk.Resumed(s), 1)
	ok := a.judge(h.Check(s, loss, seed), where)
	if r := s.Report(); len(r.Raised) > 0 {
		a.wrong("%s: cursors were ahead of the data: %v", where, r.Raised)
	}
	if ok && then != nil {
		then(s)
	}
	if err := s.Close(context.Background()); err != nil && ok && then == nil {
		a.wrong("%s: close: %v", where, err)
	}
	return ok
}

// violation tells whether err is of a store that broke the contract while it ran, not of one that was stopped.
func violation(err error) bool {
	var v *storagetest.Violation
	return errors.As(err, &v)
}

func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
