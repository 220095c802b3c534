//go:build unix

package osfs

import (
	"io/fs"
	"os"
	"syscall"
)

// openNonblock keeps the opening of a FIFO, put in the place of a file in between, from waiting for its other end.
const openNonblock = syscall.O_NONBLOCK

// syncDir makes the entries of an open directory durable.
func syncDir(d *os.File) error {
	return d.Sync()
}

// openToOthers tells whether a directory's mode lets its group, or everybody, write in it.
func openToOthers(mode fs.FileMode) bool { return mode.Perm()&0o022 != 0 }
