package memfs

import (
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// maxSize is the largest file; beyond it is EFBIG, so that a wrong offset does not take the memory of the machine.
const maxSize = 1 << 34

// file is an open file.
type file struct {
	fs     *FS
	node   *inode
	name   string
	mode   vfs.Mode
	closed atomic.Bool
}

// begin counts the operation and, unless it fails, returns with the file system locked, for reading only if nothing changes.
func (h *file) begin(kind vfs.Kind) (unlock func(), err error) {
	if err := h.fs.begin(kind, h.name); err != nil {
		return nil, err
	}
	if kind.Changes() {
		h.fs.mu.Lock()
		unlock = h.fs.mu.Unlock
	} else {
		h.fs.mu.RLock()
		unlock = h.fs.mu.RUnlock
	}
	switch {
	case h.fs.crashed:
		err = ErrCrashed
	case h.closed.Load():
		err = fs.ErrClosed
	case kind.Changes() && h.mode == vfs.ReadOnly:
		err = fs.ErrPermission
	default:
		return unlock, nil
	}
	unlock()
	return nil, pathError(kind, h.name, err)
}

// ReadAt implements io.ReaderAt.
func (h *file) ReadAt(p []byte, off int64) (int, error) {
	unlock, err := h.begin(vfs.OpRead)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if off < 0 {
		return 0, pathError(vfs.OpRead, h.name, fs.ErrInvalid)
	}
	n := h.node.live.read(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (h *file) WriteAt(p []byte, off int64) (int, error) {
	unlock, err := h.begin(vfs.OpWrite)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if off < 0 {
		return 0, pathError(vfs.OpWrite, h.name, fs.ErrInvalid)
	}
	if off > maxSize-int64(len(p)) {
		return 0, pathError(vfs.OpWrite, h.name, syscall.EFBIG)
	}
	n := h.fs.fits(h.node, off, len(p))
	h.node.write(h.fs.nextSeq(), p[:n], off)
	if n < len(p) {
		return n, pathError(vfs.OpWrite, h.name, syscall.ENOSPC)
	}
	return n, nil
}

// Size implements vfs.File.
func (h *file) Size() (int64, error) {
	unlock, err := h.begin(vfs.OpSize)
	if err != nil {
		return 0, err
	}
	defer unlock()
	return h.node.live.size, nil
}

// Truncate implements vfs.File. What it adds is a hole and takes no space.
func (h *file) Truncate(size int64) error {
	unlock, err := h.begin(vfs.OpTruncate)
	if err != nil {
		return err
	}
	defer unlock()
	if size < 0 {
		return pathError(vfs.OpTruncate, h.name, fs.ErrInvalid)
	}
	if size > maxSize {
		return pathError(vfs.OpTruncate, h.name, syscall.EFBIG)
	}
	h.node.truncate(h.fs.nextSeq(), size)
	return nil
}

// Allocate implements vfs.File. Where the space ends, what there was of it is the file's.
func (h *file) Allocate(size int64) error {
	unlock, err := h.begin(vfs.OpAllocate)
	if err != nil {
		return err
	}
	defer unlock()
	if size > maxSize {
		return pathError(vfs.OpAllocate, h.name, syscall.EFBIG)
	}
	from := h.node.live.size
	if size <= from {
		return nil
	}
	n := int64(h.fs.fits(h.node, from, int(size-from)))
	h.node.allocate(h.fs.nextSeq(), from, n)
	if n < size-from {
		return pathError(vfs.OpAllocate, h.name, syscall.ENOSPC)
	}
	return nil
}

// WriteBehind implements vfs.File. It does nothing: what a system writes out before it is told to is the power cut's to draw.
func (h *file) WriteBehind(int64) {}

// SyncData implements vfs.File. A file opened for reading cannot be synced, as on Windows.
func (h *file) SyncData() error {
	unlock, err := h.begin(vfs.OpSyncData)
	if err != nil {
		return err
	}
	defer unlock()
	if err := h.fs.failSync(h.node); err != nil {
		return pathError(vfs.OpSyncData, h.name, err)
	}
	h.node.sync()
	return nil
}

// Close implements io.Closer; once more is fs.ErrClosed.
func (h *file) Close() error {
	unlock, err := h.begin(vfs.OpClose)
	if err != nil {
		return err
	}
	defer unlock()
	if h.closed.Swap(true) {
		return pathError(vfs.OpClose, h.name, fs.ErrClosed)
	}
	return nil
}
