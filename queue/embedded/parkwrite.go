package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/queue/internal/lanes"
	"github.com/leatmq/leat/storage"
)

// What one entry that parks may hold, beyond the first message, and how long the next waits after one that could not be written.
const (
	maxParkRecords = 1 << 10 // a batch, of which all is decoded to read one
	maxParkWrite   = 1 << 20
	parkAgain      = time.Second
)

// parkWrite is one entry that parks messages of a group: copies of them, and the cursors for which they are done where they were.
type parkWrite struct {
	group *group
	moves []move
	more  bool // there are others

	entry  storage.Entry
	placed []int // for each move the batch; the record is the next of it
	state  frontier.State
}

// move is one message that is to be parked.
type move struct {
	unit   *unit
	item   *lanes.Item[message]
	record storage.Record
	gone   bool  // it is not there any more
	damage error // it cannot be read
}

// park has the messages of g that are to be parked written. It may be called with g.mu held.
func (c *committer) park(g *group) {
	c.mu.Lock()
	listed := slices.Contains(c.parking, g)
	if !listed {
		c.parking = append(c.parking, g)
	}
	c.mu.Unlock()
	if listed {
		return
	}
	signal(c.toPark)
}

// parkSome writes one entry for each group that has something to park, and is true if there is more.
func (c *committer) parkSome() (more bool) {
	<-c.engine.flusher.turn
	defer func() { c.engine.flusher.turn <- struct{}{} }()
	c.mu.Lock()
	gs := c.parking
	c.parking = nil
	c.mu.Unlock()
	for _, g := range gs {
		w := &parkWrite{group: g}
		if w.begin() {
			w.end(w.store(c.engine.flusher.ctx))
		}
		tidied := c.tidyParking(g)
		if w.more || tidied {
			c.park(g)
			more = true
		}
	}
	return more
}

// begin chooses the messages.
func (w *parkWrite) begin() bool {
	g := w.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deleted || g.err != nil || len(g.members) == 0 || g.parkAgain > g.engine.now() {
		return false
	}
	g.parkAgain = 0
	records, bytes := g.parkRoom()
	records, bytes = min(records, maxParkRecords), min(bytes, maxParkWrite)
	for _, p := range g.active {
		if p.park == nil || p.gone {
			continue
		}
		for len(p.park.moving) > 0 && records > 0 && bytes > 0 {
			u := p.park.moving[0]
			for u.writing < len(u.followers) && records > 0 && bytes > 0 {
				it := u.followers[u.writing]
				u.writing++
				records--
				bytes -= int64(it.Size)
				w.moves = append(w.moves, move{unit: u, item: it})
			}
			if u.writing < len(u.followers) {
				break
			}
			u.moving = false
			p.park.moving[0] = nil
			p.park.moving = p.park.moving[1:]
		}
		w.more = w.more || len(p.park.moving) > 0
	}
	if len(w.moves) == 0 {
		g.parkFull = g.parkFull || w.more
		w.more = false
		return false
	}
	g.committing++
	return true
}

// parkRoom returns how much more the group may park. It is called with g.mu held.
func (g *group) parkRoom() (records int, bytes int64) {
	records, bytes = g.engine.parkRecords, maxParkedBytes
	for _, p := range g.known {
		if p.park != nil {
			records -= p.park.window.Len()
			bytes -= int64(p.park.window.Bytes())
		}
	}
	return records, bytes
}

// roomToPark has those parked that found no room, if there is enough again. It is called with g.mu held.
func (g *group) roomToPark() {
	if !g.parkFull {
		return
	}
	if records, bytes := g.parkRoom(); records >= g.engine.parkRecords/16 && bytes >= maxParkedBytes/16 {
		g.parkFull = false
		g.engine.committer.park(g)
	}
}

// store writes the entry.
func (w *parkWrite) store(ctx context.Context) error {
	if err := w.topics(ctx); err != nil {
		return err
	}
	if err := w.reread(); err != nil || len(w.moves) == 0 {
		return err
	}
	w.fill()
	w.cursors()
	w.entry.MakesRoom = true
	if _, err := w.group.engine.store.Append(ctx, &w.entry); err != nil {
		return fmt.Errorf("queue: parking messages: %w", translate(err))
	}
	return nil
}

