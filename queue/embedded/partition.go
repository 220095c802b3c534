package embedded

import (
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/queue/internal/lanes"
	"github.com/leatmq/leat/storage"
)

// The bounds of what a group holds.
const (
	windowRecords = 1 << 16   // above the floor of a partition
	windowBytes   = 64 << 20  // of these
	groupRecords  = 1 << 18   // read and not handed out, over all partitions
	groupBytes    = 256 << 20 // of these
	aheadRecords  = 1 << 10   // the same in a partition, ByPartition, where reading on finds no other lane
	aheadBytes    = 1 << 20   // of these
	readBytes     = 256 << 10 // of one read
	replayBytes   = 64 << 10  // of one read without a group: what is decoded is in the processor's cache still
)

// partition is a partition as a group sees it. All of it is guarded by group.mu.
type partition struct {
	track
	group  *group
	topic  *topic
	number int

	lanes *lanes.Partition[message]
	park  *parking // nil: nothing of it was ever parked
	epoch int      // counts how often the window was set anew, so that a read in progress is known to be of before

	feed    *feed         // whose receivers read and take; nil: nobody
	unread  bool          // the store may have records from window.Next on
	listed  bool          // in feed.unread
	copied  bool          // the store cannot have it read in place
	reading bool          // a receiver reads, or who drops what is oldest
	hasRead chan struct{} // closed when that is over; nil: nobody waits for it
	unwatch func()
	gone    bool  // its topic was deleted
	broken  error // why it is not read on; what was read before is handed out, unless it is silent
	doubted error // the broken of which it is looked whether that is so still
	// disproved is damage that was not there any more when it was looked for: found again it is believed.
	disproved *storage.DamageError
	sure      int64 // below which nothing is missing that was not told

	account *account // of its topic's flow; nil: it does not count there

	owner    *member // that has it, or is taking it over
	heir     *member // that is to get it when owner is done with it
	adopting bool    // owner is taking it over
	revoking bool    // the one before is being told that it lost it
}

// message is a record in a lane, or one that is to be parked.
type message struct {
	partition *partition
	track     *track         // where it is stored, and done
	unit      *unit          // of its parking, if it is stored there; else nil
	offset    int64          // in the track
	record    storage.Record // with the offset that it had when it was published, and the time
	slot      uint64         // in the track's window
	attempts  uint32         // failed ones
	slab      *slab          // that the record's bytes are in; nil: they are in memory of their own
	reload    bool           // the record's bytes belong to a handler that had them: read them again
	claimed   bool           // done, and in flight all the same
	suspect   bool           // the process died while it was in flight: it runs alone

	token      *token        // of the hand-over, if it is in flight
	at         int32         // then, its index in member.out
	leased     int32         // then, its index in group.leases plus one; 0: it has no lease
	until      time.Duration // when the lease ends, on the engine's clock
	committing bool          // then, its outcome is being stored: nobody else may end it
	returned   bool          // of what is committing: Settlement.Returned
	starting   bool          // then, as its start mark
}

// token is the right to settle one hand-over, and never used for another.
type token struct {
	member *member
	item   *lanes.Item[message] // guarded by group.mu; nil: settled, or lost
	marks  *marks               // guarded by group.mu; nil: none
}

func newPartition(g *group, t *topic, n int) *partition {
	p := &partition{group: g, topic: t, number: n}
	p.track = track{of: p, id: t.Partition(n)}
	return p
}

// attach lets f have the partition.
func (p *partition) attach(f *feed) {
	if p.silent() {
		return
	}
	p.feed = f
	p.lanes.Give(&f.turns)
	p.offer()
}

// detach takes the partition away from its feed.
func (p *partition) detach() {
	if p.feed == nil {
		return
	}
	p.feed.forget(p)
	p.feed = nil
	p.lanes.Give(nil)
}

