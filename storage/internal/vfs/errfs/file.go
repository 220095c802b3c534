package errfs

import (
	"github.com/leatmq/leat/storage/internal/vfs"
)

// file is an open file whose operations may fail.
type file struct {
	fs    *FS
	inner vfs.File
	name  string
}

// ReadAt implements io.ReaderAt.
func (h *file) ReadAt(p []byte, off int64) (int, error) {
	if err := h.fs.try(vfs.OpRead, h.name); err != nil {
		return 0, err
	}
	return h.inner.ReadAt(p, off)
}

// WriteAt implements io.WriterAt.
func (h *file) WriteAt(p []byte, off int64) (int, error) {
	fault := h.fs.begin(vfs.OpWrite, h.name)
	if fault == nil || fault.Err == nil {
		return h.inner.WriteAt(p, off)
	}
	if !fault.Short {
		return 0, fault.error(vfs.OpWrite, h.name)
	}
	n, err := h.inner.WriteAt(p[:len(p)/2], off)
	if err != nil {
		return n, err
	}
	return n, fault.error(vfs.OpWrite, h.name)
}

// Size implements vfs.File.
func (h *file) Size() (int64, error) {
	if err := h.fs.try(vfs.OpSize, h.name); err != nil {
		return 0, err
	}
	return h.inner.Size()
}

// Truncate implements vfs.File.
func (h *file) Truncate(size int64) error {
	if err := h.fs.try(vfs.OpTruncate, h.name); err != nil {
		return err
	}
	return h.inner.Truncate(size)
}

// Allocate implements vfs.File.
func (h *file) Allocate(size int64) error {
	if err := h.fs.try(vfs.OpAllocate, h.name); err != nil {
		return err
	}
	return h.inner.Allocate(size)
}

// WriteBehind implements vfs.File.
func (h *file) WriteBehind(end int64) { h.inner.WriteBehind(end) }

// SyncData implements vfs.File. What a sync that fails here should have written stays where it is, as nothing was asked of the inner file:
// memfs.FailSync knows worse.
func (h *file) SyncData() error {
	if err := h.fs.try(vfs.OpSyncData, h.name); err != nil {
		return err
	}
	return h.inner.SyncData()
}

// Close closes the inner file; with a fault it does that too and returns the error.
func (h *file) Close() error {
	failed := h.fs.try(vfs.OpClose, h.name)
	if err := h.inner.Close(); err != nil {
		return err
	}
	return failed
}
