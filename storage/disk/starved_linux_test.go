package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/storagetest"
)

// With starvedDir set, this test binary is a process that may have few files open, and whose store finds them all taken now and then.
const (
	starvedDir    = "LEAT_STARVED_DIR"
	starvedRounds = "LEAT_STARVED_ROUNDS"
)

// starvedFiles is how many files that process may have open.
const starvedFiles = 64

// TestDescriptorsExhausted has a process run out of descriptors, 20 times: what needs one fails with an error that says so, or waits; the operator is told; nothing is taken for
// damage, and nothing stops; it all goes on when there are descriptors again, and nothing is lost (G21, M16).
func TestDescriptorsExhausted(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), starvedDir+"="+filepath.Join(t.TempDir(), "store"), starvedRounds+"="+fmt.Sprint(sized(t, 5, 20, 500)))
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		t.Log(strings.TrimSpace(line))
	}
	if err != nil {
		t.Error(err)
	}
}

// starved is that process.
type starved struct {
	*tally
	h     *storagetest.History
	st    *disk.Store
	log   eventLog
	taken []*os.File
}

func starve(dir string) int {
	rounds, err := strconv.Atoi(os.Getenv(starvedRounds))
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: starvedFiles, Max: starvedFiles})
	}
	s := &starved{tally: newTally(), h: storagetest.NewHistory()}
	for round := 0; round < rounds && err == nil && !s.failed(); round++ {
		err = s.round(dir, uint64(round))
	}
	if err != nil {
		s.wrong("%v", err)
	}
	fmt.Printf("descriptors exhausted: %d rounds, %d appends and %d reads and %d opens failed for want of descriptors, told %d times, %d entries acknowledged; lost %d; %v\n",
		s.get("rounds"), s.get("appends"), s.get("reads"), s.get("opens"), s.get("told"), s.h.Acked(), s.verdict.Lost, &s.verdict)
	for _, what := range []string{"rounds", "appends", "reads", "opens", "told"} {
		if s.get(what) == 0 {
			s.wrong("no %s: the loop is vacuous", what)
		}
	}
	for _, p := range s.problems {
		fmt.Println(p)
	}
	return min(1, len(s.problems))
}

// round opens the store, uses it with descriptors and without, and has it closed.
func (s *starved) round(dir string, seed uint64) (err error) {
	o := tiny()
	o.Events = s.log.note
	s.take()
	_, err = disk.Open(dir, o)
	s.refused("opens", err)
	s.free()
	if s.st, err = disk.Open(dir, o); err != nil {
		return err
	}
	s.judge(s.h.Check(s.st, storagetest.Died, seed), fmt.Sprint("round ", seed))
	if err := fill(s.st, s.h, seed, 40); err != nil {
		return err
	}
	s.without(seed)
	s.free()
	if err := fill(s.st, s.h, seed<<8, 20); err != nil {
		return fmt.Errorf("with descriptors again: %w", err)
	}
	if err := everywhere(s.st, s.h); err != nil {
		return fmt.Errorf("reading with descriptors again: %w", err)
	}
	s.count("rounds", 1)
	s.count("told", len(s.log.of(storage.EventWorkError)))
	return s.st.Close(context.Background())
}

// without uses the store while all descriptors are taken, also those that it gives up meanwhile.
func (s *starved) without(seed uint64) {
	appends, reads := s.get("appends"), s.get("reads")
	for n := uint64(0); n < 300 && (s.get("appends") < appends+3 || s.get("reads") < reads+3); n++ {
		s.take()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		topics := s.st.Topics()
		t := topics[n%uint64(len(topics))]
		p := t.Partition(int(n) % t.Partitions)
		err := put1(ctx, s.st, s.h, storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: p, Sizes: []int{20_000}}}})
		cancel()
		slow := errors.Is(err, storage.ErrFull) && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, syscall.EMFILE) // it waited for others
		if !slow && !errors.Is(err, storage.ErrIndeterminate) {                                                                // or for a journal file
			s.refused("appends", err)
		}
		rs, err := storagetest.ReadAll(s.st, p, newRand(seed, n))
		s.refused("reads", err)
		if bad := s.h.Saw(p, rs); bad != nil {
			s.wrong("%v", bad)
		}
	}
	if err := s.st.StopCause(); err != nil {
		s.wrong("the store stopped: %v", err)
	}
}

// refused counts an error that may be, and complains about any other.
func (s *starved) refused(what string, err error) {
	var damage *storage.DamageError
	switch {
	case err == nil:
	case !errors.Is(err, syscall.EMFILE) || errors.As(err, &damage) || violation(err):
		s.wrong("%s: %v", what, err)
	default:
		s.count(what, 1)
	}
}

// take takes all descriptors that there are.
func (s *starved) take() {
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		s.taken = append(s.taken, f)
	}
}

func (s *starved) free() {
	for _, f := range s.taken {
		_ = f.Close()
	}
	s.taken = nil
}
