package disk_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestCrash cuts the power, or kills, at every operation that changes the disk, in the modes of memfs, opens what is left, and holds it
// against what was promised until then. The recovery is crashed, too, and goes on from there; and what was recovered is published to and
// crashed again, so that an offset that was given twice shows. In every other script the wall clock is set all the time.
func TestCrash(t *testing.T) {
	target := int64(sized(t, 2_500, 50_000, 2_000_000))
	s := &sweep{tally: newTally(), modes: sized(t, 2, 3, len(crashes)), again: sized(t, 8, 4, 3)}
	scripts := 0
	for (scripts < 2 || s.get("points") < target) && !s.failed() {
		scripts++
		seed := uint64(scripts)
		if s.open = nil; seed%2 == 0 {
			s.open = (&unsteadyClock{tally: s.tally}).openFS
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { s.script(t, seed, 110) })
	}
	line := fmt.Sprintf("%d crash points over %d scripts, %d of them in a recovery, %d after one; %d opens with the journal's end taken over, %d with it in doubt, %d anew; %d entries acknowledged, %d commits, %d slot changes, %d spills, %d checkpoints, %d records trimmed, %d files removed",
		s.get("points"), scripts, s.get("in recovery"), s.get("after recovery"), s.get("taken over"), s.get(disk.InDoubt), s.get("anew"), s.get("acknowledged"), s.get("commits"), s.get("slots"), s.get("spills"), s.get("checkpoints"), s.get("trimmed"), s.get("removed"))
	s.end(t, "crash sweep", line, "points", "in recovery", "after recovery", "taken over", disk.InDoubt, "anew", "acknowledged", "commits", "slots", "spills", "checkpoints", "segments", "clean", "cut", "trimmed", "removed", "clock set")
}

// unsteadyClock is a wall clock that is set by some seconds, ahead or back, at one of every 200 looks or so.
type unsteadyClock struct {
	*tally
	looks, off atomic.Int64
}

func (c *unsteadyClock) openFS(fs vfs.FS) (*disk.Store, error) {
	return disk.OpenFS(fs, disk.TurnClock(tiny(), func() (wall, mono int64) {
		now := time.Now().UnixNano()
		if n := c.looks.Add(1); n%211 == 0 {
			c.off.Add((n%20 - 11) * int64(time.Second))
			c.count("clock set", 1)
		}
		return now + c.off.Load(), now
	}))
}

// crashes are the modes: those that every store must survive, and the one that only a store survives which never writes to a sector again that
// holds what was synced.
var crashes = append(memfs.Modes(), memfs.GarbageWholeSectors)

type sweep struct {
	*tally
	steps func(st storage.Store, h *storagetest.History, seed uint64, n int) error // what is done; nil: run
	armed func() bool                                                              // whether an image is made now; nil: always
	modes int                                                                      // of the modes, tried at each operation
	again int                                                                      // one image in so many is crashed in its recovery, and one is gone on with
}

// image is a file system as a crash left it, and what was known at that moment.
type image struct {
	fs      *memfs.FS
	history *storagetest.History
	loss    storagetest.Loss
	seed    uint64
	where   string
}

func (s *sweep) script(t *testing.T, seed uint64, steps int) {
	fs := memfs.New()
	h := storagetest.NewHistory()
	images := make(chan image, 16)
	var checkers sync.WaitGroup
	for range 2 {
		checkers.Go(func() {
			for im := range images {
				if !s.failed() {
					s.image(im, 2)
				}
			}
		})
	}
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind.Changes() && (s.armed == nil || s.armed()) {
			s.take(fs, h, op, seed, images)
		}
		return nil
	})
	err := s.drive(fs, h, seed, steps)
	fs.OnOp(nil)
	close(images)
	checkers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	s.count("acknowledged", h.Acked())
	s.count("slots", slotUses(t, fs))
}

// slotUses returns how often a slot was taken into use, which slots count in their headers.
func slotUses(t *testing.T, fs *memfs.FS) int {
	most := uint64(0)
	for _, name := range fs.Files() {
		if !strings.HasPrefix(name, "journal/") {
			continue
		}
		b, err := fs.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:8]) == "leatslot" {
			most = max(most, binary.LittleEndian.Uint64(b[24:]))
		}
	}
	return int(most)
}

