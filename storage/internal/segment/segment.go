package segment

import (
	"errors"
	"fmt"
	"sync"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// Segment is one file of a partition. Append, Align and Seal are for one goroutine; Sync may run beside them, and Meta, Read, OffsetAt and Ordinal
// beside everything, any number at once. A call sees what was appended before it began.
//
// After a write or a sync of it failed, the segment takes no more: Append, Align, Seal and Sync return that error. It still reads: what the file system does not show
// any more of what was never durable is reported with that error, and not as damage. Only what fails
// because something was short, space on the disk for one, can be tried again (see vfs.NoSpace and vfs.Exhausted): what was written by then lies
// behind what counts, and is written over. Not so a sync.
type Segment struct {
	dir       *Dir
	partition storage.PartitionID
	handle    *handle // guarded by dir.mu; nil if the file is not open. Invariant: open while unsynced, unless discarded
	discarded bool    // guarded by dir.mu

	lazy   sync.Mutex // held while the file is opened or the index is loaded
	syncMu sync.Mutex // held while the file is synced; never while waiting for lazy

	mu      sync.Mutex
	meta    Meta    // guarded by mu, and so is all below
	failed  error   // of the first write or sync that failed
	written uint64  // writes ended
	synced  uint64  // how many of these are durable
	durable int64   // the frames before this position are
	name    nameDue // what Sync has to do, once
	index
}

// nameDue says what of the file's name is not yet durable: of an opened segment nothing.
type nameDue struct {
	created bool
	dir     uint64 // as names.mkdir returned it
}

// Name is the file's name below the store's directory.
func (s *Segment) Name() string { return fileName(s.partition, s.meta.File) }

// Meta describes the segment as of now.
func (s *Segment) Meta() Meta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta
}

// create makes the file and writes the header block.
func (s *Segment) create(h *header) (vfs.File, error) {
	number, err := s.dir.names.mkdir(dirName(s.partition))
	if err != nil {
		return nil, err
	}
	f, err := s.dir.patiently(func() (vfs.File, error) { return s.dir.fs.Create(s.Name()) })
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	if _, err := f.WriteAt(h.encode(s.dir.id), 0); err != nil {
		// What cannot be removed now is a leftover, which the next open knows by its name.
		return nil, errors.Join(fmt.Errorf("write segment: %w", err), f.Close(), s.dir.fs.Remove(s.Name()))
	}
	s.written, s.name = 1, nameDue{created: true, dir: number}
	return f, nil
}
