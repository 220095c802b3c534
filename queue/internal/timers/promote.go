package timers

import (
	"container/heap"
	"errors"
	"slices"
	"time"

	"github.com/leatmq/leat/storage"
)

// What one step moves: enough to be quick when much is due, and little enough that others get in between.
const (
	stepRecords = 512
	stepBytes   = 1 << 20
)

// hold keeps the messages of a topic that is full.
type hold struct {
	until time.Time // then they are tried again
	refs  []*ref
}

// maxHeld bounds what is kept for topics that are full while the others go on.
const maxHeld = 1024

// carefulFor is how many steps move a single message after one had no room, so that it shows whose target is full.
const carefulFor = 64

// step is one entry: what is moved, and the ledger without it.
type step struct {
	items   []item
	told    []Message
	entry   storage.Entry
	ledger  ledger
	refile  []int // of items: back to the inbox, since their targets are full
	bytes   int64
	batchOf map[storage.PartitionID]int
}

// promote moves some of what is due. It is true if it did.
func (x *Index) promote() (bool, error) {
	if x.loading || x.inbox.next < x.must || time.Now().Before(x.heldAll) {
		return false, nil
	}
	x.letGo()
	s := &step{batchOf: map[storage.PartitionID]int{}}
	err := x.pick(s)
	if len(s.items) == 0 {
		return false, err
	}
	if err == nil {
		err = x.gatherer.gather(x, s.items)
	}
	if err == nil {
		x.place(s)
		err = x.move(s)
	}
	if err != nil {
		x.restore(s)
		err = x.refused(s, err)
		return err == nil, err
	}
	x.careful = max(0, x.careful-1)
	if len(s.told) > 0 {
		x.o.Told(s.told)
	}
	return true, nil
}

// move stores a step and counts it: whoever asks for figures in between waits for the count, since readers have the messages before it.
func (x *Index) move(s *step) error {
	x.beginStep()
	defer x.endStep()
	left := func(error) {}
	if x.o.Leave != nil {
		left = x.o.Leave(s.told)
	}
	err := x.commit(s)
	left(err)
	if err == nil && len(s.told) > 0 {
		if x.o.Count != nil {
			x.o.Count(s.told)
		}
		x.show()
	}
	return err
}

// least returns the least due time of what is not done, and of what is not held; 0: none.
func (x *Index) least() (all, free int64) {
	if r := x.inbox.head(); r != nil {
		free = r.Due
	}
	for _, r := range x.runs {
		if r.known && (free == 0 || r.head.Due < free) {
			free = r.head.Due
		}
	}
	all = free
	for _, h := range x.held {
		for _, r := range h.refs {
			if !r.done && (all == 0 || r.Due < all) {
				all = r.Due
			}
		}
	}
	return all, free
}

// pick takes what is due, the least first.
func (x *Index) pick(s *step) error {
	now, most := x.now(), stepRecords
	if x.careful > 0 {
		most = 1
	}
	for len(s.items) < most && s.bytes < stepBytes {
		key, ok, err := x.first()
		if err != nil || !ok || key.Due > now {
			return err
		}
		from := len(s.items)
		if r := x.inbox.head(); r != nil && r.Key == key {
			for r = x.inbox.head(); r != nil && r.Key == key; r = x.inbox.head() { // both a message and its tombstone, if it is being written to a run
				heap.Pop(&x.inbox.heap)
				s.items = append(s.items, item{Key: key, ref: r, envelope: envelope{Envelope: Envelope{First: r.first}, grave: r.grave}})
			}
		}
		for _, r := range x.runs {
			for {
				if ok, err := r.peek(); err != nil || !ok || r.head.Key != key {
					break // what could not be read has another key, or first would have said so
				}
				s.items = append(s.items, r.pop())
			}
		}
		once(s.items[from:])
		_, grave := present(s.items[from:])
		for i := range s.items[from:] {
			it := &s.items[from+i]
			it.skipped = it.skipped || grave
			it.parked = !grave && it.ref != nil && x.held[it.First] != nil
			if it.ref != nil {
				s.bytes += int64(it.ref.size)
			} else {
				s.bytes += int64(it.record.Size())
			}
		}
	}
	return nil
}

