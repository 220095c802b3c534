package disk

import (
	"cmp"
	"slices"

	"github.com/leatmq/leat/storage/internal/frame"
)

// pin keeps the slots of a ring from a sequence number on, for somebody who reads behind the committer. It is given up, for good until the next pin, when it
// keeps more than its bound, and when the committer would have to wait for it.
type pin struct {
	from  uint64 // 0: none
	bound int64  // bytes of slots that a checkpoint would have freed
	lost  bool   // it was given up
}

// hold pins the slots from seq on: what was pinned in front of it may be freed. It returns false if the pin was given up since it was last begun.
func (r *ring) hold(seq uint64, bound int64, begin bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if begin {
		r.pinned.lost = false
	}
	if r.pinned.lost {
		return false
	}
	r.pinned.from, r.pinned.bound = seq, bound
	r.free()
	return true
}

// letGo ends the pin.
func (r *ring) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pinned = pin{}
	r.free()
}

// free frees the slots that no checkpoint needs and nobody pins. mu is held.
func (r *ring) free() {
	below := r.floor
	if p := &r.pinned; p.from != 0 && p.from < below {
		kept := int64(0)
		for _, s := range r.slots {
			if s.seq >= p.from && s.seq < below {
				kept += s.size
			}
		}
		if kept <= p.bound {
			below = p.from
		} else {
			p.from, p.lost = 0, true
		}
	}
	for _, s := range r.slots {
		if s.seq != 0 && s.seq < below {
			s.seq = 0
		}
	}
	r.changed.Broadcast()
}

// giveUp frees what is pinned, since the committer waits. It returns false if nothing is. mu is held.
func (r *ring) giveUp() bool {
	if r.pinned.from == 0 || r.pinned.from >= r.floor {
		return false
	}
	r.pinned.from, r.pinned.lost = 0, true
	r.free()
	return true
}

// inUse returns the slots in use, in the order of their use, as they are now.
func (r *ring) inUse() []slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []slot
	for _, s := range r.slots {
		if s.seq != 0 && s.first != 0 {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b slot) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.seq, b.seq)) })
	return all
}

// nextUse is the sequence number of the next slot that is taken into use.
func (r *ring) nextUse() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq := uint64(0)
	for _, s := range r.slots {
		seq = max(seq, s.seq)
	}
	return seq + 1
}

// durable is up to where the journal is durable, be it by its own syncs or because a checkpoint has it.
func (st *Store) durable() frame.LSN {
	j := st.journal
	j.mu.Lock()
	synced := j.synced
	j.mu.Unlock()
	return max(synced, frame.LSN(st.keeper.applied.Load()))
}
