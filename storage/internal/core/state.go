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

// Floors returns the lowest floor of all cursors for each partition that has any.
func (s *State) Floors() map[storage.PartitionID]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	floors := map[storage.PartitionID]int64{}
	for k, body := range s.cursors {
		c, err := frame.DecodeCursor(body, uint32(k.Partition))
		if err != nil {
			continue // cannot be: the body was encoded here
		}
		if low, ok := floors[k.Partition]; !ok || c.Floor < low {
			floors[k.Partition] = c.Floor
		}
	}
	return floors
}
