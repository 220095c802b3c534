package disk

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// committer writes and syncs groups in their order. Its goroutine, and an appender in Wait, take turns: journal.turn guards it.
type committer struct {
	*journal
	slot  *slot
	pos   int64   // where the next group goes in slot
	dirty []*slot // written since their last sync, in their order
	seq   uint64  // of the newest slot use
	prev  frame.LSN
	epoch uint32
	crowd int // entries that the newest sync has woken, and that came during it

	due     time.Time // when an interval asks for a sync; zero: none does
	force   bool      // the next group is synced, and if there is none, what was written before
	timer   *time.Timer
	scratch []byte           // groups in several pieces are put together here
	padding [2 * sector]byte // zeros, but for the header of the newest pad
}

// yields is how often in vain the committer lets others run before it seals a group that will be synced, so that all those whom the sync
// before has woken can join: without it they split into two cohorts, and each waits for two syncs.
const yields = 16

// run commits groups until quit is closed and nothing is left.
func (c *committer) run() {
	defer close(c.done)
	defer c.timer.Stop()
	for {
		due, ending := false, false
		for n := 0; n < glances && len(c.wake) == 0; n++ {
			runtime.Gosched()
		}
		select {
		case <-c.wake:
		case <-c.timer.C:
			due = true
		case <-c.quit:
			due, ending = true, true
		}
		c.turn.Lock()
		c.force = c.force || due
		for c.round() {
		}
		c.turn.Unlock()
		if ending {
			return
		}
	}
}

// alone commits the open group in an appender's goroutine if the slot has room for it, and leaves it to the committer's goroutine if not.
func (c *committer) alone() {
	c.mu.Lock()
	g := c.open
	if g.entries == 0 { // committed meanwhile
		c.mu.Unlock()
		return
	}
	room := c.slot != nil && c.fits(g.bytes)
	c.mu.Unlock()
	if !room {
		signal(c.wake)
		return
	}
	c.round()
	if entries, _ := c.peek(); entries > 0 { // it could not, or others came
		signal(c.wake)
	}
}

// round commits the open group, if it has entries or a sync is due, and returns whether there may be more to do.
func (c *committer) round() bool {
	if c.core.StopCause() != nil {
		c.fail(c.seal(), c.core.StopCause())
		return false
	}
	if !c.gather() {
		return false
	}
	if err := c.makeRoom(); err != nil {
		c.stop(err)
		c.fail(c.seal(), c.core.StopCause())
		return false
	}
	if uint64(c.prev-frame.At(c.prev.Epoch(), 0)) > maxFrames {
		c.stop(errEpoch)
		return true
	}
	g, pad := c.sealFor()
	if g == nil { // it grew out of the slot meanwhile
		return true
	}
	if err := c.write(g, pad); err != nil {
		c.stop(err)
		c.fail(g, c.core.StopCause())
		return false
	}
	c.finish(g)
	return true
}

// maxFrames bounds the frames of one epoch, short of what an LSN can count.
const maxFrames = 1<<40 - 1<<24

var errEpoch = errors.New("storage: all frame numbers of this open are used up: close the store and open it again")

func (c *committer) stop(err error) {
	c.core.Stop(err)
	c.ring.stop()
}

// gather waits, by yielding, until all who are expected have joined the group that is to be synced, or nobody joins any more. The last it lets run are threads: those who have not
// joined by then mostly wait on one that was woken on this one's processor. It returns false if there is nothing to commit.
func (c *committer) gather() bool {
	entries, wantSync := c.peek()
	for vain := 0; entries > 0 && wantSync && entries < c.crowd && vain <= yields; vain++ {
		before := entries
		if vain < yields {
			runtime.Gosched()
		} else {
			osfs.YieldThread()
		}
		if entries, wantSync = c.peek(); entries > before {
			vain = -1
		}
	}
	return entries > 0 || c.force && len(c.dirty) > 0
}

func (c *committer) peek() (entries int, wantSync bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open.entries, c.open.sync
}