// topics makes what there is not yet of the topics to park in.
func (w *parkWrite) topics(ctx context.Context) error {
	g := w.group
	for i := range w.moves {
		k := w.moves[i].unit.parking
		if k.id != 0 {
			continue
		}
		t, err := g.engine.parkTopic(ctx, g, k.of.topic)
		if err != nil {
			return err
		}
		g.mu.Lock()
		k.id = t.Partition(k.of.number)
		g.mu.Unlock()
	}
	return nil
}

// fill makes the batches.
func (w *parkWrite) fill() {
	batches := map[storage.PartitionID]int{}
	w.placed = make([]int, len(w.moves))
	for i := range w.moves {
		m, k := &w.moves[i], w.moves[i].unit.parking
		if m.gone {
			continue
		}
		n, ok := batches[k.id]
		if !ok {
			n = len(w.entry.Batches)
			batches[k.id] = n
			w.entry.Batches = append(w.entry.Batches, storage.Batch{Partition: k.id})
		}
		w.placed[i] = n
		w.entry.Batches[n].Records = append(w.entry.Batches[n].Records, storage.Record{
			Timestamp: m.record.Timestamp, Key: m.record.Key, Value: m.record.Value, Headers: appendParked(nil, w.knownOf(m), m.record.Headers),
		})
	}
}

// knownOf returns what is to be known of a message where it is parked.
func (w *parkWrite) knownOf(m *move) *parkedState {
	g, msg := w.group, &m.item.Value
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &parkedState{
		origin: msg.record.Offset, appended: msg.record.Appended.UnixNano(), passes: m.unit.passes, attempts: msg.attempts, due: g.engine.wallOf(m.item.Due),
	}
	if f, ok := msg.track.window.Failure(msg.offset); ok {
		s.note = f.Note
	}
	return s
}

// cursors adds those for which the messages are done where they were.
func (w *parkWrite) cursors() {
	g := w.group
	slots := map[*track][]uint64{}
	var order []*track
	for i := range w.moves {
		t := w.moves[i].item.Value.track
		if slots[t] == nil {
			order = append(order, t)
		}
		slots[t] = append(slots[t], w.moves[i].item.Value.slot)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.launch()
	for _, t := range order {
		w.entry.Cursors = t.appendCursors(w.entry.Cursors, &w.state, slots)
	}
}

// end takes note of what became of it.
func (w *parkWrite) end(err error) {
	g := w.group
	g.mu.Lock()
	if err == nil {
		w.parked()
	} else {
		g.parkAgain = g.engine.now() + parkAgain
		w.more = false
		g.arm()
	}
	for i := range w.moves {
		u := w.moves[i].unit
		if u.writing == 0 {
			continue // it was seen to
		}
		if err == nil {
			clear(u.followers[:u.writing])
			u.followers = u.followers[u.writing:]
		} else if !u.moving {
			u.moving = true
			u.parking.moving = append(u.parking.moving, u)
		}
		u.writing = 0
		u.place()
		u.parking.of.offer()
	}
	g.commits(1)
	g.wakeAll()
	g.mu.Unlock()
}

// parked makes refs of the messages that were written.
func (w *parkWrite) parked() {
	g := w.group
	next := make([]int, len(w.entry.Batches))
	for i := range w.moves {
		m := &w.moves[i]
		msg, k := &m.item.Value, m.unit.parking
		msg.track.touch()
		g.toPark.drop(m.item.Size)
		if m.gone {
			if k.of.goneAt(msg.offset) > 0 {
				k.troubles.miss(msg.offset)
			}
			msg.finished()
			g.set.Free(m.item)
			continue
		}
		before := msg.track.window.Size(msg.slot)
		msg.track.window.Done(msg.slot)
		b := w.placed[i]
		r := &w.entry.Batches[b].Records[next[b]]
		next[b]++
		slot, _ := k.window.Add(r.Offset, r.Size())
		if a := k.of.account; a != nil {
			a.parked(k.of.number, int64(r.Size())-before)
		}
		m.unit.insert(ref{
			offset: r.Offset, origin: msg.record.Offset, slot: slot, lane: g.set.Key(r.Key), due: g.engine.wallOf(m.item.Due),
			appended: msg.record.Appended.UnixNano(), size: int32(r.Size()), named: r.Key != nil, passes: m.unit.passes,
		})
		g.set.Free(m.item)
	}
}
