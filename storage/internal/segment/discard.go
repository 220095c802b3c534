package segment

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/leatmq/leat/storage"
)

// ErrDiscarded is returned for using a segment that does not count any more.
var ErrDiscarded = errors.New("segment: discarded")

// Discard says that s does not count any more: whoever begins to use it is told ErrDiscarded. It returns false while somebody still does; then
// it is to be called again, before the file may be removed.
func (d *Dir) Discard(s *Segment) (unused bool, err error) {
	d.mu.Lock()
	s.discarded = true
	h := s.handle
	if h == nil {
		d.mu.Unlock()
		return true, nil
	}
	if h.users > 0 {
		d.mu.Unlock()
		return false, nil
	}
	d.open.Remove(h.elem)
	s.handle = nil
	d.mu.Unlock()
	if err := h.file.Close(); err != nil {
		return true, fmt.Errorf("close segment: %w", err)
	}
	return true, nil
}

// RemoveFile removes the file of a segment that was discarded, or that no process has a Segment of. A file that is not there is fine. The removal is durable
// after SyncDir of the partition.
func (d *Dir) RemoveFile(p storage.PartitionID, file uint64) error {
	if err := d.fs.Remove(fileName(p, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove segment: %w", err)
	}
	return nil
}

// SyncRemoved makes durable that files of p were removed.
func (d *Dir) SyncRemoved(p storage.PartitionID) error {
	if err := d.fs.SyncDir(dirName(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sync directory of a partition: %w", err)
	}
	return nil
}

// RemovePartition removes the directory of a partition that is no more. What is in it and not the store's stays, and the directory with it.
func (d *Dir) RemovePartition(p storage.PartitionID) error {
	infos, err := d.fs.List(dirName(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list directory of a partition: %w", err)
	}
	if len(infos) > 0 {
		return nil
	}
	if err := d.fs.Remove(dirName(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove directory of a partition: %w", err)
	}
	if err := d.fs.SyncDir("seg"); err != nil {
		return fmt.Errorf("sync directory of segments: %w", err)
	}
	return nil
}
