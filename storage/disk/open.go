package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
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

// newestCheckpoint returns the newest whole checkpoint, nil for a new directory, and which file the next one goes to.
func newestCheckpoint(fsys vfs.FS) (*checkpoint, int, error) {
	var best *checkpoint
	target := 0
	for i, name := range checkpointNames {
		c, err := readCheckpoint(fsys, name)
		if errors.Is(err, errCheckpoint) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("storage: %s: %w", name, err)
		}
		if best == nil || c.seq > best.seq {
			best, target = c, (i+1)%len(checkpointNames)
		}
	}
	if best != nil {
		return best, target, nil
	}
	used, err := usedName(fsys)
	if err == nil && used != "" {
		err = &storage.DamageError{File: checkpointNames[0], Reason: "no checkpoint is whole, but " + used + " holds records"}
	}
	return nil, 0, err
}

// usedName returns the name of a file that was used for records, "" if there is none: a directory with neither checkpoint nor records is new,
// since the first checkpoint is the last thing that its making writes.
func usedName(fsys vfs.FS) (string, error) {
	infos, err := fsys.List(journalDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("storage: journal: %w", err)
	}
	for _, info := range infos {
		name := journalDir + "/" + info.Name
		b, err := readHead(fsys, name)
		if err != nil {
			return "", fmt.Errorf("storage: journal: %w", err)
		}
		if string(b) == slotMagic {
			return name, nil
		}
	}
	segments, err := fsys.List(segmentDir)
	if err == nil && len(segments) > 0 {
		return segmentDir + "/" + segments[0].Name, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return "", err
}

// readHead reads what shows whether a slot was ever in use.
func readHead(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, len(slotMagic))
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

const segmentDir = "seg"

// initialise makes the files of a new store, durable but for the checkpoint that says so.
func (st *Store) initialise() (*checkpoint, error) {
	st.report.New = true
	id := identity{store: random(), seed: frame.Seed(random())}
	for _, dir := range []string{journalDir, segmentDir} {
		if err := st.fs.Mkdir(dir); err != nil {
			return nil, fmt.Errorf("storage: new directory: %w", err)
		}
	}
	var files []slotFile
	for i := range st.opt.Tuning.Slots {
		files = append(files, slotFile{i, st.opt.Tuning.SlotBytes})
		if err := st.firstSlot(i); err != nil {
			return nil, err
		}
	}
	for _, name := range checkpointNames {
		f, err := st.createAnew(name)
		if err == nil {
			err = errors.Join(zero(f, 0, minCheckpoint), f.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("storage: new checkpoint: %w", err)
		}
	}
	if err := errors.Join(st.fs.SyncDir(journalDir), st.fs.SyncDir(".")); err != nil {
		return nil, fmt.Errorf("storage: new directory: %w", err)
	}
	return &checkpoint{id: id, clean: true, life: random(), files: files, nextFile: 1, from: mark{seq: 0}}, nil
}

// noSlots makes the journal of a copy that has none.
func (st *Store) noSlots(base *checkpoint) (slots []*slot, made int, err error) {
	if !base.clean {
		return nil, 0, st.bear(&storage.DamageError{File: journalDir, Reason: "all files of the journal are missing"})
	}
	if st.readOnly {
		return nil, 0, nil
	}
	for i := range st.opt.Tuning.Slots {
		s, err := makeSlot(st.fs, i, st.opt.Tuning.SlotBytes)
		if err != nil {
			closeSlots(slots)
			return nil, 0, err
		}
		slots = append(slots, s)
	}
	return slots, len(slots), nil
}

func (st *Store) firstSlot(number int) error {
	if err := st.clear(slotName(number), slotMagic); err != nil {
		return err
	}
	s, err := makeSlot(st.fs, number, st.opt.Tuning.SlotBytes)
	if err != nil {
		return err
	}
	return s.file.Close()
}

// createAnew creates a file in place of what an interrupted initialisation left.
func (st *Store) createAnew(name string) (vfs.File, error) {
	if err := st.clear(name, checkpointMagic); err != nil {
		return nil, err
	}
	return st.fs.Create(name)
}

func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func random() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails
		if n := binary.LittleEndian.Uint64(b[:]); uint32(n) != 0 {
			return n
		}
	}
}

