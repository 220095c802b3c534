package timers

import (
	"sort"

	"github.com/leatmq/leat/storage"
)

// run is a run that is read from its beginning.
type run struct {
	index *Index
	span
	job *job // that merges it with others

	ahead []storage.Record // what was read and is not taken
	next  int64            // up to here
	head  item             // the first of ahead, if known
	known bool
}

// item is a message or tombstone on its way out.
type item struct {
	Key
	envelope
	record  storage.Record // with the headers of the message only
	ref     *ref           // where it comes from: the inbox
	run     *run           // or a run
	skipped bool           // a tombstone, or what it is for, or what is there twice
	again   bool           // another run has it too, and it counts once
	parked  bool           // its target is full
	back    bool           // so it goes from a run back to the inbox
}

const aheadBytes = 128 << 10 // of one read of a run

// peek finds the first that is not taken; false if there is none.
func (r *run) peek() (bool, error) {
	if r.known {
		return true, nil
	}
	for len(r.ahead) == 0 {
		if r.next >= r.to {
			return false, nil
		}
		rs, next, err := r.index.store.Read(nil, r.index.runTopic.Partition(r.slot), r.next, aheadBytes)
		if err != nil {
			return false, err
		}
		if len(rs) == 0 {
			next = r.to
		}
		for len(rs) > 0 && rs[len(rs)-1].Offset >= r.to {
			rs = rs[:len(rs)-1]
		}
		r.ahead, r.next = rs, next
	}
	rec := r.ahead[0]
	e, rest, err := open(rec.Headers)
	if err != nil {
		return false, err
	}
	rec.Headers = rest
	r.head, r.known = item{Key: e.key(rec.Offset), envelope: e, record: rec, run: r}, true
	return true, nil
}

// pop takes what peek found.
func (r *run) pop() item {
	r.known = false
	r.ahead = r.ahead[1:]
	return r.head
}

// rewind gives back what was taken and is not done.
func (r *run) rewind() {
	r.ahead, r.next, r.known = nil, r.at, false
}

// seek returns the offset of the first record of s, from s.at on, whose key is k or above; s.to if there is none.
func (x *Index) seek(s span, k Key) (int64, error) {
	lo, hi := s.at, s.to // below lo all are less, from hi on none is
	for lo < hi {
		mid := lo + (hi-lo)/2
		rs, _, err := x.store.Read(nil, x.runTopic.Partition(s.slot), mid, 1)
		if err != nil {
			return 0, err
		}
		for len(rs) > 0 && rs[len(rs)-1].Offset >= s.to {
			rs = rs[:len(rs)-1]
		}
		var bad error
		i := sort.Search(len(rs), func(i int) bool {
			e, _, err := open(rs[i].Headers)
			if err != nil {
				bad = err
			}
			key := e.key(rs[i].Offset)
			return key.Compare(k) >= 0
		})
		switch {
		case bad != nil:
			return 0, bad
		case len(rs) == 0 || i == 0:
			hi = mid
		case i == len(rs):
			lo = rs[i-1].Offset + 1
		default:
			return rs[i].Offset, nil
		}
	}
	return lo, nil
}

// find returns what runs have of a key: a message, and whether there is a tombstone.
func (x *Index) find(k Key) (found *item, grave bool, err error) {
	for _, r := range x.runs {
		at, err := x.seek(r.span, k)
		if err != nil {
			return nil, false, err
		}
		if at >= r.to {
			continue
		}
		rs, _, err := x.store.Read(nil, x.runTopic.Partition(r.slot), at, 1)
		if err != nil {
			return nil, false, err
		}
		if len(rs) == 0 || rs[0].Offset >= r.to {
			continue
		}
		e, rest, err := open(rs[0].Headers)
		switch {
		case err != nil:
			return nil, false, err
		case e.key(rs[0].Offset) != k:
		case e.grave:
			grave = true
		default:
			rs[0].Headers = rest
			found = &item{Key: k, envelope: e, record: rs[0], run: r}
		}
	}
	return found, grave, nil
}