// offer has p read by its feed, if there is something to read and room for it. It is to be called when any of that may have changed.
func (p *partition) offer() {
	if k := p.park; k != nil && (len(k.ready) > 0 || k.troubles.any()) && !k.listed && p.feed != nil {
		k.listed = true
		p.feed.parked = append(p.feed.parked, p)
	}
	if p.unread && p.broken == nil && !p.listed && !p.reading && p.feed != nil && p.room() {
		p.listed = true
		p.feed.unread = append(p.feed.unread, p)
	}
}

// room tells whether p may hold more.
func (p *partition) room() bool {
	if p.window.Len() >= windowRecords || p.window.Bytes() >= windowBytes {
		return false
	}
	if p.group.order != queue.ByPartition {
		return true
	}
	if p.parked() > 0 { // by members of another order: it comes first
		return false
	}
	queued := p.lanes.Queued()
	return queued.Items < p.group.ahead.Items && queued.Bytes < p.group.ahead.Bytes
}

// add takes in what was read from window.Next on, as far as there is room. It is true if that was all.
func (p *partition) add(got *piece) bool {
	for i := range got.records {
		if p.window.Len() >= windowRecords {
			p.unread = true
			return false
		}
		p.addRecord(&got.records[i], got.slab)
	}
	p.window.Advance(got.next)
	return true
}

func (p *partition) addRecord(r *storage.Record, s *slab) {
	slot, fresh := p.window.Add(r.Offset, r.Size())
	if !fresh {
		return
	}
	it := p.group.set.Item()
	it.Value = message{partition: p, track: &p.track, offset: r.Offset, record: *r, slot: slot, slab: s}
	if s != nil {
		s.held++
	}
	it.Seq, it.Size = r.Offset, r.Size()
	if f, failed := p.window.Failure(r.Offset); failed {
		it.Value.attempts, it.Value.suspect = f.Attempts, decodeNote(f.Note).crashes > 0
		it.Due = p.group.engine.due(f.Due)
	}
	key := r.Key
	switch order := p.group.order; {
	case order == queue.ByPartition:
		key = nil
	case order == queue.Unordered || key == nil:
		p.lanes.AddLone(it)
		return
	case p.park != nil && len(p.park.units) > 0:
		if u := p.park.units[p.group.set.Key(key)]; u != nil {
			u.follow(it)
			return
		}
	}
	if it.Due > 0 && p.owner != nil && p.owner.Group.Failure.WhileRetry == queue.PassKey {
		p.lanes.AddAside(key, it)
		return
	}
	p.lanes.Add(key, it)
}

// due returns the time of a wall clock, in Unix nanoseconds, on the engine's clock; 0 if it is past.
func (e *engine) due(wall int64) time.Duration {
	wait := time.Until(time.Unix(0, wall))
	if wall == 0 || wait <= 0 {
		return 0
	}
	return e.now() + wait
}

// rewind forgets what was read and is not done. Nothing may be in flight.
func (p *partition) rewind() {
	p.epoch++
	p.lanes.Clear()
	p.window.Rewind()
	if p.park != nil {
		p.park.rewind()
	}
}

// restart sets the cursor, wherever it was, and drops what is parked. Nothing may be in flight, or being parked.
func (p *partition) restart(s *frontier.State) {
	p.epoch++
	p.lanes.Clear()
	p.window.Restore(s)
	p.sure = s.Floor
	p.unread = true
	p.touch()
	if p.park != nil {
		p.park.drop()
	}
	p.recount()
}

// failed remembers a failed attempt and its cause. It returns when the next may be.
func (p *partition) failed(it *lanes.Item[message], after time.Duration, cause string) (due time.Duration) {
	m := &it.Value
	if m.attempts++; m.attempts == 0 {
		m.attempts--
	}
	now := time.Now()
	before, _ := m.track.window.Failure(m.offset)
	n := decodeNote(before.Note)
	if n.first == 0 {
		n.first = now.UnixNano()
	}
	n.cause = cause
	f := frontier.Failure{Offset: m.offset, Attempts: m.attempts, Note: n.encode()}
	if after > 0 {
		f.Due = now.Add(after).UnixNano()
		due = p.group.engine.now() + after
	}
	m.track.window.Fail(f)
	m.track.touch()
	return due
}
