package timers

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/leatmq/leat/storage"
)

// gatherer reads records of the inbox that lie apart. It is not for concurrent use.
type gatherer struct {
	piece   []byte
	batch   []storage.Record
	waiting []*item
}

const gatherBytes = 16 << 10 // of one read

// gather fills in the records and envelopes of those items that come from the inbox and go somewhere. What is not there any more, since it was damaged and is given up,
// goes nowhere.
func (g *gatherer) gather(x *Index, items []item) error {
	g.waiting = g.waiting[:0]
	for i := range items {
		if it := &items[i]; it.ref != nil && !it.grave && !it.skipped && !it.parked {
			g.waiting = append(g.waiting, it)
		}
	}
	slices.SortFunc(g.waiting, func(a, b *item) int { return cmp.Compare(a.ref.offset, b.ref.offset) })
	for len(g.waiting) > 0 {
		rs, _, err := x.store.ReadInto(g.batch[:0], &g.piece, x.inboxID, g.waiting[0].ref.offset, gatherBytes)
		if err != nil {
			return err
		}
		if len(rs) == 0 || rs[0].Offset > g.waiting[0].ref.offset {
			g.waiting[0].skipped = true
			g.waiting = g.waiting[1:]
		}
		for i := range rs {
			if len(g.waiting) > 0 && rs[i].Offset == g.waiting[0].ref.offset {
				if err := g.waiting[0].fill(&rs[i]); err != nil {
					return err
				}
				g.waiting = g.waiting[1:]
			}
		}
		clear(rs)
		g.batch = rs[:0]
	}
	return nil
}

// fill copies what was read into memory of its own.
func (it *item) fill(r *storage.Record) error {
	e, rest, err := open(r.Headers)
	if err != nil {
		return err
	}
	it.envelope = e
	it.record = *r
	it.record.Key, it.record.Value, it.record.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(rest)
	return nil
}
