// Package memfs is a file system in memory that forgets what was not synced, for tests of the storage engine.
//
// It is strict: it keeps nothing through a crash that was not asked for. Data, sizes and the entries of directories become durable
// separately, and what was not synced survives in part, in pieces, or as something else, as the Mode of the crash and a seed say. It has no
// permissions, no symbolic links, no times, and no devices.
package memfs

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// ErrCrashed is returned by every call to a file system after Crash, and to its files.
var ErrCrashed = errors.New("memfs: the machine has crashed")

// FS is a file system in memory. Its methods may be called concurrently.
type FS struct {
	ops  atomic.Int64
	hook atomic.Pointer[func(vfs.Op) error]

	mu       sync.RWMutex
	root     *inode
	nextID   uint64
	seq      int // changes so far
	crashed  bool
	holders  map[string]string // of the directories that are locked
	readers  map[string]int    // of the directories that are locked for reading
	bounded  bool
	capacity int64
	failing  SyncFailure
}

var _ vfs.FS = (*FS)(nil)

// New returns an empty file system.
func New() *FS {
	f := &FS{holders: map[string]string{}, readers: map[string]int{}}
	f.root = f.newDir()
	return f
}

// Ops returns how many calls to the file system and its files have begun.
func (f *FS) Ops() int {
	return int(f.ops.Load())
}

// OnOp has hook called at the start of every operation, before anything of it is done, on the goroutine of the caller and with no lock
// held: it may clone the file system, arm a failure, or wait. The operation fails with what it returns. nil takes it away.
func (f *FS) OnOp(hook func(vfs.Op) error) {
	if hook == nil {
		f.hook.Store(nil)
		return
	}
	f.hook.Store(&hook)
}

// begin counts an operation and asks the hook.
func (f *FS) begin(kind vfs.Kind, name string) error {
	n := f.ops.Add(1)
	hook := f.hook.Load()
	if hook == nil {
		return nil
	}
	if err := (*hook)(vfs.Op{N: int(n), Kind: kind, Name: name}); err != nil {
		return pathError(kind, name, err)
	}
	return nil
}

// beginName is begin for the calls that take a name.
func (f *FS) beginName(kind vfs.Kind, name string) error {
	if err := f.begin(kind, name); err != nil {
		return err
	}
	return vfs.CheckName(kind.String(), name)
}

func pathError(kind vfs.Kind, name string, err error) error {
	return &fs.PathError{Op: kind.String(), Path: name, Err: err}
}
