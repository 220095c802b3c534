package storagetest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/leatmq/leat/storage"
)

// Reading is what a reader was given.
type Reading struct {
	Partition  storage.PartitionID
	From, Next int64
	Records    []storage.Record
	First      int64 // of the partition's bounds, asked for afterwards
	Mark       int   // see History.Mark, taken before
}

// Got notes a reading, as Saw does. It returns an error if the reader was taken backwards, or over a record that was known to be there before it began.
func (h *History) Got(r Reading) error {
	at, given := r.From, map[int64]bool{}
	for i := range r.Records {
		o := r.Records[i].Offset
		if o < at {
			return fmt.Errorf("partition %d: a reader at %d was taken back to %d", r.Partition, at, o)
		}
		at, given[o] = o+1, true
	}
	if r.Next < at {
		return fmt.Errorf("partition %d: a reader is to go on at %d, and had come to %d", r.Partition, r.Next, at)
	}
	if err := h.Saw(r.Partition, r.Records); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.seen.within(r.Partition, max(r.From, r.First), r.Next) {
		if given[s.offset] || s.seq > r.Mark {
			continue
		}
		if a := h.entry(s.mark.entry); a != nil && !a.gone && !h.superseded(place{r.Partition, s.offset}, a, s.mark) {
			return fmt.Errorf("partition %d: a reader passed over offset %d, which was known, on its way from %d to %d", r.Partition, s.offset, r.From, r.Next)
		}
	}
	return nil
}

// spot is where the records of an entry lie in a partition.
type spot struct {
	attempt *Attempt
	base    int64
}

// producers finds records that lie in front of those of an entry that was acknowledged before theirs was begun: the order of one who appends one after the
// other.
func (c *check) producers() {
	spots := map[storage.PartitionID][]spot{}
	for _, a := range c.h.entries {
		if a.gone || a.refused {
			continue
		}
		for i, base := range a.bases {
			p := a.Plan.Batches[i].Partition
			spots[p] = append(spots[p], spot{a, base})
		}
	}
	for p, ss := range spots {
		slices.SortFunc(ss, func(a, b spot) int { return cmp.Compare(b.base, a.base) })
		var behind *Attempt // the one that ended first of those that lie behind
		for _, s := range ss {
			if behind != nil && behind.ended < s.attempt.begun {
				c.bad(&c.Disordered, "partition %d: entry %d lies at %d, in front of entry %d, which was acknowledged before it was begun", p, s.attempt.Number, s.base, behind.Number)
				break
			}
			if behind == nil || s.attempt.ended < behind.ended {
				behind = s.attempt
			}
		}
	}
}
