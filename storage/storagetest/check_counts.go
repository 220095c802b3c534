package storagetest

import (
	"errors"
	"math"
	"slices"

	"github.com/leatmq/leat/storage"
)

// counts checks what the store counts against what was found.
func (c *check) counts() {
	perhaps := map[storage.PartitionID]int64{} // records of entries that may have been there and removed, or may not have been stored at all
	for _, a := range c.h.entries {
		if c.there(a) > 0 || !c.mayBeUnseen(a) {
			continue
		}
		for _, b := range c.unknown(a) {
			perhaps[a.Plan.Batches[b].Partition] += int64(len(a.Plan.Batches[b].Sizes))
		}
	}
	for p, v := range c.views {
		c.given(p, v)
		c.bounds(p, v, perhaps[p])
	}
}

// given checks that no offset is given away twice.
func (c *check) given(p storage.PartitionID, v *view) {
	for _, s := range c.h.seen.within(p, v.bounds.Next, math.MaxInt64) {
		c.bad(&c.Reused, "partition %d: the next offset is %d, and %d was given away before", p, v.bounds.Next, s.offset)
	}
}

func (c *check) bounds(p storage.PartitionID, v *view, perhaps int64) {
	b := v.bounds
	least := c.h.unseen[p] + v.unseen
	v.unseen = b.Records - v.trimmed - int64(len(v.records)+len(v.missing))
	if c.h.base == 0 && (v.unseen < least || v.unseen > least+perhaps) {
		c.bad(&c.Disordered, "partition %d: %d records by its bounds; %d are there, %d were trimmed, %d compacted, %d to %d removed unseen",
			p, b.Records, len(v.records), v.trimmed, len(v.missing), least, least+perhaps)
	}
	before, err := c.s.Ordinal(p, b.First)
	if err != nil || c.h.base == 0 && (before < v.trimmed || before > v.trimmed+v.unseen) {
		c.bad(&c.Disordered, "partition %d: %d to %d records were trimmed, %d by its ordinals, %v", p, v.trimmed, v.trimmed+v.unseen, before, err)
	}
	compacts := c.h.compactsSince(p, 0)
	within := b.Records - before - int64(len(v.records)+len(v.missing)) // removed unseen from between the records that are there
	if within != 0 && !compacts || within < 0 || len(v.records) > 0 && v.records[0].Offset < b.First {
		c.bad(&c.Disordered, "partition %d: %d records by its bounds, %d by reading, %d compacted", p, b.Records-before, len(v.records), len(v.missing))
	}
	passed := int64(0) // of those within
	for i, step := 0, max(1, len(v.records)/4); i < len(v.records); i += step {
		r := &v.records[i]
		known := before + int64(i) + below(v.missing, r.Offset)
		n, err := c.s.Ordinal(p, r.Offset)
		if err != nil || n < known+passed || n > known+max(within, 0) {
			c.bad(&c.Disordered, "partition %d: ordinal of offset %d is %d, %v; %d records are before it, %d to %d removed unseen", p, r.Offset, n, err, known, passed, within)
		}
		passed = max(passed, n-known)
		c.offsetAt(p, v, r)
	}
}

// offsetAt checks where the store says that the records of r's time begin: with the first of them that is there, or with one in front of it that was removed.
func (c *check) offsetAt(p storage.PartitionID, v *view, r *storage.Record) {
	first := slices.IndexFunc(v.records, func(o storage.Record) bool { return !o.Appended.Before(r.Appended) })
	least, most := v.bounds.First, v.records[first].Offset
	if first > 0 {
		least = v.records[first-1].Offset + 1
	}
	o, err := c.s.OffsetAt(p, r.Appended)
	if errors.As(err, new(*storage.DamageError)) && len(v.missing) > 0 {
		return // the search came upon what is missing, and says so
	}
	if err != nil || o < least || o > most {
		c.bad(&c.Disordered, "partition %d: offset at %v is %d, %v; want %d", p, r.Appended, o, err, most)
	}
}
