// Package errfs wraps a vfs.FS whose operations fail, fall short or wait where a test says so.
package errfs

import (
	"io"
	"io/fs"
	"sync"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// FS is a file system that fails on purpose. Its methods may be called concurrently.
type FS struct {
	inner vfs.FS

	mu     sync.Mutex
	ops    int
	faults []*armed
	hits   []vfs.Op
}

var _ vfs.FS = (*FS)(nil)

// New returns inner with faults. An operation meets the first fault that is due for it and no other; without faults it is inner, counted.
func New(inner vfs.FS, faults ...Fault) *FS {
	f := &FS{inner: inner}
	for _, fault := range faults {
		f.faults = append(f.faults, &armed{Fault: fault})
	}
	return f
}

// Ops returns how many operations have begun.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// Injected returns how many operations met a fault. A test in which it stays zero has tested nothing.
func (f *FS) Injected() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.hits)
}

// Hits returns the operations that met a fault, in the order in which they did.
func (f *FS) Hits() []vfs.Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]vfs.Op(nil), f.hits...)
}

// begin counts an operation, waits if the fault says so, and returns the fault unless there is none.
func (f *FS) begin(kind vfs.Kind, name string) *Fault {
	op, fault := f.next(kind, name)
	if fault == nil {
		return nil
	}
	if fault.Before != nil {
		fault.Before(op)
	}
	return fault
}

func (f *FS) next(kind vfs.Kind, name string) (vfs.Op, *Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops++
	op := vfs.Op{N: f.ops, Kind: kind, Name: name}
	var due *Fault
	for _, a := range f.faults {
		if a.due(op) && due == nil {
			due = &a.Fault
		}
	}
	if due != nil {
		f.hits = append(f.hits, op)
	}
	return op, due
}

// try returns the error with which an operation is to fail instead of being done, nil if it is to be done.
func (f *FS) try(kind vfs.Kind, name string) error {
	fault := f.begin(kind, name)
	if fault == nil || fault.Err == nil {
		return nil
	}
	return fault.error(kind, name)
}

func (t *Fault) error(kind vfs.Kind, name string) error {
	return &fs.PathError{Op: kind.String(), Path: name, Err: t.Err}
}

// Open implements vfs.FS.
func (f *FS) Open(name string, mode vfs.Mode) (vfs.File, error) {
	if err := f.try(vfs.OpOpen, name); err != nil {
		return nil, err
	}
	inner, err := f.inner.Open(name, mode)
	return f.wrap(inner, name, err)
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	if err := f.try(vfs.OpCreate, name); err != nil {
		return nil, err
	}
	inner, err := f.inner.Create(name)
	return f.wrap(inner, name, err)
}

func (f *FS) wrap(inner vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{fs: f, inner: inner, name: name}, nil
}

// Mkdir implements vfs.FS.
func (f *FS) Mkdir(name string) error {
	if err := f.try(vfs.OpMkdir, name); err != nil {
		return err
	}
	return f.inner.Mkdir(name)
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	if err := f.try(vfs.OpRename, from); err != nil {
		return err
	}
	return f.inner.Rename(from, to)
}

// Link implements vfs.FS. A dst that is an FS of this package meets its faults, too.
func (f *FS) Link(from string, dst vfs.FS, to string) error {
	if err := f.try(vfs.OpLink, from); err != nil {
		return err
	}
	if d, ok := dst.(*FS); ok {
		if d != f {
			if err := d.try(vfs.OpLink, to); err != nil {
				return err
			}
		}
		dst = d.inner
	}
	return f.inner.Link(from, dst, to)
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	if err := f.try(vfs.OpRemove, name); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]vfs.Info, error) {
	if err := f.try(vfs.OpList, dir); err != nil {
		return nil, err
	}
	return f.inner.List(dir)
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	if err := f.try(vfs.OpSyncDir, dir); err != nil {
		return err
	}
	return f.inner.SyncDir(dir)
}

// Lock implements vfs.FS.
func (f *FS) Lock(holder string) (io.Closer, error) {
	if err := f.try(vfs.OpLock, "."); err != nil {
		return nil, err
	}
	inner, err := f.inner.Lock(holder)
	if err != nil {
		return nil, err
	}
	return &lock{fs: f, inner: inner}, nil
}

// LockShared implements vfs.FS.
func (f *FS) LockShared() (io.Closer, error) {
	if err := f.try(vfs.OpLock, "."); err != nil {
		return nil, err
	}
	inner, err := f.inner.LockShared()
	if err != nil {
		return nil, err
	}
	return &lock{fs: f, inner: inner}, nil
}

type lock struct {
	fs    *FS
	inner io.Closer
}

// Close releases the lock; with a fault it does that too and returns the error.
func (l *lock) Close() error {
	failed := l.fs.try(vfs.OpUnlock, ".")
	if err := l.inner.Close(); err != nil {
		return err
	}
	return failed
}
