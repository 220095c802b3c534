//go:build unix

package osfs

import (
	"math"
	"syscall"
)

// Descriptors is how many files this process may have open, as far as the system has a bound.
func Descriptors() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return math.MaxInt32
	}
	return int(min(uint64(r.Cur), math.MaxInt32)) // signed on some systems
}
