package memfs

import (
	"io"
	"io/fs"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Lock implements vfs.FS. A crash releases it, as does Clone in the image that it makes.
func (f *FS) Lock(holder string) (io.Closer, error) {
	if err := f.begin(vfs.OpLock, "."); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return nil, pathError(vfs.OpLock, ".", ErrCrashed)
	}
	if f.locked {
		return nil, &vfs.HeldError{Holder: f.holder}
	}
	f.locked, f.holder = true, holder
	f.plant(f.root, vfs.LockName, []byte(holder))
	return &lock{fs: f}, nil
}

type lock struct {
	fs     *FS
	closed bool // guarded by fs.mu
}

// Close releases the lock; once more is fs.ErrClosed.
func (l *lock) Close() error {
	if err := l.fs.begin(vfs.OpUnlock, "."); err != nil {
		return err
	}
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.fs.crashed {
		return pathError(vfs.OpUnlock, ".", ErrCrashed)
	}
	if l.closed {
		return pathError(vfs.OpUnlock, ".", fs.ErrClosed)
	}
	l.closed, l.fs.locked = true, false
	return nil
}
