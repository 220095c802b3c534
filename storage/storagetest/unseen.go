package storagetest

import (
	"math"
	"slices"

	"github.com/leatmq/leat/storage"
)

// Who is killed leaves entries of which nobody knows whether they are stored, and the next owner may trim or compact their records before anyone looks. Such
// records are missing rightly, but only where they may have lain: behind everything that was acknowledged before they were asked for, and in front of
// what removed them.

// place finds out which batches are known to be, or to have been, at a place.
func (c *check) place() {
	for p := range c.h.seen {
		for _, s := range c.h.seen[p] {
			if a := c.h.entry(s.mark.entry); a != nil {
				b, _ := a.batchOf(s.mark.index)
				c.placed[placedBatch{a.Number, b}] = true
			}
		}
	}
	for _, a := range c.h.entries { // those of earlier looks
		for b := range a.unseen {
			if a.unseen[b] && !c.h.dropped(a.Plan.Batches[b].Partition) {
				c.removed[a.Number] += uint32(len(a.Plan.Batches[b].Sizes))
			}
		}
	}
}

// hasUnseen tells whether record i was removed before anybody knew that it was there.
func (a *Attempt) hasUnseen(i uint32) bool {
	b, _ := a.batchOf(i)
	return b >= 0 && a.unseen != nil && a.unseen[b]
}

// unknown returns the batches of an entry that are not known to be anywhere, although they would be if they had not been removed.
func (c *check) unknown(a *Attempt) (batches []int) {
	if a.gone || a.refused {
		return nil
	}
	for b := range a.Plan.Batches {
		batch := &a.Plan.Batches[b]
		known := len(batch.Sizes) == 0 || c.placed[placedBatch{a.Number, b}] || a.unseen != nil && a.unseen[b]
		if !known && !c.h.dropped(batch.Partition) {
			batches = append(batches, b)
		}
	}
	return batches
}

// mayBeUnseen tells whether all that is missing of an entry may have been removed before anybody knew that it was there.
func (c *check) mayBeUnseen(a *Attempt) bool {
	batches := c.unknown(a)
	missing := uint32(0)
	for _, b := range batches {
		if !c.removable(a, b) {
			return false
		}
		missing += uint32(len(a.Plan.Batches[b].Sizes))
	}
	return missing > 0 && c.there(a)+missing == a.total-c.dropped[a.Number]
}

// removable tells whether a batch of which nothing is there may have been removed.
func (c *check) removable(a *Attempt, b int) bool {
	p := a.Plan.Batches[b].Partition
	v := c.views[p]
	if v == nil {
		return false // it could not be read
	}
	least := c.leastOffset(a, p)
	compacts := c.h.compactsSince(p, a.begun)
	m := mark{entry: a.Number, index: a.firstOf(b), total: a.total}
	for range a.Plan.Batches[b].Sizes {
		if least >= v.bounds.First && !(compacts && v.lastOf(m) > least) {
			return false
		}
		least++
		m.index++
	}
	return true
}

func (a *Attempt) firstOf(batch int) (first uint32) {
	for b := range batch {
		first += uint32(len(a.Plan.Batches[b].Sizes))
	}
	return first
}

// leastOffset returns the least offset that a record of a can have in p: behind all that was acknowledged before a was begun.
func (c *check) leastOffset(a *Attempt, p storage.PartitionID) int64 {
	for _, s := range slices.Backward(c.h.seen.within(p, 0, math.MaxInt64)) {
		if e := c.h.entry(s.mark.entry); e != nil && e.ended > 0 && e.ended < a.begun {
			return s.offset + 1
		}
	}
	return 0
}

// settleUnseen takes what is missing of an entry, which is known to have been there, for removed, if it may have been.
func (c *check) settleUnseen(a *Attempt) bool {
	if !c.mayBeUnseen(a) {
		return false
	}
	for _, b := range c.unknown(a) {
		if a.unseen == nil {
			a.unseen = make([]bool, len(a.Plan.Batches))
		}
		a.unseen[b] = true
		n := len(a.Plan.Batches[b].Sizes)
		c.removed[a.Number] += uint32(n)
		c.Unseen += n
		c.views[a.Plan.Batches[b].Partition].unseen += int64(n)
	}
	return true
}
