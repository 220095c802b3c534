//go:build unix && !aix && (!solaris || illumos)

package osfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Lock implements vfs.FS. The lock is on the directory itself, not on a file in it: deleting a file cannot take it away, and it also
// holds against a second Lock in this process, as a flock belongs to the open directory and not to the process. The system drops it
// with the process, however that ends.
func (f *FS) Lock(holder string) (io.Closer, error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	l := &lock{dir}
	if err := flock(dir, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, dir.Close())
		}
		err := &vfs.HeldError{Holder: f.holder()}
		if flock(dir, syscall.LOCK_SH|syscall.LOCK_NB) == nil { // what is written down is of an owner before
			err.Holder = vfs.Readers
		}
		_ = l.Close()
		return nil, err
	}
	if err := f.noteHolder(holder); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// LockShared implements vfs.FS.
func (f *FS) LockShared() (io.Closer, error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	if err := flock(dir, syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		closed := dir.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &vfs.HeldError{Holder: f.holder()}
		}
		return nil, errors.Join(err, closed)
	}
	return &lock{dir}, nil
}

// noteHolder writes the note anew rather than over what is there: that might be a link to something dear. The lock is held without it too,
// on a full disk for one; but not where nothing may ever be written.
func (f *FS) noteHolder(holder string) error {
	if err := f.Remove(vfs.LockName); unwritable(err) {
		return err
	}
	h, err := f.Create(vfs.LockName)
	if unwritable(err) {
		return err
	}
	if err == nil {
		_, _ = h.WriteAt([]byte(holder), 0)
		_ = h.Close()
	}
	return nil
}

// unwritable tells whether an error says that the directory is not for writing, rather than that something failed.
func unwritable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// lock is the open directory that holds the flock.
type lock struct {
	dir *os.File
}

// Close unlocks before it closes: a child process between fork and exec has the directory open as well.
func (l *lock) Close() error {
	return errors.Join(flock(l.dir, syscall.LOCK_UN), l.dir.Close())
}

func flock(dir *os.File, how int) error {
	conn, err := dir.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	err = conn.Control(func(fd uintptr) {
		for {
			errno = syscall.Flock(int(fd), how)
			if errno != syscall.EINTR {
				return
			}
		}
	})
	if err != nil { // Control fails only for a closed file
		errno = fs.ErrClosed
	}
	if errno != nil {
		return &fs.PathError{Op: "flock", Path: dir.Name(), Err: errno}
	}
	return nil
}
