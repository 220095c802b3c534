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
	if err := flock(dir, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		closed := dir.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &vfs.HeldError{Holder: f.holder()}
		}
		return nil, errors.Join(err, closed)
	}
	f.noteHolder(holder)
	return &lock{dir}, nil
}

// noteHolder writes the note anew rather than over what is there: that might be a link to something dear. The lock is held without it too,
// on a full disk for one.
func (f *FS) noteHolder(holder string) {
	_ = f.Remove(vfs.LockName)
	h, err := f.Create(vfs.LockName)
	if err != nil {
		return
	}
	_, _ = h.WriteAt([]byte(holder), 0)
	_ = h.Close()
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
