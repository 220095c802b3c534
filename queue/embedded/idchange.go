package embedded

import (
	"errors"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/ledger"
	"github.com/leatmq/leat/queue/internal/timers"
	"github.com/leatmq/leat/storage"
)

// A message that waits comes to its topic, or its timer is cancelled or moved. While that is being stored, whoever wants to know of its ID waits. If the table is not made yet, nothing
// has to be done but to tell who makes it that the logs have more.

// change is what is about to become of an ID whose message is delayed.
type change struct {
	ids        *ids
	id         ledger.ID
	flight     *flight
	generation uint64
}

// begin has those wait who want to know of id, until the change ends.
func (s *ids) begin(id ledger.ID, f *flight) change {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changing[id] == nil {
		s.changing[id] = f
	}
	s.alive[s.generation]++
	return change{s, id, f, s.generation}
}

// end notes what became of the change: by then if it is stored, and the table is there. The caller ends the flight.
func (c *change) end(err error, then func()) {
	s := c.ids
	if err == nil && s.loaded() {
		then()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changing[c.id] == c.flight {
		delete(s.changing, c.id)
	}
	if !errors.Is(err, storage.ErrIndeterminate) { // else what is stored from here on is read again at the next open
		s.left(c.generation)
	}
}

// loaded tells whether the table is there. If it is being made, the logs are read again.
func (s *ids) loaded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ready := s.ready.Load()
	s.stale = s.stale || !ready
	return ready
}

// waitsUnder returns the entry of id if its message waits under t, or did before it was moved.
func (s *ids) waitsUnder(id ledger.ID, t queue.TimerID) (e ledger.Entry, ok bool, err error) {
	s.mu.Lock()
	e, ok = s.table.Find(id, int64(s.engine.now()))
	s.mu.Unlock()
	if !ok || e.Partition != partWaiting {
		return e, false, nil
	}
	have, err := s.timerAt(e.Offset)
	return e, err == nil && sameTimer(have, t), err
}

// altered notes that the timer of a message that waits was moved or cancelled, as the record at offset says, if the table has the message.
func (s *ids) altered(id ledger.ID, t queue.TimerID, says byte, offset int64) error {
	e, ok, err := s.waitsUnder(id, t)
	if !ok || err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := int64(s.engine.now())
	if have, still := s.table.Find(id, now); !still || have != e {
		return nil // it was forgotten
	}
	if says == wasCancelled {
		s.table.Drop(id, now)
		e.Partition = partEnded
		s.note(e)
		return nil
	}
	e.Offset = offset
	s.merge(e, ofWaiting)
	return nil
}

// origin is where an entry comes from.
type origin int

const (
	ofIndex   origin = iota // it is written there
	ofNote                  // the same, of a message that was known while it waited
	ofMessage               // which was stored in a log
	ofWaiting               // of a message that was known while it waited
)

// merge adds e, unless the ID is known. An entry of a message that waits gives way to what came of it; and if that one is forgotten, what came of it is, too. mu is held.
func (s *ids) merge(e ledger.Entry, from origin) {
	now := int64(s.engine.now())
	switch have, known := s.table.Find(e.ID, now); {
	case !known && (from == ofNote || from == ofWaiting && !s.unsettled(e.ID)):
	case !known:
		s.table.Add(e)
	case have.Partition == partWaiting && (e.Partition != partWaiting || e.Offset > have.Offset):
		s.table.Move(e.ID, e.Partition, e.Offset, e.Born, now)
		if e.Born = max(e.Born, have.Born); from >= ofMessage {
			e.Partition += partNoted
			s.note(e)
		}
	}
}

// unsettled tells whether a publish with the ID has not come back, or left open whether it was stored. mu is held.
func (s *ids) unsettled(id ledger.ID) bool {
	_, flies := s.flights[id]
	_, doubted := s.doubts[id]
	return flies || doubted
}

// add adds e, whose publish has come back. Its message may have waited, and be in its topic already. mu is held.
func (s *ids) add(e ledger.Entry) {
	now := int64(s.engine.now())
	if have, known := s.table.Find(e.ID, now); known && e.Partition == partWaiting {
		s.table.Move(e.ID, have.Partition, have.Offset, e.Born, now)
		return
	}
	s.table.Add(e)
}

// note has e written to the index, though it has no number of its own. mu is held.
func (s *ids) note(e ledger.Entry) {
	if s.engine.kind == onDisk && !s.topic.volatile {
		s.notes = append(s.notes, e)
	}
}

// idsFor returns the IDs of the topic of m that are to know its ID; nil: there are none.
func (d *delays) idsFor(m *timers.Message, id string) *ids {
	t, err := d.engine.topic(m.Topic)
	if id == "" || err != nil || t.First != m.First || t.manner.Load().config.Dedup.Off {
		return nil
	}
	return d.engine.knownIDs(t)
}

// alter says what is stored with the end or the move of the timer of a message with an ID.
func (d *delays) alter(class string, m *timers.Message, to timers.ID) *timers.Aside {
	text, _ := idOf(m.Record.Headers)
	s := d.idsFor(m, text)
	if s == nil {
		return nil
	}
	p, ok := s.waitLog()
	if !ok {
		return nil
	}
	t, says := timerID(class, m.ID), byte(wasCancelled)
	if to != (timers.ID{}) {
		t, says = timerID(class, to), waitsAs
	}
	f, id := newFlight(), ledger.Of(text)
	c := s.begin(id, f)
	return &timers.Aside{Partition: p, Record: waitRecord(says, t, waitHeaders(m.Record.Headers)), Done: func(offset int64, err error) {
		c.end(err, func() { s.altered(id, t, says, offset) }) // if the log cannot be read, the ID stays known: nothing is stored twice
		close(f.ended)
	}}
}

// arrival is the change of an ID whose message comes to its topic.
type arrival struct {
	change
	message int
}

// leave is called before messages come to their topics, and what it returns afterwards.
func (d *delays) leave(ms []timers.Message) func(error) {
	var all []arrival
	var f *flight
	for i := range ms {
		id, ok := idOf(ms[i].Record.Headers)
		if !ok || ms[i].Fate != timers.Deliver {
			continue
		}
		s := d.idsFor(&ms[i], id)
		if s == nil {
			continue
		}
		if f == nil {
			f = newFlight()
		}
		all = append(all, arrival{s.begin(ledger.Of(id), f), i})
	}
	return func(err error) {
		for i := range all {
			m := &ms[all[i].message]
			all[i].end(err, func() { all[i].arrived(m) })
		}
		if f != nil {
			close(f.ended)
		}
	}
}

// arrived notes where the message is.
func (a *arrival) arrived(m *timers.Message) {
	s := a.ids
	born, from := bornOf(&m.Record)
	if n, ok := s.topic.index(m.To); ok {
		s.learn(ledger.Entry{ID: a.id, Born: born, Offset: m.Record.Offset, Partition: int32(n)}, s.clock(), from)
	}
}
