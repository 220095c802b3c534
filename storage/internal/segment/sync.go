package segment

import (
	"fmt"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Sync makes all that was appended before the call durable, and the first time the file's name.
func (s *Segment) Sync() error {
	h, err := s.dir.pin(s)
	if err != nil {
		return err
	}
	if h != nil { // else all that was appended is synced
		defer s.dir.release(h)
		if err := s.syncData(h); err != nil {
			return err
		}
	}
	return s.syncName()
}

// syncData syncs the file if there is something to sync.
func (s *Segment) syncData(h *handle) error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	s.mu.Lock()
	written, clean, failed, length := s.written, s.written == s.synced, s.failed, s.meta.Length
	s.mu.Unlock()
	if failed != nil || clean {
		return failed
	}
	if err := h.file.SyncData(); err != nil {
		return s.fail(fmt.Errorf("sync segment: %w", vfs.SyncFailed(err)))
	}
	s.mu.Lock()
	s.synced, s.durable = written, length
	s.mu.Unlock()
	return nil
}

func (s *Segment) syncName() error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	s.mu.Lock()
	due, failed := s.name, s.failed
	s.mu.Unlock()
	if failed != nil || !due.created {
		return failed
	}
	if err := s.dir.syncDir(dirName(s.partition)); err != nil {
		return s.fail(fmt.Errorf("sync directory of a partition: %w", err))
	}
	if err := s.dir.names.sync(due.dir); err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	s.name = nameDue{}
	s.mu.Unlock()
	return nil
}

// unsynced tells whether the file must stay open. After a failure nothing more can be learned from it.
func (s *Segment) unsynced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written != s.synced && s.failed == nil
}

// fail keeps the first failure and returns err. What can be tried again is none.
func (s *Segment) fail(err error) error {
	if vfs.NoSpace(err) || vfs.Exhausted(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
	return err
}
