package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"
)

// ID stands for the text of an ID: the first half of its SHA-256.
type ID [16]byte

// Of returns what stands for text.
func Of(text string) ID {
	var b [256]byte
	sum := sha256.Sum256(append(b[:0], text...))
	return ID(sum[:16])
}

// home is where a table of that mask looks for id first.
func (id *ID) home(mask uint32) uint32 { return binary.LittleEndian.Uint32(id[:]) & mask }

// Entry is what is remembered of an ID: the place of its message, and when it came, in nanoseconds on the clock of the table's owner.
type Entry struct {
	ID        ID
	Born      int64
	Offset    int64
	Partition int32
}

// Table remembers entries in the order in which they were added. It forgets the oldest when there are more than its limit, and finds none that are
// as old as its window. An entry takes about 50 bytes, and nothing that the collector of garbage has to look at. A Table is not for concurrent use.
type Table struct {
	limit  int
	window int64

	ring  []Entry // a ring of len(ring), from head on
	head  int
	count int
	first uint64 // the number of the entry at head; numbers grow by one
	// slots is a hash table with open addressing of positions in ring, plus one; 0: free. Invariant: len(slots) is a power of two, at least twice
	// len(ring).
	slots []uint32
}

// NewTable returns an empty table.
func NewTable(limit int, window time.Duration) *Table {
	return &Table{limit: limit, window: int64(window)}
}

// Len is how many entries take memory, those included that are too old.
func (t *Table) Len() int { return t.count }

// First is the number of the oldest entry, Next that of the one that will be added next.
func (t *Table) First() uint64 { return t.first }

// Next is the number of the entry that will be added next.
func (t *Table) Next() uint64 { return t.first + uint64(t.count) }

// At returns the entry of a number from First up to Next.
func (t *Table) At(number uint64) *Entry { return &t.ring[t.position(int(number-t.first))] }

func (t *Table) position(nth int) int {
	if at := t.head + nth; at < len(t.ring) {
		return at
	}
	return t.head + nth - len(t.ring)
}

// Find returns the entry of id, unless it is too old.
func (t *Table) Find(id ID, now int64) (Entry, bool) {
	if e := t.live(&id, now); e != nil {
		return *e, true
	}
	return Entry{}, false
}

// Move gives the entry of id another place. It keeps its turn to be forgotten, and is as young as born says if it was older. It does nothing if there is no entry that Find finds.
func (t *Table) Move(id ID, partition int32, offset, born, now int64) {
	if e := t.live(&id, now); e != nil {
		e.Partition, e.Offset, e.Born = partition, offset, max(e.Born, born)
	}
}

// dropped is the Born of an entry that is found no more: older than any window.
const dropped = math.MinInt64 / 2

// Drop has id forgotten. Its entry takes its memory, and counts for the limit, until it would have been forgotten anyhow.
func (t *Table) Drop(id ID, now int64) {
	if e := t.live(&id, now); e != nil {
		e.Born = dropped
	}
}

// Dropped tells whether e, from At, was.
func (e *Entry) Dropped() bool { return e.Born == dropped }

// live returns the entry that Find finds.
func (t *Table) live(id *ID, now int64) *Entry {
	if t.count == 0 {
		return nil
	}
	slot, found := t.slot(id)
	if !found {
		return nil
	}
	if e := &t.ring[t.slots[slot]-1]; now-e.Born < t.window {
		return e
	}
	return nil
}

// slot returns where id is in slots, or else where it would be.
func (t *Table) slot(id *ID) (slot uint32, found bool) {
	mask := uint32(len(t.slots) - 1)
	for slot = id.home(mask); t.slots[slot] != 0; slot = (slot + 1) & mask {
		if t.ring[t.slots[slot]-1].ID == *id {
			return slot, true
		}
	}
	return slot, false
}

// Add adds e, in place of an entry with its ID.
func (t *Table) Add(e Entry) {
	for n := 0; n < 2 && t.count > 0 && e.Born-t.ring[t.head].Born >= t.window; n++ { // two for one, so that what is too old does not stay
		t.pop()
	}
	if t.count == t.limit {
		t.pop()
	}
	if t.count == len(t.ring) {
		t.resize(min(max(2*t.count, 64), t.limit))
	}
	at := t.position(t.count)
	t.ring[at] = e
	slot, _ := t.slot(&e.ID)
	t.slots[slot] = uint32(at + 1)
	t.count++
}

// pop forgets the oldest entry.
func (t *Table) pop() {
	e := &t.ring[t.head]
	if slot, found := t.slot(&e.ID); found && t.slots[slot] == uint32(t.head+1) { // else a later one has its ID
		t.free(slot)
	}
	*e = Entry{}
	t.head = t.position(1)
	t.count--
	t.first++
}

// free empties a slot, and moves those behind it that would not be found any more.
func (t *Table) free(slot uint32) {
	mask := uint32(len(t.slots) - 1)
	for next := slot; ; {
		t.slots[slot] = 0
		for {
			next = (next + 1) & mask
			if t.slots[next] == 0 {
				return
			}
			home := t.ring[t.slots[next]-1].ID.home(mask)
			if (next-home)&mask >= (next-slot)&mask { // it may stand at slot
				break
			}
		}
		t.slots[slot] = t.slots[next]
		slot = next
	}
}

// resize gives the ring room for n entries.
func (t *Table) resize(n int) {
	ring := make([]Entry, n)
	for i := range t.count {
		ring[i] = t.ring[t.position(i)]
	}
	size := 128
	for size < 2*n {
		size *= 2
	}
	t.ring, t.head, t.slots = ring, 0, make([]uint32, size)
	for i := range t.count {
		slot, _ := t.slot(&ring[i].ID)
		t.slots[slot] = uint32(i + 1)
	}
}

// Expire forgets what is too old, and gives memory back that is not needed any more.
func (t *Table) Expire(now int64) {
	for t.count > 0 && now-t.ring[t.head].Born >= t.window {
		t.pop()
	}
	if len(t.ring) > 64 && t.count < len(t.ring)/4 {
		t.resize(min(max(2*t.count, 64), t.limit))
	}
}

// Limit changes the bounds. What they forbid is forgotten, and what the bounds before them forbade does not come back.
func (t *Table) Limit(limit int, window time.Duration, now int64) {
	t.Expire(now)
	t.limit, t.window = limit, int64(window)
	for t.count > limit {
		t.pop()
	}
	if len(t.ring) > limit {
		t.resize(limit)
	}
	t.Expire(now)
}