// verify finds where the journal ends, without applying anything.
func (st *Store) verify(c *checkpoint) (*scan, error) {
	s := newScan(c, st.ring.slots)
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

// jump raises all partitions whose records may have been seen, and lost since, because they were not synced: their
// offsets are not used again.
func (st *Store) jump() {
	for _, p := range st.core.Catalog.Partitions() {
		if p == nil || p.Strategy().Sync == storage.SyncAlways {
			continue
		}
		if next := p.Marks().Next; next <= math.MaxInt64-offsetJump {
			st.raise(p, next+offsetJump)
		}
	}
}

// clamp raises partitions above cursors that are ahead of them, which only damage explains: no new record is taken for one that
// is done.
func (st *Store) clamp() {
	cursors, _ := st.core.State.Capture()
	for key, body := range cursors {
		c, err := frame.DecodeCursor(body, uint32(key.Partition))
		if err != nil {
			continue // cannot be: it was checked when it was read
		}
		end := c.Floor
		if n := len(c.Done); n > 0 {
			end = c.Done[n-1].To
		}
		p := st.core.Catalog.Partition(key.Partition)
		if end > p.Marks().Next {
			st.raise(p, end)
			st.report.Raised = append(st.report.Raised, p.ID)
		}
	}
}

func (st *Store) raise(p *core.Partition, next int64) {
	p.Raise(next)
	st.raised[p.ID] = next
	st.keeper.parts.of(p).pass(segmentBase{next: next})
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

// leftovers looks for segment files that an owner who did not close has made behind its last checkpoint c. All their records are in
// the journal. Files that no checkpoint explains are foreign.
func (st *Store) leftovers(c *checkpoint) error {
	if c.clean && c.followed == 0 {
		return nil
	}
	found, foreign, err := st.segments.Scan()
	if err != nil {
		return fmt.Errorf("storage: segments: %w", err)
	}
	st.report.Foreign = append(st.report.Foreign, foreign...)
	for _, name := range foreign { // a header that a power cut has swallowed proves nothing, but the name is taken
		var p, file uint64
		if _, err := fmt.Sscanf(name, segmentDir+"/%8x/%16x", &p, &file); err == nil && file < math.MaxUint64 {
			st.keeper.nextFile.Store(max(st.keeper.nextFile.Load(), file+1))
		}
	}
	known := st.keeper.parts.files()
	for _, f := range found {
		st.keeper.nextFile.Store(max(st.keeper.nextFile.Load(), f.File+1))
		switch {
		case known[f.File], st.keeper.graves.has(f.Partition, f.File):
		case f.File >= c.nextFile, f.Rewritten: // what is in it is in the files that it was made of, or replay finds that it counts
			st.orphans = append(st.orphans, f)
		default:
			st.report.Foreign = append(st.report.Foreign, f.Name)
		}
	}
	return nil
}

// leftover returns those that nothing needs: some were found to be needed by the replay.
func (st *Store) leftover() (all []segment.Found) {
	known := st.keeper.parts.files()
	for _, f := range st.orphans {
		if !known[f.File] && !st.keeper.graves.has(f.Partition, f.File) {
			all = append(all, f)
		}
	}
	return all
}

// removeLeftovers removes them, now that another checkpoint is durable.
func (st *Store) removeLeftovers() error {
	all := st.leftover()
	for _, f := range all {
		if err := st.segments.Remove(f); err != nil {
			return fmt.Errorf("storage: leftover segment: %w", err)
		}
	}
	st.report.Leftovers = len(all)
	st.orphans = nil
	return nil
}
