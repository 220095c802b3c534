package disk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// keeper is the goroutine behind the committer: it spills, evicts, and makes checkpoints. What a checkpoint syncs and writes is done by a
// second goroutine, one at a time, so that spilling goes on meanwhile.
type keeper struct {
	spiller
	room
	tell  func(storage.Event)
	core  *core.Core
	ring  *ring
	files [len(checkpointNames)]vfs.File // of the checkpoints
	next  int                            // which of them is written next
	made  checkpoint                     // the newest durable one, its header fields only; belongs to who has busy
	last  frame.LSN                      // of the epochs before
	// reached is up to where the store had come when it was opened, also if its journal had lost that because a checkpoint has it.
	reached frame.LSN
	every   time.Duration

	captured    int64              // bytes of the journal when the newest checkpoint was begun
	wanted      atomic.Bool        // somebody waits for a checkpoint
	asked       sync.Mutex         // held for a moment
	errands     []func()           // guarded by asked
	completed   chan struct{}      // guarded by asked; closed when a checkpoint is durable; nil while nobody waits
	missed      atomic.Bool        // somebody waits for a journal file
	making      atomic.Bool        // a journal file is being made
	aside       sync.WaitGroup     // who makes it
	busy        chan struct{}      // has a value while no checkpoint is under way
	unmade      []*segment.Segment // of a checkpoint that could not be made: the next one takes them again; belongs to who has busy
	quit, done  chan struct{}
	err         error       // of a checkpoint under way; read after it took busy
	hand        sync.Mutex  // held while something spills, evicts or captures, and while what a follower has taken is applied
	life        frame.Place // of this store, or of the one that is followed; guarded by hand
	asking      sync.Mutex
	asks        []*ask        // guarded by asking: who wants to know the next checkpoint that is begun
	applied     atomic.Uint64 // LSN up to which the newest durable checkpoint has the journal
	checkpoints atomic.Int64
}

// run works until quit is closed.
func (k *keeper) run() {
	defer close(k.done)
	defer k.look.Stop()
	k.hand.Lock() // what a follower has taken may be applied before this goroutine comes to run
	k.wakeUp()
	k.hand.Unlock()
	var tick <-chan time.Time
	if k.every > 0 {
		t := time.NewTicker(k.every)
		defer t.Stop()
		tick = t.C
	}
	for {
		timed, looking := false, false
		select {
		case <-k.journal.kick:
		case <-tick:
			timed = true
		case <-k.look.C:
			looking = true
		case <-k.quit:
			k.aside.Wait()
			<-k.busy
			return
		}
		if k.core.StopCause() != nil {
			continue
		}
		k.hand.Lock()
		var err error
		if looking {
			err = k.again()
		} else {
			err = k.turn(timed)
		}
		k.hand.Unlock()
		if err != nil {
			k.core.Stop(err)
			k.ring.stop()
		}
	}
}

// turn does what is due.
func (k *keeper) turn(timed bool) error {
	k.runErrands()
	k.reap(k.core.State.Applied())
	if err := errors.Join(k.pinched(), k.provide()); err != nil {
		return err
	}
	if k.freed.Swap(false) {
		if err := k.lookForRoom(); err != nil {
			return err
		}
	}
	if target, pressed := k.journal.pressed(); pressed && !k.put {
		if _, err := k.spilling(func() error { return k.relieve(target) }); err != nil {
			return err
		}
	}
	if _, err := k.spilling(k.evict); err != nil {
		return err
	}
	total, used, starved := k.ring.usage()
	if total == used {
		k.makeAhead(0)
	}
	if k.put {
		return nil
	}
	// The journal behind two checkpoints is kept: with one for each quarter of the budget, that is half of it.
	due := k.journal.written.Load()-k.captured >= k.ring.budget/4
	if starved || due || k.wanted.Load() || k.awaited() || timed && uint64(k.core.State.Applied()) > k.applied.Load() {
		return k.begin()
	}
	return nil
}

// want asks for a checkpoint soon.
func (k *keeper) want() {
	k.wanted.Store(true)
	signal(k.journal.kick)
}

// makeAhead makes a journal file beside the ongoing work: it takes long, since it is written once and synced. If need is not 0, someone waits with so many
// bytes for a file that takes them.
func (k *keeper) makeAhead(need int64) {
	if need > 0 {
		k.missed.Store(true)
	}
	if !k.making.CompareAndSwap(false, true) {
		return // who waits asks again when it is there
	}
	k.aside.Go(func() {
		err := k.ring.ahead(need)
		switch {
		case later(err) && need > 0:
			k.journal.deny(err)
		case later(err): // a checkpoint will free one
		case err != nil:
			k.core.Stop(err)
			k.ring.stop()
		}
		k.making.Store(false)
		if k.missed.Swap(false) {
			k.journal.fileMade()
		}
	})
}

// begin starts a checkpoint, unless one is under way: that one kicks the keeper when it ends.
func (k *keeper) begin() error {
	select {
	case <-k.busy:
	default:
		return nil
	}
	if k.err != nil {
		err := k.err
		k.busy <- struct{}{}
		return err
	}
	asks := k.takeAsks()
	c, dirty, err := k.captureFor(asks)
	if err != nil || c == nil {
		k.wanted.Store(true) // again, by who waits for it without having asked for this one
		k.answer(asks, nil, k.why(err))
		k.busy <- struct{}{}
		return err
	}
	go func() {
		err := k.complete(c, dirty)
		switch {
		case later(err):
			k.unmade = dirty
			k.pinch.Store(&err)
			k.wanted.Store(true)
		case err != nil:
			k.err = err
			k.core.Stop(err)
			k.ring.stop()
		}
		k.answer(asks, c, short(err))
		k.busy <- struct{}{}
		signal(k.journal.kick)
	}()
	return nil
}

