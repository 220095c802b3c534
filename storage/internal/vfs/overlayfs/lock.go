package overlayfs

import (
	"errors"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Lock implements vfs.FS. Below, the directory is locked for reading: any number of file systems like this one may stand on one directory, while
// it has no owner. Where the system has no locks, there is none.
func (f *FS) Lock(holder string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.held:
		return nil, &vfs.HeldError{Holder: f.holder}
	case f.readers > 0:
		return nil, &vfs.HeldError{Holder: vfs.Readers}
	}
	below, err := f.lockBelow()
	if err != nil {
		return nil, err
	}
	f.held, f.holder = true, holder
	return &lock{below: below, give: func() { f.held = false }, fs: f}, nil
}

// LockShared implements vfs.FS.
func (f *FS) LockShared() (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held {
		return nil, &vfs.HeldError{Holder: f.holder}
	}
	below, err := f.lockBelow()
	if err != nil {
		return nil, err
	}
	f.readers++
	return &lock{below: below, give: func() { f.readers-- }, fs: f}, nil
}

func (f *FS) lockBelow() (io.Closer, error) {
	below, err := f.lower.LockShared()
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	return below, err
}

type lock struct {
	fs     *FS
	below  io.Closer // nil if the system has no locks
	give   func()    // called with fs.mu held
	closed atomic.Bool
}

// Close releases the lock; once more is fs.ErrClosed.
func (l *lock) Close() error {
	if l.closed.Swap(true) {
		return located(vfs.OpUnlock, ".", fs.ErrClosed)
	}
	l.fs.mu.Lock()
	l.give()
	l.fs.mu.Unlock()
	if l.below == nil {
		return nil
	}
	return l.below.Close()
}