// drive runs the script in three lives of the store.
func (s *sweep) drive(fs *memfs.FS, h *storagetest.History, seed uint64, steps int) error {
	for life := range uint64(3) {
		st, err := s.opened(fs)
		if err != nil {
			return err
		}
		if life > 0 {
			s.judge(h.Check(st, storagetest.Died, seed), fmt.Sprintf("seed %d, life %d", seed, life))
		}
		err = s.run(st, h, seed<<8|life, (steps+2)/3)
		s.stats(st.Stats())
		if err := errors.Join(err, st.Close(context.Background())); err != nil {
			return fmt.Errorf("life %d: %w", life, err)
		}
	}
	return nil
}

func (s *sweep) run(st storage.Store, h *storagetest.History, seed uint64, n int) error {
	if s.steps != nil {
		return s.steps(st, h, seed, n)
	}
	return run(st, h, seed, n)
}

// take makes images at an operation that is about to begin.
func (s *sweep) take(fs *memfs.FS, h *storagetest.History, op vfs.Op, seed uint64, images chan<- image) {
	rng := newRand(seed, uint64(op.N))
	for _, i := range rng.Perm(len(crashes))[:s.modes] {
		im := image{seed: rng.Uint64(), loss: storagetest.PowerLost}
		mode := crashes[i]
		if mode == memfs.Everything {
			im.loss = storagetest.Died
		}
		mark := h.Mark()
		im.fs = fs.Clone(mode, im.seed)
		im.history = h.Fork(mark)
		im.where = fmt.Sprintf("seed %d, crash %v (image seed %d) at %v", seed, mode, im.seed, op)
		images <- im
	}
}

// image opens one image and checks it; it crashes the recovery and what comes after it while depth is left.
func (s *sweep) image(im image, depth int) {
	s.count("points", 1)
	rng := newRand(im.seed, 3)
	var inner *image
	if depth > 0 && rng.IntN(s.again) == 0 {
		inner = s.inRecovery(im, rng)
	}
	ok := s.check(im.fs, im.history, im.loss, im.seed, im.where, func(st *disk.Store) {
		if st.Report().Clean {
			s.count("clean", 1)
		}
		if st.Report().CutBytes > 0 {
			s.count("cut", 1)
		}
		if depth > 0 && rng.IntN(s.again) == 0 {
			s.after(im, st, rng, depth)
		}
	})
	im.fs.OnOp(nil)
	if ok && inner != nil && inner.fs != nil {
		s.count("in recovery", 1)
		s.image(*inner, depth-1)
	}
}

// inRecovery has the next open of the image leave an image of its own, taken at a random operation.
func (s *sweep) inRecovery(im image, rng *rand.Rand) *image {
	at, seed, mode := int64(1+rng.IntN(1<<(1+rng.IntN(6)))), rng.Uint64(), crashes[rng.IntN(len(crashes))]
	inner := &image{history: im.history.Fork(im.history.Mark()), loss: im.loss, seed: seed}
	if mode != memfs.Everything {
		inner.loss = storagetest.PowerLost
	}
	var changes atomic.Int64
	im.fs.OnOp(func(op vfs.Op) error {
		if op.Kind.Changes() && changes.Add(1) == at {
			inner.where = fmt.Sprintf("%s; then %v (seed %d) at %v of the recovery", im.where, mode, seed, op)
			inner.fs = im.fs.Clone(mode, seed)
		}
		return nil
	})
	return inner
}

// after goes on with a recovered store, and crashes it.
func (s *sweep) after(im image, st *disk.Store, rng *rand.Rand, depth int) {
	im.fs.OnOp(nil)
	h := im.history
	if err := s.run(st, h, rng.Uint64(), 1+rng.IntN(12)); err != nil {
		s.wrong("%s; going on: %v", im.where, err)
		return
	}
	mode := crashes[rng.IntN(len(crashes))]
	next := image{history: h.Fork(h.Mark()), loss: storagetest.PowerLost, seed: rng.Uint64()}
	if mode == memfs.Everything {
		next.loss = storagetest.Died
	}
	next.where = fmt.Sprintf("%s; then gone on with, and %v (seed %d)", im.where, mode, next.seed)
	next.fs = im.fs.Clone(mode, next.seed)
	s.count("after recovery", 1)
	s.image(next, depth-1)
}
