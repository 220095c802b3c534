//go:build linux && (amd64 || arm64)

package osfs

import (
	"os"
	"syscall"
)

// Of the arguments of the two calls, which the standard library does not name.
const (
	syncFileRangeWrite = 2 // begin to write out dirty pages, and wait for nothing
	fadviseDontNeed    = 4 // forget pages that are written out
)

// reached begins to write out what was written since the last whole window, and forgets what lies before that. Both are wishes: their errors say nothing that a
// sync will not say, and the call that writes out without waiting takes no error away from it.
func (w *writeBehind) reached(h *os.File, end int64) {
	end -= end % behindWindow
	if end <= w.begun {
		return
	}
	conn, err := h.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = conn.Control(func(fd uintptr) {
		_ = syscall.SyncFileRange(int(fd), w.begun, end-w.begun, syncFileRangeWrite)
		if w.begun > 0 {
			_, _, _ = syscall.Syscall6(syscall.SYS_FADVISE64, fd, 0, uintptr(w.begun), fadviseDontNeed, 0, 0)
		}
	})
	w.begun = end
}