// capture takes the committed state at one point of the journal: cursors first, together with their LSN, then segments, once they
// have all records up to that LSN and none beyond. It returns no checkpoint if that has to be put off.
func (k *keeper) capture(clean bool) (*checkpoint, []*segment.Segment, error) {
	k.wanted.Store(false)
	k.captured = k.journal.written.Load()
	from := k.journal.marked()
	cursors, applied := k.core.State.Capture()
	for _, s := range k.unmade {
		k.changed[s] = struct{}{}
	}
	k.unmade = nil
	k.reap(applied)
	if done, err := k.spilling(func() error { return k.upTo(applied) }); !done {
		return nil, nil, err
	}
	dirty := slices.Collect(maps.Keys(k.changed))
	k.changed = map[*segment.Segment]struct{}{}
	c := k.describe(cursors)
	c.clean, c.applied, c.from, c.last = clean, applied, from, k.last
	c.lead = k.core.Clock.Lead()
	return c, dirty, nil
}

// upTo spills everything up to an LSN, and aligns what was appended to.
func (k *keeper) upTo(applied frame.LSN) error {
	if err := k.all(applied); err != nil {
		return err
	}
	for s := range k.changed {
		if s.Meta().Sealed {
			continue
		}
		name := s.Name()
		k.journal.lanes.segments.enter(&name)
		err := s.Align()
		k.journal.lanes.segments.leave()
		if err != nil {
			return err
		}
	}
	return nil
}

// describe builds the checkpoint of what the catalog, the segments and cursors are now.
func (k *keeper) describe(cursors map[core.CursorKey][]byte) *checkpoint {
	c := &checkpoint{id: k.made.id, life: k.life.Life, followed: k.life.LSN, epoch: k.epoch, seq: k.made.seq + 1, nextFile: k.nextFile.Load()}
	k.graves.begin(c.seq) // first, so that what is buried meanwhile is kept for as long as c may name it
	c.groups, c.files = k.core.Catalog.Groups(), k.ring.files()
	c.nextPart, c.nextGrp = k.core.Catalog.NextIDs()
	byTopic := map[storage.PartitionID]int{}
	for i, t := range k.core.Catalog.Topics() {
		ts := topicState{topic: t, parts: make([]partState, t.Partitions)}
		for n := range ts.parts {
			id := t.Partition(n)
			byTopic[id] = i
			if h := k.parts.find(id); h != nil {
				ts.parts[n] = h.state()
			}
		}
		c.topics = append(c.topics, ts)
	}
	for key, body := range cursors {
		if i, ok := byTopic[key.Partition]; ok { // else its topic was dropped since the cursors were taken
			c.topics[i].cursors = append(c.topics[i].cursors, cursorState{key, body})
		}
	}
	c.doomed = k.graves.list() // last, so that nothing is missing
	return c
}

func (h *history) state() partState {
	s := partState{reach: h.reach()}
	s.first = min(h.part.Marks().First, s.reach.next) // beyond it lies what is trimmed by an entry that the journal still has
	for _, seg := range h.list() {
		s.segments = append(s.segments, seg.Meta())
	}
	s.holes = h.holes()
	return s
}

// complete makes what was captured durable, and then the checkpoint itself.
func (k *keeper) complete(c *checkpoint, dirty []*segment.Segment) error {
	if err := syncAll(dirty, &k.journal.lanes.checkpoint); err != nil {
		return fmt.Errorf("storage: syncing segments: %w", err)
	}
	if err := k.record(c); err != nil {
		return err
	}
	k.journal.replayed()
	return nil
}

// record makes the checkpoint durable, in the place of the oldest, and frees what neither it nor the one before it needs.
func (k *keeper) record(c *checkpoint) error {
	l := &k.journal.lanes.checkpoint
	name := checkpointNames[k.next]
	l.enter(&name)
	err := c.write(k.files[k.next])
	l.leave()
	if err != nil {
		return fmt.Errorf("storage: writing %s: %w", name, err)
	}
	k.next = (k.next + 1) % len(k.files)
	k.ring.release(min(k.made.from.seq, c.from.seq))
	k.made = *c
	k.made.groups, k.made.topics, k.made.files, k.made.doomed, k.made.floors = nil, nil, nil, nil, nil
	k.applied.Store(uint64(c.applied))
	signal(k.journal.further)
	k.graves.durable(c.seq)
	k.checkpoints.Add(1)
	k.announce()
	return nil
}

// syncers is how many segments are synced at once: beyond that a disk gains nothing.
const syncers = 16

func syncAll(segments []*segment.Segment, l *lane) error {
	var wg sync.WaitGroup
	work := make(chan *segment.Segment)
	errs := make([]error, min(syncers, len(segments)))
	for i := range errs {
		wg.Go(func() {
			for s := range work {
				name := s.Name()
				l.enter(&name)
				errs[i] = errors.Join(errs[i], s.Sync())
				l.leave()
			}
		})
	}
	for _, s := range segments {
		work <- s
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

// pressed tells whether the keeper should spill, and down to how many bytes: to none if someone waits for room, since an entry that is larger
// than all the memory there is waits until it is alone.
func (j *journal) pressed() (target int64, pressed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.room != nil {
		return 0, true
	}
	return j.soft / 2, j.unspilled >= j.soft
}

// marked returns a place in the journal up to which everything is applied.
func (j *journal) marked() mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mark
}
