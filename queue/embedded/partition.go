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
	group  *group
	topic  *topic
	number int
	id     storage.PartitionID

	window frontier.Window
	lanes  *lanes.Partition[message]
	dirty  bool // the window is not what the last flush wrote
	epoch  int  // counts how often the window was set anew, so that a read in progress is known to be of before

	feed    *feed // whose receivers read and take; nil: nobody
	unread  bool  // the store may have records from window.Next on
	listed  bool  // in feed.unread
	reading bool  // a receiver reads
	unwatch func()
	gone    bool  // its topic was deleted
	broken  error // why it cannot be read on, and is not offered any more
	sure    int64 // below which nothing is missing that was not told

	owner    *member // that has it, or is taking it over
	heir     *member // that is to get it when owner is done with it
	adopting bool    // owner is taking it over
	revoking bool    // the one before is being told that it lost it
}

// message is a record in a lane.
type message struct {
	partition *partition
	record    storage.Record
	slot      uint64 // in the partition's window
	attempts  uint32 // failed ones
	reload    bool   // the record's bytes belong to a handler that had them: read them again

	token *token // of the hand-over, if it is in flight
	at    int    // then, its index in member.out
}

// token is the right to settle one hand-over, and never used for another.
type token struct {
	member *member
	item   *lanes.Item[message] // guarded by group.mu; nil: settled, or lost
}

// attach lets f have the partition.
func (p *partition) attach(f *feed) {
	if p.broken != nil {
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
	if p.unread && !p.listed && !p.reading && p.feed != nil && p.room() {
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
	queued := p.lanes.Queued()
	return queued.Items < p.group.ahead.Items && queued.Bytes < p.group.ahead.Bytes
}

// add takes in what was read from window.Next up to next, as far as there is room. It is true if that was all.
func (p *partition) add(rs []storage.Record, next int64) bool {
	for i := range rs {
		if p.window.Len() >= windowRecords {
			p.unread = true
			return false
		}
		p.addRecord(&rs[i])
	}
	p.window.Advance(next)
	return true
}

func (p *partition) addRecord(r *storage.Record) {
	slot, fresh := p.window.Add(r.Offset, r.Size())
	if !fresh {
		return
	}
	it := p.group.set.Item()
	it.Value = message{partition: p, record: *r, slot: slot}
	it.Seq, it.Size = r.Offset, r.Size()
	if f, failed := p.window.Failure(r.Offset); failed {
		it.Value.attempts = f.Attempts
		it.Due = p.group.engine.due(f.Due)
	}
	switch order := p.group.order; {
	case order == queue.ByPartition:
		p.lanes.Add(nil, it)
	case order == queue.Unordered || r.Key == nil:
		p.lanes.AddLone(it)
	default:
		p.lanes.Add(r.Key, it)
	}
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
}

// restart sets the cursor, wherever it was. Nothing may be in flight.
func (p *partition) restart(s *frontier.State) {
	p.epoch++
	p.lanes.Clear()
	p.window.Restore(s)
	p.sure = s.Floor
	p.unread = true
	p.touch()
}

// touch has the cursor written at the next flush.
func (p *partition) touch() {
	if p.dirty {
		return
	}
	p.dirty = true
	g := p.group
	g.dirty = append(g.dirty, p)
	if len(g.dirty) == 1 {
		g.engine.flusher.add(g)
	}
}

// failed remembers a failed attempt. It returns when the next may be.
func (p *partition) failed(it *lanes.Item[message], after time.Duration) (due time.Duration) {
	m := &it.Value
	if m.attempts++; m.attempts == 0 {
		m.attempts--
	}
	f := frontier.Failure{Offset: m.record.Offset, Attempts: m.attempts}
	if after > 0 {
		f.Due = time.Now().Add(after).UnixNano()
		due = p.group.engine.now() + after
	}
	p.window.Fail(f)
	return due
}
