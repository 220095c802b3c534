package osfs

import (
	"io/fs"
	"os"
	"syscall"
)

// syncData is fdatasync: the data and the size needed to read it, without the times that fsync would write as well.
func syncData(h *os.File) error {
	conn, err := h.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	err = conn.Control(func(fd uintptr) {
		for {
			errno = syscall.Fdatasync(int(fd))
			if errno != syscall.EINTR {
				return
			}
		}
	})
	if err != nil { // Control fails only for a closed file
		errno = fs.ErrClosed
	}
	if errno != nil {
		return &fs.PathError{Op: "fdatasync", Path: h.Name(), Err: errno}
	}
	return nil
}
