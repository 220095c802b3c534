// Package vfs is the seam between the storage engine and the file system: every file call of the engine goes through FS and File, so that
// tests can put a file system underneath that loses what was not synced (memfs), fails at the n-th call (errfs), or both.
//
// It is not a general file system interface: it has the calls that the engine makes and no others. Names are slash-separated and
// relative to the one directory that an FS stands for; "." is that directory itself.
package vfs

import (
	"errors"
	"io"
)

// FS is one directory and what is below it. All methods may be called concurrently. Errors are *fs.PathError or wrap one, and answer to
// errors.Is with fs.ErrNotExist, fs.ErrExist and fs.ErrPermission.
//
// No name leads outside the directory, no symbolic link is followed, and only regular files are opened: anything else is ErrNotRegular.
type FS interface {
	// Open opens an existing file.
	Open(name string, mode Mode) (File, error)
	// Create makes a file that must not exist (fs.ErrExist), empty, mode 0600, open for reading and writing. Neither
	// it nor its name is durable before File.SyncData and SyncDir of its directory.
	Create(name string) (File, error)
	// Mkdir makes the directory name, mode 0700, whose parent exists; it is fine if it exists already.
	// Its name is durable after SyncDir of its parent.
	Mkdir(name string) error
	// Rename replaces to by from; both are in one directory. Durable after SyncDir.
	Rename(from, to string) error
	// Link makes to, which must not exist (fs.ErrExist), another name of the regular file from: what is written under one shows under the other. to is in dst,
	// which may be this FS or one of another directory. errors.ErrUnsupported where there can be no such name, as between two
	// devices: the caller copies. The name is durable after SyncDir of its directory in dst.
	Link(from string, dst FS, to string) error
	// Remove removes a file or an empty directory. Durable after SyncDir.
	Remove(name string) error
	// List returns what is in the directory dir, sorted by name.
	List(dir string) ([]Info, error)
	// SyncDir makes the entries of dir durable: creations, renames and removals since the last one.
	SyncDir(dir string) error
	// Lock takes the directory for one owner, in this process and all others, until the Closer is closed or the process ends. It does not
	// wait: *HeldError if another has it. holder is written down for the message that others get, nothing more. A directory in which nothing
	// can be written down for want of permission, or because its medium is read-only, is not locked: fs.ErrPermission or syscall.EROFS.
	Lock(holder string) (io.Closer, error)
	// LockShared takes the directory for one of any number of readers, while it has no owner: *HeldError if it has. Nothing is written, so it works
	// where nothing can be. On Windows a directory that never had an owner is not held against one.
	LockShared() (io.Closer, error)
}

// File is an open file. Reads and writes at different places may be concurrent; there is no file pointer.
type File interface {
	io.ReaderAt
	// WriteAt writes all of p or returns an error; after an error any part of it may have been written.
	io.WriterAt
	io.Closer
	// Size returns the size in bytes.
	Size() (int64, error)
	// Truncate sets the size; what is added reads as zeros.
	Truncate(size int64) error
	// Allocate makes the file size bytes long, if it is shorter, and sees to it that what is added has its place on the disk: writing there
	// fails for want of space no more. It reads as zeros. Nothing of it is durable before SyncData. After an error the file may have grown.
	Allocate(size int64) error
	// WriteBehind tells that the file is written front to back, has been written up to end, and that what lies before it is neither written again nor
	// likely to be read soon: the system may begin to write that out, and need not keep it in memory. It waits for nothing and promises nothing: only
	// SyncData makes durable, and what has failed shows there. Called by one goroutine at a time.
	WriteBehind(end int64)
	// SyncData makes what was written durable, and the size needed to read it. After an error nothing is known about what was written
	// since the last success, and a second call must not be trusted (it may succeed and mean nothing).
	SyncData() error
}

// Mode says what a file is opened for.
type Mode uint8

// The modes of Open.
const (
	ReadOnly Mode = iota
	ReadWrite
)

// Info describes an entry of a directory.
type Info struct {
	Name  string // the last element
	Size  int64  // of a regular file
	IsDir bool
	// Regular is false for links, devices, pipes and sockets, which the engine never opens.
	Regular bool
}

// ErrNotRegular is returned for opening what is neither a regular file nor a directory where one is expected.
var ErrNotRegular = errors.New("vfs: not a regular file")

// HeldError is returned by Lock when the directory has an owner already.
type HeldError struct {
	Holder string // as the owner wrote it down, or Readers; may be empty
}

// Readers is the holder that Lock reports of a directory that is locked by LockShared.
const Readers = "those who read it"

func (e *HeldError) Error() string {
	if e.Holder == "" {
		return "vfs: the directory is in use"
	}
	return "vfs: the directory is in use by " + e.Holder
}
