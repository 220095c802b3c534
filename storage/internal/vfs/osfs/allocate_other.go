//go:build !linux

package osfs

import "os"

// allocate writes zeros: some systems have calls for less work, but none that the standard library knows.
func allocate(h *os.File, size int64) error {
	from, err := sizeOf(h)
	if err != nil || size <= from {
		return err
	}
	return writeZeros(h, from, size)
}
