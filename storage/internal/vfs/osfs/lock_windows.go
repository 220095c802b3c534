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
	h, err := f.openLock(syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.OPEN_ALWAYS)
	if held := (*vfs.HeldError)(nil); errors.As(err, &held) {
		if reader, err := f.LockShared(); err == nil { // what is written down is of an owner before
			held.Holder = vfs.Readers
			_ = reader.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	if err := h.Truncate(0); err == nil { // the note is for a message: the lock is held without it too
		_, _ = h.WriteAt([]byte(holder), 0)
	}
	return h, nil
}

// LockShared implements vfs.FS: the file open for reading, so that nobody can open it for writing. Where there is none, there was no owner.
func (f *FS) LockShared() (io.Closer, error) {
	h, err := f.openLock(syscall.GENERIC_READ, syscall.OPEN_EXISTING)
	if errors.Is(err, fs.ErrNotExist) {
		return unheld{}, nil
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// unheld is the lock of nothing.
type unheld struct{}

func (unheld) Close() error { return nil }

// openLock opens the file, shared with those who read it.
func (f *FS) openLock(access, how uint32) (*os.File, error) {
	name := filepath.Join(f.dir, vfs.LockName)
	name16, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	handle, err := syscall.CreateFile(name16, access, syscall.FILE_SHARE_READ, nil, how, syscall.FILE_ATTRIBUTE_NORMAL|openReparsePointItself, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, &vfs.HeldError{Holder: f.holder()}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return os.NewFile(uintptr(handle), name), nil
}
