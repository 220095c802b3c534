package osfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// allocate is fallocate, and zeros on file systems that lack it.
func allocate(h *os.File, size int64) error {
	from, err := sizeOf(h)
	if err != nil || size <= from {
		return err
	}
	conn, err := h.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	err = conn.Control(func(fd uintptr) {
		for {
			errno = syscall.Fallocate(int(fd), 0, from, size-from)
			if errno != syscall.EINTR {
				return
			}
		}
	})
	switch {
	case err != nil: // Control fails only for a closed file
		errno = fs.ErrClosed
	case errors.Is(errno, syscall.EOPNOTSUPP), errors.Is(errno, syscall.ENOSYS):
		return writeZeros(h, from, size)
	}
	if errno != nil {
		return &fs.PathError{Op: "fallocate", Path: h.Name(), Err: errno}
	}
	return nil
}
