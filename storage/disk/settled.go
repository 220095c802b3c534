package disk

import "sync"

// sealings knows since when segments are sealed, counted in checkpoints. All methods may be called concurrently.
type sealings struct {
	mu sync.Mutex
	at map[uint64]int64 // guarded by mu; by file: sequence number of the newest checkpoint that was begun before
}

func (s *sealings) note(file uint64, begun int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[uint64]int64{}
	}
	s.at[file] = begun
}

// postpone notes that the checkpoint seq is made which knows of none of these.
func (s *sealings) postpone(seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for file := range s.at {
		s.at[file] = seq
	}
}

// settled tells whether the sealed segment was sealed already when the newest durable checkpoint, made, and the one before it were taken. Those sealed
// before the store was opened were.
func (s *sealings) settled(file uint64, made int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	begun, recent := s.at[file]
	if recent && made < begun+2 {
		return false
	}
	delete(s.at, file)
	return true
}
