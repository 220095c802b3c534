package memfs

import (
	"io"
	"io/fs"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Lock implements vfs.FS. A crash releases it, as does Clone in the image that it makes.
func (f *FS) Lock(holder string) (io.Closer, error) { return f.lock(".", holder) }

// LockShared implements vfs.FS. A crash releases it, too.
func (f *FS) LockShared() (io.Closer, error) { return f.lockShared(".") }

// lock locks the directory dir, which exists.
func (f *FS) lock(dir, holder string) (io.Closer, error) {
	if err := f.begin(vfs.OpLock, dir); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	node, err := f.findDir(dir)
	if err != nil {
		return nil, pathError(vfs.OpLock, dir, err)
	}
	if other, held := f.holders[dir]; held {
		return nil, &vfs.HeldError{Holder: other}
	}
	if f.readers[dir] > 0 {
		return nil, &vfs.HeldError{Holder: vfs.Readers}
	}
	f.holders[dir] = holder
	f.plant(node, vfs.LockName, []byte(holder))
	return &lock{fs: f, dir: dir}, nil
}

func (f *FS) lockShared(dir string) (io.Closer, error) {
	if err := f.begin(vfs.OpLock, dir); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.findDir(dir); err != nil {
		return nil, pathError(vfs.OpLock, dir, err)
	}
	if other, held := f.holders[dir]; held {
		return nil, &vfs.HeldError{Holder: other}
	}
	f.readers[dir]++
	return &lock{fs: f, dir: dir, shared: true}, nil
}

type lock struct {
	fs     *FS
	dir    string
	shared bool
	closed bool // guarded by fs.mu
}

// Close releases the lock; once more is fs.ErrClosed.
func (l *lock) Close() error {
	if err := l.fs.begin(vfs.OpUnlock, l.dir); err != nil {
		return err
	}
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.fs.crashed {
		return pathError(vfs.OpUnlock, l.dir, ErrCrashed)
	}
	if l.closed {
		return pathError(vfs.OpUnlock, l.dir, fs.ErrClosed)
	}
	l.closed = true
	if l.shared {
		l.fs.readers[l.dir]--
		return nil
	}
	delete(l.fs.holders, l.dir)
	return nil
}
