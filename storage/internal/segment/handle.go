package segment

import (
	"container/list"
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// handle is the open file of a segment. It is closed only while nobody uses it, and synced before if it was written to: Linux reports
// that it could not write back once per open file, so closing an unsynced one could lose the report.
type handle struct {
	segment *Segment // Invariant: not discarded
	file    vfs.File
	short   bool          // when it was opened, it was shorter than what counts
	sealed  bool          // when it was opened, it had the footer of a segment, though the checkpoint knows nothing of that
	users   int           // guarded by Dir.mu
	elem    *list.Element // in Dir.open
}

// acquire returns the open file of s, which stays open until release. It opens it if need be, and closes others to stay within the bound.
func (d *Dir) acquire(s *Segment) (*handle, error) {
	if h, err := d.pin(s); h != nil || err != nil {
		return h, err
	}
	s.lazy.Lock()
	defer s.lazy.Unlock()
	if h, err := d.pin(s); h != nil || err != nil {
		return h, err
	}
	if err := d.reserve(); err != nil {
		return nil, err
	}
	f, was, err := s.open()
	return d.admit(s, f, was, err)
}

// pin returns the open file of s if it is open, else nil.
func (d *Dir) pin(s *Segment) (*handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, storage.ErrClosed
	case s.discarded:
		return nil, ErrDiscarded
	}
	h := s.handle
	if h != nil {
		h.users++
		d.open.MoveToBack(h.elem)
	}
	return h, nil
}

func (d *Dir) release(h *handle) {
	d.mu.Lock()
	h.users--
	if d.closed {
		d.idle.Broadcast()
	}
	d.mu.Unlock()
}

// reserve makes room for one more open file and counts it as being opened. Files in use are never closed: when all are, the bound is exceeded.
func (d *Dir) reserve() error {
	for {
		d.mu.Lock()
		if d.closed {
			d.mu.Unlock()
			return storage.ErrClosed
		}
		var victim *handle
		if d.open.Len()+d.opening >= d.maxOpen {
			victim = d.victim()
		}
		if victim == nil {
			d.opening++
			d.mu.Unlock()
			return nil
		}
		victim.users++
		d.mu.Unlock()
		_ = d.drop(victim) // its segment keeps the failure and returns it where it matters: to the one who appends or syncs
	}
}

// admit ends what reserve began: f is the file of s now, in use by the caller, or err why it could not be opened.
func (d *Dir) admit(s *Segment, f vfs.File, was found, err error) (*handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opening--
	if d.closed {
		d.idle.Broadcast()
	}
	if s.discarded { // its file may be gone by now, which is no damage then
		if err == nil {
			return nil, errors.Join(ErrDiscarded, f.Close())
		}
		return nil, ErrDiscarded
	}
	if err != nil {
		return nil, err
	}
	h := &handle{segment: s, file: f, short: was.short, sealed: was.sealed, users: 1}
	h.elem = d.open.PushBack(h)
	s.handle = h
	return h, nil
}

// victim picks the file to close: of those that nobody uses the one not used for longest, one without unsynced writes if there is one.
// d.mu is held.
func (d *Dir) victim() *handle {
	var unsynced *handle
	for e := d.open.Front(); e != nil; e = e.Next() {
		h := e.Value.(*handle)
		switch {
		case h.users > 0:
		case !h.segment.unsynced():
			return h
		case unsynced == nil:
			unsynced = h
		}
	}
	return unsynced
}

// drop syncs the file if need be and closes it, unless someone else began to use it meanwhile. The caller's use of h ends.
func (d *Dir) drop(h *handle) error {
	var syncErr error
	if h.segment.unsynced() {
		syncErr = h.segment.syncData(h)
	}
	d.mu.Lock()
	h.users--
	if d.closed { // Close may wait for this use
		d.idle.Broadcast()
	}
	if h.users > 0 || h.segment.unsynced() {
		d.mu.Unlock()
		return syncErr
	}
	d.open.Remove(h.elem)
	h.segment.handle = nil
	h.segment.forget()
	d.mu.Unlock()
	if err := h.file.Close(); err != nil {
		return errors.Join(syncErr, fmt.Errorf("close segment: %w", err))
	}
	return syncErr
}

// shed closes half of the files that nobody uses.
func (d *Dir) shed() {
	d.mu.Lock()
	idle := 0
	for e := d.open.Front(); e != nil; e = e.Next() {
		if e.Value.(*handle).users == 0 {
			idle++
		}
	}
	d.mu.Unlock()
	for range (idle + 1) / 2 {
		d.mu.Lock()
		victim := d.victim()
		if victim != nil {
			victim.users++
		}
		d.mu.Unlock()
		if victim == nil {
			return
		}
		_ = d.drop(victim) // as in reserve
	}
}

// giveUp closes the file of s, which nobody else uses.
func (d *Dir) giveUp(s *Segment) error {
	h, err := d.pin(s)
	if err != nil || h == nil {
		return err
	}
	d.mu.Lock()
	d.open.Remove(h.elem) // its use never ends, so that no victim is made of it
	s.handle = nil
	if d.closed {
		d.idle.Broadcast()
	}
	d.mu.Unlock()
	if err := h.file.Close(); err != nil {
		return fmt.Errorf("close segment: %w", err)
	}
	return nil
}
