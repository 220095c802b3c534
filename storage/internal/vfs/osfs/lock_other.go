//go:build !windows && (!unix || aix || (solaris && !illumos))

package osfs

import (
	"errors"
	"io"
	"io/fs"
)

// Lock returns errors.ErrUnsupported: this system has no lock that ends with the process and also holds inside it.
func (f *FS) Lock(string) (io.Closer, error) {
	return nil, &fs.PathError{Op: "lock", Path: f.dir, Err: errors.ErrUnsupported}
}

// LockShared returns errors.ErrUnsupported, as Lock does.
func (f *FS) LockShared() (io.Closer, error) {
	return f.Lock("")
}
