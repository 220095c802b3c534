package disk

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage/internal/vfs"
)

const journalDir = "journal"

// ring is the journal's slots: those in use, whose frames are needed to recover, and those that may be written over.
type ring struct {
	fs      vfs.FS
	budget  int64
	largest atomic.Int64 // of the slots
	lane    *lane

	mu      sync.Mutex
	changed *sync.Cond // a slot became free, or stopped was set
	slots   []*slot    // guarded by mu
	made    int        // guarded by mu: number of the next file
	starved bool       // guarded by mu: the committer waits for a slot
	stopped bool       // guarded by mu
	making  bool       // guarded by mu
	failed  time.Time  // guarded by mu: when there was no space for a file, or no descriptor
	floor   uint64     // guarded by mu: slots in front of it are needed by no checkpoint
	pinned  pin        // guarded by mu

	unproven []*slot // guarded by mu; files that are made again before they are used: see setAside
}

func newRing(fs vfs.FS, budget int64, slots []*slot, made int) *ring {
	r := &ring{fs: fs, budget: budget, slots: slots, made: made, lane: new(lane)}
	r.changed = sync.NewCond(&r.mu)
	for _, s := range slots {
		r.largest.Store(max(r.largest.Load(), s.size))
	}
	return r
}

// capacity is the largest group that a slot takes, behind its header and with a pad behind it.
func (r *ring) capacity() int64 { return r.largest.Load() - 3*sector }

// retryAfter is how long no other file is made after there was no space for one.
const retryAfter = 10 * time.Second

var errRingStopped = errors.New("storage: the journal is closing")

// take puts the largest free slot with room for need bytes of frames into use, or makes one, or waits for one: kick is
// called before it waits.
func (r *ring) take(need int64, use slotUse, kick func()) (*slot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		s, biggest := r.find(need + sector)
		if s != nil {
			s.slotUse = use
			return s, nil
		}
		if r.stopped {
			return nil, errRingStopped
		}
		if size := r.mayMake(biggest, need+sector); size > 0 && !r.making {
			err := r.makeLocked(size)
			if err != nil && !later(err) {
				return nil, err
			}
			if err == nil {
				continue
			}
		}
		if r.giveUp() {
			continue
		}
		r.starved = true
		r.mu.Unlock()
		kick()
		r.mu.Lock()
		if s, _ := r.find(need + sector); s == nil && !r.stopped {
			r.changed.Wait()
		}
		r.starved = false
	}
}

// mayMake returns the size of the slot to make for least bytes, 0 if the budget says to wait. A slot beyond the budget is made when no wait would
// end: when none is large enough but the one that was written last, which no checkpoint frees.
func (r *ring) mayMake(biggest, least int64) int64 {
	if !r.failed.IsZero() && time.Since(r.failed) < retryAfter {
		return 0
	}
	if size := nextSize(biggest, least); r.total()+size <= r.budget {
		return size
	}
	newest := uint64(0)
	for _, s := range r.slots {
		newest = max(newest, s.seq)
	}
	for _, s := range r.slots {
		if s.size >= least && s.seq != newest {
			return 0
		}
	}
	return nextSize(0, least)
}

func (r *ring) find(size int64) (best *slot, biggest int64) {
	for _, s := range r.slots {
		biggest = max(biggest, s.size)
		if s.seq == 0 && s.size >= size && (best == nil || s.size > best.size) {
			best = s
		}
	}
	return best, biggest
}

// nextSize doubles the largest slot, up to maxSlot, and further only for what would not fit.
func nextSize(biggest, least int64) int64 {
	size := min(max(2*biggest, minSlot), maxSlot)
	for size < least {
		size *= 2
	}
	return size
}

// makeLocked adds a free slot. mu is held, and released during the I/O.
func (r *ring) makeLocked(size int64) error {
	number := r.made
	old := r.takeUnproven(size)
	if old != nil {
		number = old.number
	} else {
		r.made++
	}
	r.making = true
	r.mu.Unlock()
	name := slotName(number)
	r.lane.enter(&name)
	s, err := r.makeOrProve(number, size, old)
	r.lane.leave()
	r.mu.Lock()
	r.making, r.failed = false, time.Time{}
	r.changed.Broadcast()
	if err != nil {
		if old != nil {
			r.unproven = append(r.unproven, old)
		}
		r.failed = time.Now()
		return fmt.Errorf("storage: journal file %s: %w", name, err)
	}
	s.fresh = true
	r.slots = append(r.slots, s)
	r.largest.Store(max(r.largest.Load(), s.size))
	return nil
}

// makeOrProve makes a slot, or an old one again, in its place.
func (r *ring) makeOrProve(number int, size int64, old *slot) (*slot, error) {
	if old == nil {
		return r.makeDurable(number, size)
	}
	return old, zero(old.file, 0, old.size)
}

// makeDurable makes a slot and its name durable. If something is short for it, nothing is left of it.
func (r *ring) makeDurable(number int, size int64) (*slot, error) {
	s, err := makeSlot(r.fs, number, size)
	if err != nil {
		return nil, err
	}
	err = r.fs.SyncDir(journalDir)
	if vfs.TooManyOpen(err) {
		return nil, errors.Join(err, s.file.Close(), r.fs.Remove(s.name))
	}
	if err != nil {
		return nil, errors.Join(vfs.SyncFailed(err), s.file.Close())
	}
	return s, nil
}

// ahead makes a slot for an entry of need bytes, if none would take it. If need is 0 it makes a free slot if there is none and the budget allows one, so that
// the committer need not wait for it.
func (r *ring) ahead(need int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, biggest := r.find(0)
	if r.making || r.stopped || need > 0 && need <= r.capacity() {
		return nil
	}
	size := nextSize(biggest, 0)
	if need > 0 {
		if size = nextSize(biggest, need+3*sector); r.total()+size > r.budget {
			size = nextSize(0, need+3*sector)
		}
		return r.makeLocked(size)
	}
	recently := !r.failed.IsZero() && time.Since(r.failed) < retryAfter
	if s != nil || recently || r.total()+size > r.budget {
		return nil
	}
	return r.makeLocked(size)
}

// release frees the slots whose use has a sequence number below seq.
func (r *ring) release(seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floor = max(r.floor, seq)
	r.free()
}

// stop ends all waits.
func (r *ring) stop() {
	r.mu.Lock()
	r.stopped = true
	r.changed.Broadcast()
	r.mu.Unlock()
}

// files returns the journal's files and their sizes, for a checkpoint.
func (r *ring) files() []slotFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := make([]slotFile, 0, len(r.slots))
	for _, s := range r.slots {
		files = append(files, slotFile{s.number, s.size})
	}
	return files
}

func (r *ring) total() (bytes int64) {
	for _, s := range r.slots {
		bytes += s.size
	}
	return bytes
}

// usage returns the bytes of all slots and of those in use, and whether the committer waits for one.
func (r *ring) usage() (total, used int64, starved bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if s.seq != 0 {
			used += s.size
		}
	}
	return r.total(), used, r.starved
}

func (r *ring) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, s := range r.slots {
		errs = append(errs, s.file.Close())
	}
	for _, s := range r.unproven {
		errs = append(errs, s.file.Close())
	}
	r.slots, r.unproven = nil, nil
	return errors.Join(errs...)
}
