//go:build !linux

package osfs

import "os"

// syncData is the full flush to the device: F_FULLFSYNC on macOS, FlushFileBuffers on Windows, fsync elsewhere.
func syncData(h *os.File) error {
	return h.Sync()
}
