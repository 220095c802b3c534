package segment

import "github.com/leatmq/leat/storage"

// Retire has a segment that is damaged take no more, without a footer: the frames tell what it would. Like Append, it is for one goroutine.
func (s *Segment) Retire() {
	s.mu.Lock()
	s.meta.Sealed, s.meta.Retired = true, true
	s.mu.Unlock()
}

// CreateAgain is Create of a segment whose records are elsewhere, too: an open that finds it and no word of it removes it.
func (d *Dir) CreateAgain(p storage.PartitionID, file uint64, base, ordinal int64, epoch uint32) (*Segment, error) {
	return d.create(p, epoch, Meta{File: file, Base: base, Next: base, Ordinal: ordinal, Length: blockSize, Rewritten: true})
}
