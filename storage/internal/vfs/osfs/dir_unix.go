//go:build unix

package osfs

import (
	"os"
	"syscall"
)

// openNonblock keeps the opening of a FIFO, put in the place of a file in between, from waiting for its other end.
const openNonblock = syscall.O_NONBLOCK

// syncDir makes the entries of an open directory durable.
func syncDir(d *os.File) error {
	return d.Sync()
}