// once has what is there twice of one key, see rebuild, be moved once, and counted as it was.
func once(same []item) {
	if len(same) == 1 {
		return
	}
	moved, ran := false, map[bool]bool{}
	for i := range same {
		it := &same[i]
		if it.ref == nil {
			it.again = ran[it.grave]
			ran[it.grave] = true
		}
		it.skipped = !it.grave && moved
		moved = moved || !it.grave
	}
}

// first returns the least key of all.
func (x *Index) first() (least Key, ok bool, err error) {
	if r := x.inbox.head(); r != nil {
		least, ok = r.Key, true
	}
	for _, r := range x.runs {
		some, failed := r.peek()
		if failed != nil {
			return Key{}, false, failed // not known whether it has what is less
		}
		if some && (!ok || r.head.Compare(least) < 0) {
			least, ok = r.head.Key, true
		}
	}
	return least, ok, nil
}

// place puts the messages of a step where they go.
func (x *Index) place(s *step) {
	s.told = make([]Message, 0, len(s.items))
	for i := range s.items {
		it := &s.items[i]
		if it.skipped || it.parked {
			continue
		}
		if x.held[it.First] != nil {
			it.back = true
			s.refile = append(s.refile, i)
			continue
		}
		m := Message{Envelope: it.Envelope, ID: x.name(it.Key), Record: it.record}
		m.Record.Offset, m.Record.Appended = 0, time.Time{}
		m.To = x.o.Place(&m)
		if m.Fate == Deliver {
			s.add(m.To, m.Record)
		}
		s.told = append(s.told, m)
	}
	for _, i := range s.refile {
		s.add(x.inboxID, s.items[i].keyedRecord())
	}
}

// keyedRecord returns the record of it as it stands in a run, or in the inbox when it was there before.
func (it *item) keyedRecord() storage.Record {
	e := it.envelope
	e.keyedAs(it.Key)
	r := it.record
	r.Headers = append(appendEnvelope(nil, &e), r.Headers...)
	return r
}

func (s *step) add(p storage.PartitionID, r storage.Record) {
	n, ok := s.batchOf[p]
	if !ok {
		n = len(s.entry.Batches)
		s.entry.Batches = append(s.entry.Batches, storage.Batch{Partition: p})
		s.batchOf[p] = n
	}
	b := &s.entry.Batches[n]
	b.Records = append(b.Records, r)
}

// commit stores a step, and then has it so.
func (x *Index) commit(s *step) error {
	s.ledger = x.ledger.clone()
	var offsets []int64
	ends := map[*run]int64{}
	for i := range s.items {
		it := &s.items[i]
		switch {
		case it.ref == nil:
			ends[it.run] = it.record.Offset + 1
			s.ledger.count(it.First, it.worth())
		case !it.parked:
			offsets = append(offsets, it.ref.offset)
		}
	}
	if len(offsets) > 0 || len(ends) > 0 {
		s.ledger.finish(offsets...)
		s.ledger.advance(ends)
		lost := s.ledger.lost()
		if err := x.save(&s.entry, &s.ledger); err != nil {
			return err
		}
		for first, n := range lost {
			x.tally(first, -n)
		}
	}
	if n, ok := s.batchOf[x.inboxID]; ok {
		x.inbox.moveBack(s.entry.Batches[n].Records)
	}
	s.positions()
	for i := range s.items {
		x.settle(&s.items[i])
	}
	for r, at := range ends {
		r.at = at
	}
	x.runs = slices.DeleteFunc(x.runs, func(r *run) bool { return r.at >= r.to })
	x.freed += s.bytes
	x.settleFloor()
	return nil
}

