package core

import (
	"maps"
	"sync"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// CursorKey names a cursor.
type CursorKey struct {
	Group     storage.GroupID
	Partition storage.PartitionID
}

// State is the committed cursors, in the form of their frames' bodies, and how far in the journal they go.
type State struct {
	mu      sync.Mutex
	cursors map[CursorKey][]byte // guarded by mu; a body is replaced, never changed
	applied frame.LSN            // guarded by mu
}

func (s *State) init() { s.cursors = map[CursorKey][]byte{} }

// Set takes over a cursor, whose body belongs to the State from now on.
func (s *State) Set(k CursorKey, body []byte) {
	s.mu.Lock()
	s.cursors[k] = body
	s.mu.Unlock()
}

// Cursor is storage.Store's.
func (s *State) Cursor(g storage.GroupID, p storage.PartitionID) (storage.Cursor, bool) {
	s.mu.Lock()
	body, ok := s.cursors[CursorKey{g, p}]
	s.mu.Unlock()
	if !ok {
		return storage.Cursor{}, false
	}
	c, err := frame.DecodeCursor(body, uint32(p))
	return c, err == nil
}

// Forget removes the cursors for which gone is true.
func (s *State) Forget(gone func(k CursorKey) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.cursors, func(k CursorKey, _ []byte) bool { return gone(k) })
}

// Applied returns how far the journal was applied.
func (s *State) Applied() frame.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

// SetApplied is for recovery.
func (s *State) SetApplied(l frame.LSN) {
	s.mu.Lock()
	s.applied = l
	s.mu.Unlock()
}

// Capture returns what the cursors were when the journal was applied up to the LSN that it returns, too: neither older nor newer.
func (s *State) Capture() (map[CursorKey][]byte, frame.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.cursors), s.applied
}

// Floor is the lowest floor of all cursors on a partition.
type Floor struct {
	Offset int64
	Read   bool // one of them is of a group that is no holder; see storage.HolderPrefix
}

// add takes a cursor into account; ok is false if it is the first.
func (f Floor) add(offset int64, holder, ok bool) Floor {
	if !ok || offset < f.Offset {
		f.Offset = offset
	}
	f.Read = f.Read || !holder
	return f
}

// floors returns the floor of each partition that has a cursor.
func (s *State) floors(holders map[storage.GroupID]bool) map[storage.PartitionID]Floor {
	s.mu.Lock()
	defer s.mu.Unlock()
	floors := map[storage.PartitionID]Floor{}
	for k, body := range s.cursors {
		c, err := frame.DecodeCursor(body, uint32(k.Partition))
		if err != nil {
			continue // cannot be: the body was encoded here
		}
		low, ok := floors[k.Partition]
		floors[k.Partition] = low.add(c.Floor, holders[k.Group], ok)
	}
	return floors
}
