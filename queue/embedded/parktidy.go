package embedded

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// A key that waits for long holds the floor of what is parked, and all that is parked and done behind it would count against the bound, for nothing. So what is left at the
// floor is written anew, behind all others, when there is far more done above the floor than not.

const (
	tidyRecords = 1 << 12        // done above the floor, at least
	tidyShare   = 3              // and so many times as many as are not
	tidyMoves   = maxParkRecords // in one entry
)

// tidyAfter has the parking be tidied, if that is worth it. It is looked at again when so much more is done.
func (k *parking) tidyAfter() {
	open, least := int(k.window.Open()), k.of.group.engine.tidyRecords
	done := k.window.Len() - open
	if done < max(least, k.of.group.engine.tidyShare*open) {
		k.tidyAt = 0
		return
	}
	if done >= k.tidyAt {
		k.tidyAt = done + least/4
		k.of.group.engine.committer.park(k.of.group)
	}
}

// shift is one entry that moves messages that are parked to the end.
type shift struct {
	parking *parking
	units   []*unit // of each
	refs    []ref   // before
	records []storage.Record
	entry   storage.Entry
}

// tidyParking writes one entry for a partition of g where that is worth it, and is true if there may be more to do.
func (c *committer) tidyParking(g *group) bool {
	s := g.shift()
	if s == nil {
		return false
	}
	err := s.store(c.engine.flusher.ctx)
	s.end(err)
	return err == nil
}

// shift chooses what is to be moved; nil: nothing.
func (g *group) shift() *shift {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deleted || g.err != nil || len(g.members) == 0 {
		return nil
	}
	for _, p := range g.active {
		if p.park == nil || p.gone || p.park.tidyAt == 0 {
			continue
		}
		if open := int(p.park.window.Open()); p.park.window.Len()-open < max(g.engine.tidyRecords, g.engine.tidyShare*open) {
			continue
		}
		if s := p.park.shift(); s != nil {
			g.committing++
			return s
		}
	}
	return nil
}

// shift takes the first messages that are parked up to the first that is in use. Their units are kept from being read meanwhile.
func (k *parking) shift() *shift {
	s := &shift{parking: k}
	type owned struct {
		ref
		unit *unit
	}
	var all []owned
	busy := int64(math.MaxInt64)
	for u := range k.all {
		idle := u.loaded == 0 && !u.loading && u.writing == 0 && !u.held
		for _, r := range u.refs {
			if !idle {
				busy = min(busy, r.offset)
				continue
			}
			all = append(all, owned{r, u})
		}
	}
	slices.SortFunc(all, func(a, b owned) int { return cmp.Compare(a.offset, b.offset) })
	bytes := 0
	for _, o := range all {
		if o.offset > busy || len(s.refs) == tidyMoves || bytes > maxParkWrite {
			break
		}
		bytes += int(o.size)
		s.refs, s.units = append(s.refs, o.ref), append(s.units, o.unit)
		o.unit.hold()
	}
	if len(s.refs) == 0 {
		return nil
	}
	k.ready = slices.DeleteFunc(k.ready, func(u *unit) bool { return !u.ready })
	return s
}

// hold keeps u, which is idle, from being read. It is to be taken out of parking.ready then, if it is no more ready.
func (u *unit) hold() {
	u.loading, u.ready = true, false
	u.parking.of.group.parked.remove(u)
}

// store writes the entry.
func (s *shift) store(ctx context.Context) error {
	g := s.parking.of.group
	read := []parkedRead{{refs: s.refs}}
	err := g.engine.readParked(s.parking.id, read)
	if s.records = read[0].records; err != nil || len(s.records) < len(s.refs) {
		return cmp.Or(err, error(storage.ErrNotFound)) // whoever reads them sees to it
	}
	b := storage.Batch{Partition: s.parking.id}
	slots := make([]uint64, len(s.refs))
	var c storage.Cursor
	if err := s.fill(&b, slots, &c); err != nil {
		return err
	}
	s.entry = storage.Entry{Batches: []storage.Batch{b}, Cursors: []storage.Cursor{c}, MakesRoom: true}
	_, err = g.engine.store.Append(ctx, &s.entry)
	return err
}

// fill makes the records and the cursor.
func (s *shift) fill(b *storage.Batch, slots []uint64, c *storage.Cursor) error {
	k := s.parking
	g := k.of.group
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range s.refs {
		known, own, err := splitParked(s.records[i].Headers)
		if err != nil {
			return err
		}
		if f, ok := k.window.Failure(r.offset); ok {
			known.attempts, known.note = f.Attempts, f.Note
		}
		known.due = r.due
		b.Records = append(b.Records, storage.Record{
			Timestamp: s.records[i].Timestamp, Key: s.records[i].Key, Value: s.records[i].Value, Headers: appendParked(nil, &known, own),
		})
		slots[i] = r.slot
	}
	g.launch()
	k.cursor(c, &frontier.State{}, slots...)
	return nil
}

// end takes note of what became of it.
func (s *shift) end(err error) {
	k := s.parking
	g := k.of.group
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range s.refs {
		if err != nil {
			continue
		}
		u, stored := s.units[i], &s.entry.Batches[0].Records[i]
		slot, _ := k.window.Add(stored.Offset, stored.Size())
		k.touch()
		at := slices.IndexFunc(u.refs, func(o ref) bool { return o.offset == r.offset })
		if at < 0 { // it was purged meanwhile
			k.window.Done(slot)
			continue
		}
		if a := k.of.account; a != nil {
			a.parked(k.of.number, int64(stored.Size())-k.window.Size(r.slot))
		}
		k.window.Done(r.slot)
		u.refs[at].offset, u.refs[at].slot, u.refs[at].size = stored.Offset, slot, int32(stored.Size())
	}
	for _, u := range s.units {
		u.loading = false
	}
	for _, u := range s.units {
		u.place()
	}
	k.tidyAt = 0
	g.roomToPark()
	g.commits(1)
	g.wakeAll()
}
