package osfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/leatmq/leat/storage/internal/vfs"
)

const (
	errSharingViolation    = syscall.Errno(32)
	openReparsePointItself = 0x00200000 // FILE_FLAG_OPEN_REPARSE_POINT
)

// Lock implements vfs.FS. The lock is the file vfs.LockName, open and shared with readers only: nobody else can open it for writing,
// rename it or delete it until this handle is closed, by us or by the end of the process.
func (f *FS) Lock(holder string) (io.Closer, error) {
	name := filepath.Join(f.dir, vfs.LockName)
	name16, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	handle, err := syscall.CreateFile(name16, syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.FILE_SHARE_READ, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL|openReparsePointItself, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, &vfs.HeldError{Holder: f.holder()}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	h := os.NewFile(uintptr(handle), name)
	if err := h.Truncate(0); err == nil { // the note is for a message: the lock is held without it too
		_, _ = h.WriteAt([]byte(holder), 0)
	}
	return h, nil
}
