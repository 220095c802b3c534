package storagetest

import (
	"cmp"
	"slices"

	"github.com/leatmq/leat/storage"
)

// sightings are the places that anybody was told of or has read, and what was there, for ever: of each partition by offset, ascending.
type sightings map[storage.PartitionID][]sighting

// sighting is what was at an offset, and the event that told.
type sighting struct {
	offset int64
	mark   mark
	seq    int
}

// place is where a record is, or was.
type place struct {
	partition storage.PartitionID
	offset    int64
}

// note adds what is at a place. If something was known to be there, that stays, and is returned.
func (s sightings) note(at place, m mark, seq int) (was mark, known bool) {
	of := s[at.partition]
	i := index(of, at.offset)
	if i < len(of) && of[i].offset == at.offset {
		return of[i].mark, true
	}
	s[at.partition] = slices.Insert(of, i, sighting{at.offset, m, seq})
	return m, false
}

// index returns where an offset is, or would be. Mostly that is the end.
func index(of []sighting, offset int64) int {
	if n := len(of); n == 0 || of[n-1].offset < offset {
		return n
	}
	i, _ := slices.BinarySearchFunc(of, offset, func(s sighting, offset int64) int { return cmp.Compare(s.offset, offset) })
	return i
}

// within returns what was seen of a partition from an offset on, below another.
func (s sightings) within(p storage.PartitionID, from, below int64) []sighting {
	of := s[p]
	if from >= below {
		return nil
	}
	return of[index(of, from):index(of, below)]
}

// until returns a copy of those that were told until an event.
func (s sightings) until(seq int) sightings {
	c := make(sightings, len(s))
	for p, of := range s {
		c[p] = slices.DeleteFunc(slices.Clone(of), func(s sighting) bool { return s.seq > seq })
	}
	return c
}
