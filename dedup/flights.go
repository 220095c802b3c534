package dedup

// flights is the keys that are in flight, each with the ticket of who has it: a table with linear probing. A Go map would hash a key four times, to look, insert, look and delete; here the hash comes with
// it, and to take and to end probe once each. The zero value is empty.
type flights struct {
	slots []seat // a power of two, or none
	count int
}

// seat is a slot of flights.
type seat struct {
	key    Key
	ticket uint64 // 0: the slot is free
	hash   uint32
}

const firstFlights = 16

// take gives k a ticket, unless it has one.
func (t *flights) take(k *Key, hash uint32, ticket uint64) (taken bool) {
	if t.count >= len(t.slots)/8*7 {
		t.grow()
	}
	i := t.find(k, hash)
	if t.slots[i].ticket != 0 {
		return false
	}
	t.slots[i] = seat{*k, ticket, hash}
	t.count++
	return true
}

// has tells whether k has a ticket.
func (t *flights) has(k *Key, hash uint32) bool {
	return t.count > 0 && t.slots[t.find(k, hash)].ticket != 0
}

// end takes the ticket of k away, if it is this one.
func (t *flights) end(k *Key, hash uint32, ticket uint64) bool {
	if t.count == 0 {
		return false
	}
	i := t.find(k, hash)
	if t.slots[i].ticket != ticket {
		return false
	}
	t.count--
	t.free(i)
	return true
}

// find returns where k is, or the free slot where it would be.
func (t *flights) find(k *Key, hash uint32) int {
	mask := len(t.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.ticket == 0 || s.hash == hash && s.key == *k {
			return i
		}
	}
}

// free empties a slot, and moves those behind it up that would not be found any more.
func (t *flights) free(i int) {
	mask := len(t.slots) - 1
	for j := (i + 1) & mask; t.slots[j].ticket != 0; j = (j + 1) & mask {
		if home := int(t.slots[j].hash) & mask; (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = seat{}
}

func (t *flights) grow() {
	old := t.slots
	t.slots = make([]seat, max(firstFlights, 2*len(old)))
	for i := range old {
		if s := &old[i]; s.ticket != 0 {
			t.slots[t.find(&s.key, s.hash)] = *s
		}
	}
}
