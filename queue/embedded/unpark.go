package embedded

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// mayUnpark tells whether there is something for unpark. What members are to be told is told them however much the group holds.
func (f *feed) mayUnpark(g *group) bool {
	return len(f.parked) > 0 && (g.mayRead() || f.troubled() >= 0)
}

// troubled is where the first of parked is that members are to be told of; below 0 if there is none.
func (f *feed) troubled() int {
	return slices.IndexFunc(f.parked, func(p *partition) bool { return p.park.troubles.any() })
}

// nextParked takes the parking that is next out of the list: one that members are to be told of if g may read no more.
func (f *feed) nextParked(g *group) *parking {
	if !g.mayRead() {
		at := max(0, f.troubled())
		f.parked[0], f.parked[at] = f.parked[at], f.parked[0]
	}
	p := f.parked[0]
	f.parked[0] = nil
	f.parked = f.parked[1:]
	p.park.listed = false
	return p.park
}

// unpark reads what is due of the parking that is next, for m, or tells m what was found wrong there. It is called with g.mu held and returns with it held; meanwhile it is not.
func (f *feed) unpark(m *member) {
	k, g := f.nextParked(m.group), m.group
	p := k.of
	if t := k.troubles; t.any() {
		k.troubles = troubles{}
		p.tell(m, t)
		p.offer()
		f.handOn(p)
		return
	}
	reads := k.due()
	p.offer()
	if len(reads) == 0 {
		return
	}
	epoch := p.epoch
	g.unparking++
	g.mu.Unlock()
	err := g.engine.readParked(k.id, reads)
	g.mu.Lock()
	g.unparking--
	for i := range reads {
		if epoch != p.epoch { // also while it was told that something is gone
			break
		}
		u := reads[i].unit
		if u.loading = false; err == nil && len(reads[i].refs) > 0 {
			u.load(m, reads[i].refs, reads[i].records)
		}
		if epoch == p.epoch && reads[i].damage != nil && u.loaded == 0 {
			u.stick()
		}
		u.place()
	}
	for i := range reads {
		if reads[i].damage != nil && err == nil {
			err = reads[i].damage
		}
	}
	if err != nil && epoch == p.epoch {
		p.breakOff(m, err)
	}
	g.stopIfSpent()
	g.arm()
	f.handOn(p)
}

// parkedRead is what is read of one unit.
type parkedRead struct {
	unit    *unit
	refs    []ref
	records []storage.Record // of these, as far as they are there
	damage  error            // of what was to be read next; refs are those before it
}

// due takes what is to be read next: of as many units as make a read worth it.
func (k *parking) due() []parkedRead {
	var reads []parkedRead
	for n := 0; n < unparkRecords && len(k.ready) > 0; {
		u := k.ready[0]
		k.ready[0] = nil
		k.ready = k.ready[1:]
		if u.ready = false; len(u.refs) == 0 { // all of it was purged since it became ready
			continue
		}
		u.loading = true
		reads = append(reads, parkedRead{unit: u, refs: slices.Clone(u.chunk())})
		n += len(reads[len(reads)-1].refs)
	}
	return reads
}

// chunk is what of u is read together.
func (u *unit) chunk() []ref {
	n, bytes := 0, 0
	for n < len(u.refs) && n < unparkRecords && (n == 0 || bytes+int(u.refs[n].size) <= readBytes) {
		bytes += int(u.refs[n].size)
		n++
	}
	return u.refs[:n]
}

// readParked reads the records of rs. What is damaged ends one of them, and no other.
func (e *engine) readParked(p storage.PartitionID, rs []parkedRead) error {
	var read nearby
	for i := range rs {
		for n, r := range rs[i].refs {
			rec, err := read.at(e.store, p, r.offset)
			var damage *storage.DamageError
			if errors.As(err, &damage) {
				rs[i].refs, rs[i].damage = rs[i].refs[:n], err
				break
			}
			if err != nil {
				return err
			}
			if rec != nil {
				rs[i].records = append(rs[i].records, *rec)
			}
		}
	}
	return nil
}

// stick keeps u, of which the next message cannot be read, until the damage is mended or given up.
func (u *unit) stick() {
	u.held = true
	u.parking.held = append(u.parking.held, u)
}

// nearby reads records one by one, and keeps those that came along, since a batch is read whole.
type nearby struct {
	partition storage.PartitionID
	records   []storage.Record
}

// at returns the record at offset; nil if there is none.
func (n *nearby) at(s storage.Store, p storage.PartitionID, offset int64) (*storage.Record, error) {
	if k := len(n.records); n.partition != p || k == 0 || offset < n.records[0].Offset || offset > n.records[k-1].Offset {
		rs, _, err := s.Read(nil, p, offset, 1)
		if err != nil {
			return nil, err
		}
		n.partition, n.records = p, rs
	}
	i, found := slices.BinarySearchFunc(n.records, offset, func(r storage.Record, o int64) int { return cmp.Compare(r.Offset, o) })
	if !found {
		return nil, nil
	}
	return &n.records[i], nil
}

// load puts the records of refs, the first ones of u, into their lane. Those that are gone are missed.
func (u *unit) load(m *member, refs []ref, records []storage.Record) {
	k := u.parking
	p := k.of
	gone, first := int64(0), refs[0].origin
	for i := range refs {
		r := refs[i]
		if u.loaded == len(u.refs) || u.refs[u.loaded].offset != r.offset { // something came, or went, meanwhile
			break
		}
		u.loaded++
		if len(records) == 0 || records[0].Offset != r.offset {
			u.lose(r)
			gone++
			continue
		}
		u.loadRecord(r, &records[0])
		records = records[1:]
	}
	if gone > 0 {
		p.miss(m, first, refs[len(refs)-1].origin+1, gone)
	}
}

// lose gives up a message that is gone.
func (u *unit) lose(r ref) {
	k := u.parking
	k.finished(r.slot)
	k.touch()
	u.done(r.offset)
}

func (u *unit) loadRecord(r ref, rec *storage.Record) {
	k := u.parking
	p, g := k.of, k.of.group
	it := g.set.Item()
	it.Value = message{partition: p, track: &k.track, unit: u, offset: r.offset, record: *rec, slot: r.slot}
	msg := &it.Value
	msg.record.Offset, msg.record.Appended = r.origin, time.Unix(0, r.appended)
	it.Seq, it.Size = r.origin, rec.Size()
	f, failed := k.window.Failure(r.offset)
	if s, err := decodeParked(rec.Headers); err == nil && !failed && (s.attempts > 0 || s.note != "") {
		f = frontier.Failure{Offset: r.offset, Attempts: s.attempts, Due: s.due, Note: s.note}
		k.window.Fail(f) // with the next cursor that is written
	}
	msg.attempts, msg.suspect = f.Attempts, decodeNote(f.Note).crashes > 0
	if u.loaded > 1 { // else it was waited for
		it.Due = g.engine.due(r.due)
	}
	u.enter(it)
}
