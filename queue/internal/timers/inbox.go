package timers

import (
	"container/heap"
	"errors"

	"github.com/leatmq/leat/storage"
)

// ref is what is kept in memory of a record of the inbox that is not done.
type ref struct {
	Key
	offset int64
	size   int32
	first  storage.PartitionID
	grave  bool
	done   bool
	flush  *job // that writes it to a run; it is in there as well when that ends
}

// inbox is what is known of the inbox.
type inbox struct {
	next   int64              // up to here it was read
	order  []*ref             // by offset, from the first that is not done on
	live   int                // how many of them are not done
	byKey  map[Key]*ref       // messages that are not done
	graves map[Key]*ref       // tombstones that are not done, of messages in runs
	heap   refs               // what is not done and not held
	bytes  int64              // of what is not done
	dead   int64              // of what is done, from the first in order on
	moved  map[int64]struct{} // offsets behind next of what was moved back here: it was never counted as gone
}

func newInbox(next int64) inbox {
	return inbox{next: next, byKey: map[Key]*ref{}, graves: map[Key]*ref{}, moved: map[int64]struct{}{}}
}

// refs is a heap by key.
type refs []*ref

func (h refs) Len() int           { return len(h) }
func (h refs) Less(i, j int) bool { return h[i].Compare(h[j].Key) < 0 }
func (h refs) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *refs) Push(r any)        { *h = append(*h, r.(*ref)) }
func (h *refs) Pop() any {
	old := *h
	last := len(old) - 1
	r := old[last]
	old[last] = nil
	*h = old[:last]
	return r
}

const readBytes = 256 << 10 // of one read

// intake reads a piece of what came. It is true if there is more, and room for it.
func (x *Index) intake() (more bool, err error) {
	in := &x.inbox
	if in.next >= x.must && in.live-x.heldRefs() >= 2*x.o.References {
		return false, nil // a run is being written
	}
	rs, next, err := x.store.ReadInto(x.records[:0], &x.buf, x.inboxID, in.next, readBytes)
	if err != nil {
		return false, err
	}
	for i := range rs {
		if r := &rs[i]; !x.ledger.has(r.Offset) {
			err = errors.Join(err, x.take(r))
		}
	}
	in.next = next
	more = len(rs) > 0
	clear(rs)
	x.records = rs[:0]
	x.settleFloor()
	return more, err
}

// take takes in a record of the inbox.
func (x *Index) take(r *storage.Record) error {
	in := &x.inbox
	e, _, err := open(r.Headers)
	if err != nil {
		x.finish(r.Offset)
		return err
	}
	n := &ref{Key: e.key(r.Offset), offset: r.Offset, size: int32(r.Size()), first: e.First, grave: e.grave}
	if _, counted := in.moved[r.Offset]; counted {
		delete(in.moved, r.Offset)
	} else {
		x.tally(n.first, n.worth())
	}
	if !n.grave {
		in.byKey[n.Key] = n
		in.add(n)
		return nil
	}
	if victim := in.byKey[n.Key]; victim != nil && !victim.flush.keeps(n.Key) { // it is only here
		in.drop(victim)
		x.finish(victim.offset, n.offset)
		return nil
	}
	in.graves[n.Key] = n
	in.add(n)
	return nil
}

// moveBack notes what was appended to the inbox again.
func (in *inbox) moveBack(rs []storage.Record) {
	for i := range rs {
		in.moved[rs[i].Offset] = struct{}{}
	}
}

func (in *inbox) add(r *ref) {
	in.order = append(in.order, r)
	in.live++
	in.bytes += int64(r.size)
	heap.Push(&in.heap, r)
}

// drop forgets what is done. It may stand in the heap still.
func (in *inbox) drop(r *ref) {
	r.done = true
	in.live--
	in.bytes -= int64(r.size)
	in.dead += int64(r.size)
	if r.grave {
		delete(in.graves, r.Key)
	} else {
		delete(in.byKey, r.Key)
	}
}

// finish notes that offsets are done, which is stored with the next ledger.
func (x *Index) finish(offsets ...int64) {
	x.ledger.finish(offsets...)
	x.unsaved += len(offsets)
}

// settleFloor raises the floor to what is not done, over offsets that nothing has.
func (x *Index) settleFloor() {
	in := &x.inbox
	for len(in.order) > 0 && in.order[0].done {
		in.dead -= int64(in.order[0].size)
		in.order[0] = nil
		in.order = in.order[1:]
	}
	if len(in.order) > 0 {
		x.ledger.raise(in.order[0].offset)
	} else {
		x.ledger.raise(in.next)
	}
}

// head returns the least of what is in memory, nil if there is nothing.
func (in *inbox) head() *ref {
	for len(in.heap) > 0 && in.heap[0].done {
		heap.Pop(&in.heap)
	}
	if len(in.heap) == 0 {
		return nil
	}
	return in.heap[0]
}
