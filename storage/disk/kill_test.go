package disk_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// armedPoints are where a child kills itself, besides the random moments at which it is killed: before an operation on these files, which is
// between write, sync and acknowledgement of a commit, a checkpoint, a spill.
var armedPoints = []string{
	"write journal/", "syncdata journal/", "create journal/", "write checkpoint-", "syncdata checkpoint-",
	"create seg/", "write seg/", "syncdata seg/", "syncdir seg", "syncdir .", "ack -",
}

// killsPerDirectory is how many lives a directory has.
const killsPerDirectory = 8

// unarmed is after how many lines a child is killed that did not come to its armed point.
const unarmed = 600

var firstSeed = flag.Uint64("seed", 1, "the first seed of the kill loop")

// TestKill kills a child process that publishes, at random moments and at armed points, and holds what is left against what the child was
// promised. Half of the time the next child opens the directory before anyone has looked. With -seed 24 it begins with the directory of that seed.
func TestKill(t *testing.T) {
	kills := sized(t, 12, 500, 50_000)
	a := newTally()
	for seed := *firstSeed; a.get("kills") < int64(kills) && !t.Failed(); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			a.directory(t, seed, min(killsPerDirectory, kills-int(a.get("kills"))))
		})
	}
	line := fmt.Sprintf("%d kills, %d of them at armed points, %d second opens refused; %d lines of promises, %d entries acknowledged, %d records compacted, %d removed unseen, %d clean ends, %d torn tails cut",
		a.get("kills"), a.get("armed"), a.get("in use"), a.get("lines"), a.get("acknowledged"), a.verdict.Compacted, a.verdict.Unseen, a.get("clean"), a.get("cut"))
	a.end(t, "kill loop", line, "kills", "armed", "in use", "acknowledged", "replayed")
}

func (a *tally) directory(t *testing.T, seed uint64, lives int) {
	dir := t.TempDir() + "/store"
	h := storagetest.NewHistory()
	rng := newRand(seed, 8)
	for n := range lives {
		l := life{dir: dir, seed: rng.Uint64(), first: h.Entries()}
		last := rng.IntN(1 << rng.IntN(9))
		if rng.IntN(3) == 0 {
			l.armed = fmt.Sprint(armedPoints[rng.IntN(len(armedPoints))], " ", 1+rng.IntN(1<<rng.IntN(7)))
			last = unarmed
		}
		lines := l.run(t, func(lines int, kill func()) {
			if lines == 1 && last > 1 {
				a.second(dir)
			}
			if lines >= last {
				kill()
			}
		})
		a.count("kills", 1)
		a.count("lines", len(lines))
		if l.armed != "" && len(lines) < unarmed {
			a.count("armed", 1)
		}
		replay(t, h, lines)
		if n == lives-1 || rng.IntN(2) == 0 {
			a.look(t, dir, h, fmt.Sprintf("seed %d, life %d, %+v", seed, n, l))
		}
	}
	a.count("acknowledged", h.Acked())
}

// second opens a directory whose owner is alive, or has been killed meanwhile by its own hand.
func (a *tally) second(dir string) {
	fs, err := osfs.Open(dir)
	if err != nil {
		a.wrong("a second open: %v", err)
		return
	}
	defer fs.Close()
	l, err := fs.Lock("a test")
	if err == nil {
		l.Close()
		return
	}
	if s, err := disk.Open(dir, tiny()); errors.Is(err, storage.ErrInUse) {
		a.count("in use", 1)
	} else if err == nil {
		s.Close(context.Background())
	} else {
		a.wrong("a second open: %v", err)
	}
}

// look opens the directory of a killed child and checks it.
func (a *tally) look(t *testing.T, dir string, h *storagetest.History, where string) {
	fs, err := osfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a.check(fs, h, storagetest.Died, 1, where, a.report)
}

// report counts what an open found.
func (a *tally) report(s *disk.Store) {
	r := s.Report()
	a.count("replayed", int(r.Entries))
	if r.Clean {
		a.count("clean", 1)
	}
	if r.CutBytes > 0 {
		a.count("cut", 1)
	}
}
