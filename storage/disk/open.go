package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// open brings the store to where its last owner left it: checkpoint, then journal, then a checkpoint of its own, in a new epoch. Nothing
// that the old checkpoint needs is written over before the new one is durable, so an open that is cut short can be made again.
func (st *Store) open() error {
	if err := refuseUnfinished(st.fs); err != nil && !st.opt.finishing {
		return err
	}
	base, target, err := newestCheckpoint(st.fs)
	if err != nil {
		return err
	}
	if base == nil {
		if base, err = st.initialise(); err != nil {
			return err
		}
	}
	if base.followed != 0 && !st.opt.following && !st.opt.finishing && !st.opt.Promote {
		return storage.ErrFollower
	}
	was := *base
	end, err := st.recover(base, target)
	if err != nil {
		return err
	}
	st.lift(was.floors)
	if base.copied || st.opt.Promote && base.followed != 0 { // before offsets are left out that no record of the copy has
		st.liveAnew()
	}
	if st.opt.following { // whatever is not in it yet comes as it is
		return st.begin()
	}
	if !base.clean || end.crossed {
		st.jump()
	}
	st.clamp()
	st.core.Catalog.Renew()
	if st.resumed.how != anew {
		return st.resume(&was, end)
	}
	return st.begin()
}

// recover puts checkpoint and journal together in memory, and returns where the journal ended.
func (st *Store) recover(base *checkpoint, target int) (*scan, error) {
	slots, made, foreign, err := openSlots(st.fs, base.id)
	if errors.Is(err, fs.ErrNotExist) {
		err = &storage.DamageError{File: journalDir, Reason: "the directory is missing"}
	}
	if err := st.bear(err); err != nil {
		return nil, err
	}
	if len(slots) == 0 {
		if slots, made, err = st.noSlots(base); err != nil {
			return nil, err
		}
	}
	st.report.Foreign = append(st.report.Foreign, foreign...)
	st.ring = newRing(st.fs, st.opt.Tuning.JournalBytes, slots, made)
	st.report.Clean, st.report.Checkpoint = base.clean, int64(base.seq)

	end, err := st.verify(base)
	if err := st.bear(err); err != nil {
		return nil, st.estimate(base, err)
	}
	if err := st.keepLost(end.lost); err != nil {
		return nil, err
	}
	if err := st.build(base, end, target); err != nil {
		return nil, err
	}
	if err := st.plan(base, end); err != nil {
		return nil, err
	}
	st.restore(base)
	if err := st.leftovers(base); err != nil {
		return nil, err
	}
	if err := st.replay(base, end); err != nil {
		return nil, err
	}
	st.exposeHoles()
	return end, st.disown()
}

// liveAnew gives the store and its topics the identities of a copy that goes its own way from here on.
func (st *Store) liveAnew() {
	st.keeper.life = frame.Place{Life: random()}
	st.core.Catalog.Reincarnate()
}

// verify finds where the journal ends, without applying anything.
func (st *Store) verify(c *checkpoint) (*scan, error) {
	s := newScan(c, st.ring.slots)
	s.notes = &notes{left: st.opt.noteBytes}
	if err := s.run(nil); err != nil {
		return nil, err
	}
	if c.clean && s.entries == 0 {
		return s, nil
	}
	if err := s.shortened(c); err != nil {
		return s, err
	}
	cut, err := s.judge()
	st.report.CutBytes = cut
	return s, err
}