// makeRoom makes sure that slot has room for the open group and a pad.
func (c *committer) makeRoom() error {
	c.mu.Lock()
	need := c.open.bytes
	c.mu.Unlock()
	return c.makeRoomFor(need)
}

// makeRoomFor makes sure that slot has room for so many bytes and a pad.
func (c *committer) makeRoomFor(need int64) error {
	if c.slot != nil && c.fits(need) {
		return nil
	}
	if err := c.await(); err != nil {
		return err
	}
	use := slotUse{seq: c.seq + 1, epoch: c.epoch, first: c.prev + 1, prev: c.prev}
	if c.prev.Epoch() != c.epoch {
		use.first = frame.At(c.epoch, 1)
	}
	c.leave(use)
	s, err := c.ring.take(need+2*sector, use, func() { signal(c.kick) })
	if err != nil {
		return err
	}
	use.bytes = s.size
	c.lanes.journal.enter(&s.name)
	_, err = s.file.WriteAt(use.encode(c.id), 0)
	c.lanes.journal.leave()
	if err != nil {
		return fmt.Errorf("storage: journal file %s: %w", s.name, err)
	}
	c.slot, c.pos, c.seq = s, sector, use.seq
	c.markDirty(s)
	signal(c.kick) // the keeper may make the next slot
	return nil
}

// await waits until nothing in front of this epoch is in doubt.
func (c *committer) await() error {
	if c.slot != nil || c.certain == nil {
		return nil
	}
	select {
	case <-c.certain:
		return nil
	case <-c.core.Stopped():
		return c.core.StopCause()
	}
}

// leave says that nothing more comes into the present slot, so that a checkpoint can do without it: the slot may be what is waited for.
func (c *committer) leave(next slotUse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark = mark{lsn: next.first - 1, seq: next.seq, pos: sector}
}

func (c *committer) fits(bytes int64) bool { return c.pos+bytes+2*sector <= c.slot.size }

func (c *committer) markDirty(s *slot) {
	for _, d := range c.dirty {
		if d == s {
			return
		}
	}
	c.dirty = append(c.dirty, s)
}

// seal takes the open group out and puts an empty one in its place.
func (c *committer) seal() *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sealLocked()
}

func (c *committer) sealLocked() *pending {
	g := c.open
	g.staged = c.staged
	c.open = c.newPending(g.number + 1)
	c.roomMade()
	return g
}

// sealFor seals the open group and, if it is synced, puts a pad behind it, which it returns unless it lies there in memory: the next group begins on a sector of its own.
func (c *committer) sealFor() (*pending, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fits(c.open.bytes) {
		return nil, nil
	}
	g := c.sealLocked()
	g.sync = g.sync || c.force
	if !g.sync {
		return g, nil
	}
	end := c.pos + g.bytes
	gap := -end & (sector - 1)
	if gap == 0 {
		return g, nil
	}
	if gap < frame.HeaderSize {
		gap += sector
	}
	c.lsn++
	g.last = c.lsn
	return g, c.padBehind(g, int(gap))
}

// padBehind makes a pad of n bytes, and returns it if it does not lie behind the group in memory. There it is one write together with it; but it takes memory as the group does, so
// it has to be small beside it. mu is held.
func (c *committer) padBehind(g *pending, n int) []byte {
	pad := c.pad(n)
	if g.bytes < 4*int64(n) {
		return pad
	}
	last := &g.extents[len(g.extents)-1]
	if last.block != c.block || !c.block.Room(n) {
		return pad
	}
	c.block.Put(pad)
	last.to += n
	return nil
}

// pad makes a frame of n bytes that means nothing, valid until the next one is made. mu is held.
func (c *committer) pad(n int) []byte {
	b := c.padding[:n]
	putPad(b, c.id.seed, c.lsn, c.synced)
	return b
}