// lost has what was counted and not found, since it was damaged and is given up, not counted for ever.
func (l *ledger) lost() map[storage.PartitionID]int64 {
	if len(l.runs) > 0 {
		return nil
	}
	lost := l.ran
	l.ran = map[storage.PartitionID]int64{}
	return lost
}

// worth is what an item of a run adds to the counts when it goes.
func (it *item) worth() int64 {
	switch {
	case it.again:
		return 0
	case it.grave:
		return 1
	}
	return -1
}

// advance moves runs on, and forgets those that are done.
func (l *ledger) advance(ends map[*run]int64) {
	for r, at := range ends {
		for i := range l.runs {
			if l.runs[i].slot == r.slot {
				l.runs[i].at = at
			}
		}
	}
	l.runs = slices.DeleteFunc(l.runs, func(s span) bool { return s.at >= s.to })
}

// settle takes what is done out of what is known.
func (x *Index) settle(it *item) {
	from := it.run
	switch {
	case from != nil:
		if from.job != nil {
			from.job.pass(it.Key)
		}
		if !it.back {
			x.tally(it.First, it.worth())
		}
		return
	case it.ref.flush != nil:
		it.ref.flush.pass(it.Key)
	}
	if it.parked {
		h := x.held[it.First]
		h.refs = append(h.refs, it.ref)
		return
	}
	x.inbox.drop(it.ref)
	x.tally(it.First, it.worth())
}

// positions tells the messages where they are.
func (s *step) positions() {
	at := map[storage.PartitionID]int{}
	for i := range s.told {
		m := &s.told[i]
		if m.Fate != Deliver {
			continue
		}
		n := at[m.To]
		at[m.To] = n + 1
		r := &s.entry.Batches[s.batchOf[m.To]].Records[n]
		m.Record.Offset, m.Record.Appended = r.Offset, r.Appended
	}
}

// save appends an entry with the ledger as it is then, and takes it over.
func (x *Index) save(e *storage.Entry, l *ledger) error {
	e.MakesRoom = true
	e.Batches = append(e.Batches, storage.Batch{Partition: x.ledgerID, Records: []storage.Record{{Value: l.append(nil)}}})
	if _, err := x.store.Append(x.ctx, e); err != nil {
		return err
	}
	x.newest, x.firm = e.Batches[len(e.Batches)-1].Records[0].Offset, l.floor
	x.ledger = *l
	x.unsaved = 0
	x.stored++
	return nil
}

// restore gives back what a step took.
func (x *Index) restore(s *step) {
	for i := range s.items {
		if it := &s.items[i]; it.ref != nil {
			heap.Push(&x.inbox.heap, it.ref)
		} else {
			it.run.rewind()
		}
	}
}

// refused says what comes of a step that could not be stored. What is in nobody's hand is tried again.
func (x *Index) refused(s *step, err error) error {
	switch {
	case x.over(err):
		return err
	case !errors.Is(err, storage.ErrFull) || errors.Is(err, storage.ErrNoSpace):
	case x.careful == 0 && len(s.items) > 1:
		x.careful = carefulFor
		return nil
	case len(s.told) == 1 && s.told[0].Fate == Deliver && x.heldRefs() < maxHeld:
		x.held[s.told[0].First] = &hold{until: time.Now().Add(retryAfter)}
		return nil
	}
	x.heldAll = time.Now().Add(retryAfter)
	return err
}

func (x *Index) heldRefs() int {
	n := 0
	for _, h := range x.held {
		n += len(h.refs)
	}
	return n
}

// letGo has what was held tried again, when it is time.
func (x *Index) letGo() {
	full := x.heldRefs() >= maxHeld
	for first, h := range x.held {
		if time.Now().Before(h.until) {
			continue
		}
		for _, r := range h.refs {
			if !r.done {
				heap.Push(&x.inbox.heap, r)
			}
		}
		delete(x.held, first)
		x.careful = max(x.careful, 1)
	}
	if full && len(x.held) > 0 {
		x.heldAll = time.Now().Add(retryAfter) // nothing more is taken out before there is room for it
	}
}
