package overlayfs

import (
	"io"
	"io/fs"
	"math"
	"path"
	"sync"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Open implements vfs.FS.
func (f *FS) Open(name string, mode vfs.Mode) (vfs.File, error) {
	h := &file{name: name, mode: mode}
	err := f.do(vfs.OpOpen, name, func() error {
		n, err := f.at(name)
		switch {
		case err != nil:
			return err
		case n.dir || n.odd:
			return vfs.ErrNotRegular
		}
		h.node = n
		if n.lower != "" {
			h.below, err = f.lower.Open(n.lower, vfs.ReadOnly)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	h := &file{name: name, mode: vfs.ReadWrite}
	err := f.do(vfs.OpCreate, name, func() error {
		if name == "." {
			return fs.ErrExist
		}
		entries, there, err := f.place(name)
		switch {
		case err != nil:
			return err
		case there != nil:
			return fs.ErrExist
		}
		h.node = &node{changed: true, pages: map[int64][]byte{}}
		entries[path.Base(name)] = h.node
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// file is an open file.
type file struct {
	node  *node
	name  string
	mode  vfs.Mode
	below vfs.File // opened for reading; nil for a file that was made here

	mu     sync.RWMutex // held for reading during every call; taken before node.mu
	closed bool         // guarded by mu
}

// begin checks that the file is open, which it stays until end.
func (h *file) begin(kind vfs.Kind) (end func(), err error) {
	h.mu.RLock()
	if h.closed {
		h.mu.RUnlock()
		return nil, located(kind, h.name, fs.ErrClosed)
	}
	return h.mu.RUnlock, nil
}

// edit calls act with the file ready to be changed.
func (h *file) edit(kind vfs.Kind, at int64, act func() error) error {
	end, err := h.begin(kind)
	if err != nil {
		return err
	}
	defer end()
	switch {
	case h.mode == vfs.ReadOnly:
		return located(kind, h.name, fs.ErrPermission)
	case at < 0:
		return located(kind, h.name, fs.ErrInvalid)
	}
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	if err := h.node.change(h.below); err != nil {
		return err
	}
	return act()
}

// ReadAt implements io.ReaderAt.
func (h *file) ReadAt(p []byte, off int64) (int, error) {
	end, err := h.begin(vfs.OpRead)
	if err != nil {
		return 0, err
	}
	defer end()
	if off < 0 {
		return 0, located(vfs.OpRead, h.name, fs.ErrInvalid)
	}
	n := h.node
	n.mu.RLock()
	defer n.mu.RUnlock()
	if !n.changed {
		return h.below.ReadAt(p, off)
	}
	have := int(max(0, min(n.size-off, int64(len(p)))))
	if err := n.read(h.below, p[:have], off); err != nil {
		return 0, err
	}
	if have < len(p) {
		return have, io.EOF
	}
	return have, nil
}

// WriteAt implements io.WriterAt.
func (h *file) WriteAt(p []byte, off int64) (done int, err error) {
	if off > math.MaxInt64-int64(len(p)) {
		off = -1
	}
	err = h.edit(vfs.OpWrite, off, func() error {
		done, err = h.node.write(h.below, p, off)
		return err
	})
	return done, err
}

// Truncate implements vfs.File.
func (h *file) Truncate(size int64) error {
	return h.edit(vfs.OpTruncate, size, func() error {
		h.node.truncate(size)
		return nil
	})
}

// Allocate implements vfs.File. It takes no memory: there is no disk here that could be full.
func (h *file) Allocate(size int64) error {
	return h.edit(vfs.OpAllocate, max(size, 0), func() error {
		if size > h.node.size {
			h.node.truncate(size)
		}
		return nil
	})
}

// Size implements vfs.File.
func (h *file) Size() (int64, error) {
	end, err := h.begin(vfs.OpSize)
	if err != nil {
		return 0, err
	}
	defer end()
	h.node.mu.RLock()
	defer h.node.mu.RUnlock()
	if !h.node.changed {
		return h.below.Size()
	}
	return h.node.size, nil
}

// WriteBehind implements vfs.File. All is in memory.
func (h *file) WriteBehind(int64) {}

// SyncData implements vfs.File. There is nothing to sync.
func (h *file) SyncData() error {
	end, err := h.begin(vfs.OpSyncData)
	if err != nil {
		return err
	}
	end()
	return nil
}

// Close implements io.Closer; once more is fs.ErrClosed.
func (h *file) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return located(vfs.OpClose, h.name, fs.ErrClosed)
	}
	h.closed = true
	if h.below == nil {
		return nil
	}
	return h.below.Close()
}