// putPad makes b, zeros but for its header, a frame that means nothing.
func putPad(b []byte, seed frame.Seed, lsn, synced frame.LSN) {
	h := frame.Header{Kind: frame.Pad, Flags: frame.End, LSN: lsn, SyncedBack: back(lsn, synced), BodyLen: uint32(len(b) - frame.HeaderSize)}
	h.BodySum = seed.Sum(b[frame.HeaderSize:])
	h.Put(b, seed)
}

// write writes the group and its pad, and syncs if the group asks for it.
func (c *committer) write(g *pending, pad []byte) error {
	if err := c.put(g, pad); err != nil {
		return fmt.Errorf("storage: writing journal file %s: %w", c.slot.name, err)
	}
	if g.last != 0 {
		c.prev = g.last
	}
	c.commits.Add(1)
	if g.interval > 0 {
		c.setDue(time.Now().Add(g.interval))
	}
	if !g.sync {
		return nil
	}
	return c.sync()
}

const maxScratch = 256 << 10

func (c *committer) put(g *pending, pad []byte) error {
	size := g.bytes + int64(len(pad))
	if size == 0 {
		return nil
	}
	c.markDirty(c.slot)
	if len(g.extents) == 1 && len(pad) == 0 || size > maxScratch {
		return c.putPieces(g, pad)
	}
	c.scratch = c.scratch[:0]
	for _, x := range g.extents {
		c.scratch = append(c.scratch, x.block.Bytes(x.from, x.to-x.from)...)
	}
	c.scratch = append(c.scratch, pad...)
	return c.putAt(c.scratch)
}

func (c *committer) putPieces(g *pending, pad []byte) error {
	for _, x := range g.extents {
		if err := c.putAt(x.block.Bytes(x.from, x.to-x.from)); err != nil {
			return err
		}
	}
	if len(pad) == 0 {
		return nil
	}
	return c.putAt(pad)
}

func (c *committer) putAt(p []byte) error {
	c.lanes.journal.enter(&c.slot.name)
	_, err := c.slot.file.WriteAt(p, c.pos)
	c.lanes.journal.leave()
	if err != nil {
		return err
	}
	c.pos += int64(len(p))
	c.written.Add(int64(len(p)))
	return nil
}

// sync makes all that was written durable: slots in their order, so that what survives is a prefix.
func (c *committer) sync() error {
	for _, s := range c.dirty {
		c.lanes.journal.enter(&s.name)
		err := s.file.SyncData()
		c.lanes.journal.leave()
		if err != nil {
			return fmt.Errorf("storage: syncing journal file %s: %w", s.name, err)
		}
	}
	clear(c.dirty)
	c.dirty = c.dirty[:0]
	c.force = false
	c.syncs.Add(1)
	c.setDue(time.Time{})
	return nil
}

// setDue arms the timer for the sync that an interval asks for; an earlier one stays.
func (c *committer) setDue(t time.Time) {
	switch {
	case t.IsZero():
		c.due = t
		c.timer.Stop()
	case c.due.IsZero() || t.Before(c.due):
		c.due = t
		c.timer.Reset(time.Until(t))
	}
}

// finish makes a written group visible and wakes its appenders.
func (c *committer) finish(g *pending) {
	if g.sync {
		c.mu.Lock()
		c.synced = c.prev
		c.durable = g.staged
		c.unsynced = c.open.bytes
		c.crowd = g.entries + c.open.entries
		c.mu.Unlock()
		signal(c.further)
	}
	c.core.Apply(&g.Group)
	if g.last == 0 {
		c.release(g)
		return
	}
	c.mu.Lock()
	c.mark = mark{lsn: c.prev, seq: c.slot.seq, pos: c.pos}
	spill := c.unspilled >= c.soft || c.room != nil
	c.mu.Unlock()
	c.release(g)
	if spill {
		signal(c.kick)
	}
}

func (c *committer) release(g *pending) {
	close(g.Done)
	for _, x := range g.extents {
		x.block.Release()
	}
}

// fail tells the group's appenders that nobody knows.
func (c *committer) fail(g *pending, cause error) {
	g.Err = cause
	c.release(g)
}
