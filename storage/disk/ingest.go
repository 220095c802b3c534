package disk

import (
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// parcel is frames of a followed store on their way into the store that follows: whole entries of the one, one entry of the other, with the place up to which they go.
type parcel struct {
	raw    []byte // the frames, one behind the other; headers are of the followed store
	frames []frame.Header
	place  frame.Place
}

func (p *parcel) reset() { p.raw, p.frames = p.raw[:0], p.frames[:0] }

// add takes a frame as it is.
func (p *parcel) add(h *frame.Header, raw []byte) {
	p.frames = append(p.frames, *h)
	p.raw = append(p.raw, raw...)
}

// seal ends the parcel with its place.
func (p *parcel) seal(seed frame.Seed) {
	body := frame.AppendPlace(nil, p.place)
	h := frame.Header{Kind: frame.Followed, BodyLen: uint32(len(body)), BodySum: seed.Sum(body)}
	raw := make([]byte, h.Size())
	copy(raw[frame.HeaderSize:], body)
	p.add(&h, raw)
}

// ingest stores a parcel, synced, as one entry: bodies, offsets and times as they are, and places in the journal of its own. It takes the committer's turn,
// so that whatever the store itself commits comes in front or behind.
func (st *Store) ingest(p *parcel) error {
	p.seal(st.journal.id.seed)
	c := st.journal.committer
	c.turn.Lock()
	defer c.turn.Unlock()
	if err := st.core.Writable(); err != nil {
		return err
	}
	first, err := c.number(len(p.frames), int64(len(p.raw)))
	if err == nil {
		p.renumber(first, c.synced, c.id.seed)
		err = c.carry(p)
	}
	if err != nil {
		c.stop(err)
		return st.core.StopCause()
	}
	return st.apply(p)
}

// number finds room for so many bytes, and gives out the LSNs of n frames when nothing else is staged.
func (c *committer) number(n int, bytes int64) (first frame.LSN, err error) {
	for {
		for entries, _ := c.peek(); entries > 0; entries, _ = c.peek() {
			if !c.round() {
				break
			}
		}
		if err := c.core.StopCause(); err != nil {
			return 0, err
		}
		if bytes > c.ring.capacity() { // rather than wait for a slot that nobody makes
			if err := c.ring.ahead(bytes); err != nil {
				return 0, err
			}
		}
		if err := c.makeRoomFor(bytes); err != nil {
			return 0, err
		}
		c.mu.Lock()
		if c.open.entries == 0 {
			first = c.lsn + 1
			c.lsn += frame.LSN(n)
			c.mu.Unlock()
			return first, nil
		}
		c.mu.Unlock()
	}
}

// renumber writes headers with other LSNs: one entry.
func (p *parcel) renumber(first, synced frame.LSN, seed frame.Seed) {
	at := 0
	for i := range p.frames {
		h := &p.frames[i]
		h.LSN = first + frame.LSN(i)
		h.SyncedBack = back(h.LSN, synced)
		h.Flags &^= frame.End
		if i == len(p.frames)-1 {
			h.Flags |= frame.End
		}
		h.Put(p.raw[at:], seed)
		at += h.Size()
	}
}

// carry writes and syncs a parcel that was numbered.
func (c *committer) carry(p *parcel) error {
	c.markDirty(c.slot)
	if err := c.putAt(p.raw); err != nil {
		return fmt.Errorf("storage: writing journal file %s: %w", c.slot.name, err)
	}
	c.prev = p.frames[len(p.frames)-1].LSN
	if gap := -c.pos & (sector - 1); gap > 0 {
		if gap < frame.HeaderSize {
			gap += sector
		}
		c.mu.Lock()
		c.lsn++
		c.prev = c.lsn
		pad := c.pad(int(gap))
		c.mu.Unlock()
		if err := c.putAt(pad); err != nil {
			return fmt.Errorf("storage: writing journal file %s: %w", c.slot.name, err)
		}
	}
	c.commits.Add(1)
	return c.sync()
}

// apply makes a durable parcel part of the store, the way recovery would. No checkpoint is captured meanwhile.
func (st *Store) apply(p *parcel) error {
	k, c := st.keeper, st.journal.committer
	k.hand.Lock()
	defer k.hand.Unlock()
	r := &replay{st: st}
	at := 0
	for i := range p.frames {
		h := &p.frames[i]
		if err := r.frame(h, p.raw[at:at+h.Size()]); err != nil {
			st.core.Stop(err)
			return err
		}
		at += h.Size()
	}
	c.mu.Lock()
	c.synced = c.prev
	c.mark = mark{lsn: c.prev, seq: c.slot.seq, pos: c.pos}
	c.mu.Unlock()
	st.core.State.SetApplied(c.prev)
	signal(c.kick)
	return nil
}

// local tells whether a frame is about the files of one directory, and means nothing to another.
func local(k frame.Kind) bool {
	return k == frame.Pad || k == frame.Swap || k == frame.Gap || k == frame.Followed
}

// unsaved tells whether a frame is records of a topic that is not to be copied.
func (st *Store) unsaved(h *frame.Header) bool {
	if h.Kind != frame.Batch {
		return false
	}
	p := st.core.Catalog.Partition(storage.PartitionID(h.Partition))
	return p != nil && p.Strategy().NoBackup
}