// build makes the parts of the store, for the epoch after all that were seen.
func (st *Store) build(c *checkpoint, end *scan, target int) error {
	o := st.opt
	epoch, seq := max(c.epoch, c.taken, end.epoch), max(c.from.seq, end.at.seq)
	for _, s := range st.ring.slots {
		epoch, seq = max(epoch, s.epoch), max(seq, s.seq)
	}
	epoch++
	if epoch > frame.MaxEpoch {
		return fmt.Errorf("%w: the directory was opened too often", storage.ErrFormat)
	}
	st.pool = core.NewPool(o.MemoryBytes)
	st.segments = segment.NewDir(st.fs, segment.Identity{Store: c.id.store, Seed: c.id.seed}, o.Tuning.OpenFiles)
	from := mark{lsn: frame.At(epoch, 0), seq: seq + 1, pos: sector}
	st.journal = newJournal(st.pool, st.ring, c.id, o, from)
	st.core = core.New(st.journal)
	if o.clock != nil {
		st.core.Clock.Turn(o.clock)
	}
	st.core.SetSeed(c.id.seed)
	st.memory = core.NewPool(o.MemoryBytes)
	st.core.SetMemory(st.memory)
	st.journal.core = st.core
	st.Face = st.core.Face()
	st.lookout = newLookout(st.core, &st.opt)
	st.core.Clock.Told = st.lookout.clockSet
	st.journal.lanes, st.ring.lane = &st.lookout.lanes, &st.lookout.lanes.files
	st.keeper = &keeper{
		spiller: spiller{
			journal: st.journal, segments: st.segments, parts: &histories{by: map[storage.PartitionID]*history{}},
			limit: o.Tuning.SegmentBytes, cache: o.MemoryBytes/2 - o.MemoryBytes/16, epoch: epoch, changed: map[*segment.Segment]struct{}{},
			graves: newGraveyard(int64(c.seq)),
		},
		room: room{first: o.firstReserve(), pause: o.Tuning.RoomEvery, look: time.NewTimer(time.Hour)}, tell: st.lookout.tell,
		core: st.core, ring: st.ring, life: frame.Place{Life: c.life, LSN: c.followed}, last: end.last, reached: max(end.last, c.applied), made: *c, next: target, every: o.Tuning.CheckpointEvery,
		busy: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	st.keeper.nextFile.Store(c.nextFile)
	st.janitor = &janitor{
		graves: st.keeper.graves, segments: st.segments, works: &st.works, want: st.keeper.want, rest: o.Tuning.UnlinkPause,
		hurried: st.journal.isFull, freed: st.keeper.madeSpace,
		stopped: st.core.Stopped(), failed: st.workFailed, quit: make(chan struct{}), done: make(chan struct{}),
	}
	st.cleaner = newCleaner(st, o.Tuning.CleanEvery)
	st.rewriter = newRewriter(st)
	st.keeper.busy <- struct{}{}
	for i, name := range checkpointNames {
		if err := st.claim(name, checkpointMagic); err != nil {
			return err
		}
		f, err := st.fs.Open(name, vfs.ReadWrite)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = st.fs.Create(name)
		}
		if err != nil {
			return fmt.Errorf("storage: %s: %w", name, err)
		}
		st.keeper.files[i] = f
	}
	if st.readOnly {
		return nil
	}
	return st.takeReserve()
}

// restore puts the checkpoint's state in place.
func (st *Store) restore(c *checkpoint) {
	st.core.Catalog.ReserveIDs(c.nextPart, c.nextGrp)
	for _, g := range c.groups {
		st.core.Catalog.AddGroup(g)
	}
	for i := range c.topics {
		t := &c.topics[i]
		st.core.Catalog.AddTopic(t.topic)
		for n := range t.parts {
			st.restorePartition(t.topic.Partition(n), &t.parts[n])
		}
		for _, cur := range t.cursors {
			st.core.State.Set(cur.key, cur.body)
		}
	}
	known := st.keeper.parts.files() // what was swapped while the checkpoint was taken may be both
	for _, d := range c.doomed {
		if !known[d.file] {
			st.keeper.graves.buryNamed(d)
		}
	}
	c.topics, c.groups, c.doomed = nil, nil, nil
}

func (st *Store) restorePartition(id storage.PartitionID, s *partState) {
	if s.reach.next == 0 {
		return
	}
	p := st.core.Catalog.Partition(id)
	h := &history{part: p, base: s.reach, gone: s.holes}
	for _, m := range s.segments {
		h.segments = append(h.segments, st.segments.Open(id, m))
	}
	st.keeper.parts.by[id] = h
	p.Restore(s.first, s.reach.next, s.reach.records, s.reach.time, h)
	st.keeper.bury(p, h.trim(s.first))
}

// committer returns the one of the store's epoch.
func (st *Store) committer() *committer {
	j := st.journal
	c := &committer{timer: time.NewTimer(time.Hour), journal: j, seq: j.mark.seq - 1, prev: st.keeper.last, epoch: st.keeper.epoch}
	if s := st.resumed.carried; s != nil {
		c.slot, c.pos, c.seq, c.prev = s, j.mark.pos, j.mark.seq, j.mark.lsn
	}
	j.committer = c
	return c
}

// harden makes sure that the names of the files that this open stands on are on the disk, not only in the system's cache, where an owner who
// was killed may have left them.
func (st *Store) harden() error {
	if err := st.ring.prove(st.keeper.made.files); err != nil {
		return err
	}
	return errors.Join(st.fs.SyncDir(journalDir), st.fs.SyncDir("."))
}

// begin makes the first checkpoint of the epoch: everything that was replayed is in segments, written anew and synced, before anyone sees it.
func (st *Store) begin() error {
	k := st.keeper
	st.startClock()
	if err := st.harden(); err != nil {
		return fmt.Errorf("storage: recovering: %w", err)
	}
	if err := k.must(func() error { return k.all(maxLSN) }); err != nil {
		return fmt.Errorf("storage: recovering: %w", err)
	}
	st.core.State.SetApplied(frame.At(k.epoch, 0))
	if err := k.whole(false); err != nil {
		return fmt.Errorf("storage: recovering: %w", err)
	}
	if err := st.removeLeftovers(); err != nil {
		return err
	}
	st.report.Damage = st.damages()
	return st.cover()
}
