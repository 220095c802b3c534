package memfs

import (
	"io"
	"path"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Sub returns dir, which is made if need be and durable, as a file system of its own. It has a lock of its own, and shares everything else: a crash or a hook
// of f is one of dir, and a link between two of them is one file. Operations have their full names.
func (f *FS) Sub(dir string) vfs.FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	if node, err := f.find(dir); err != nil || !node.dir {
		node := f.newDir()
		f.root.entries[dir], f.root.durableEntries[dir] = node, node
	}
	return &sub{f, dir}
}

type sub struct {
	fs  *FS
	dir string
}

func (s *sub) name(op vfs.Kind, name string) (string, error) {
	return path.Join(s.dir, name), vfs.CheckName(op.String(), name)
}

// Open implements vfs.FS.
func (s *sub) Open(name string, mode vfs.Mode) (vfs.File, error) {
	full, err := s.name(vfs.OpOpen, name)
	if err != nil {
		return nil, err
	}
	return s.fs.Open(full, mode)
}

// Create implements vfs.FS.
func (s *sub) Create(name string) (vfs.File, error) {
	full, err := s.name(vfs.OpCreate, name)
	if err != nil {
		return nil, err
	}
	return s.fs.Create(full)
}

// Mkdir implements vfs.FS.
func (s *sub) Mkdir(name string) error {
	full, err := s.name(vfs.OpMkdir, name)
	if err != nil {
		return err
	}
	return s.fs.Mkdir(full)
}

// Rename implements vfs.FS.
func (s *sub) Rename(from, to string) error {
	f, err := s.name(vfs.OpRename, from)
	if err != nil {
		return err
	}
	t, err := s.name(vfs.OpRename, to)
	if err != nil {
		return err
	}
	if from == "." || to == "." {
		return s.fs.Rename(".", ".") // refused as that
	}
	return s.fs.Rename(f, t)
}

// Link implements vfs.FS.
func (s *sub) Link(from string, dst vfs.FS, to string) error {
	full, err := s.name(vfs.OpLink, from)
	if err != nil {
		return err
	}
	return s.fs.Link(full, dst, to)
}

// Remove implements vfs.FS.
func (s *sub) Remove(name string) error {
	full, err := s.name(vfs.OpRemove, name)
	if err != nil {
		return err
	}
	if name == "." {
		full = "." // refused as that
	}
	return s.fs.Remove(full)
}

// List implements vfs.FS.
func (s *sub) List(dir string) ([]vfs.Info, error) {
	full, err := s.name(vfs.OpList, dir)
	if err != nil {
		return nil, err
	}
	return s.fs.List(full)
}

// SyncDir implements vfs.FS.
func (s *sub) SyncDir(dir string) error {
	full, err := s.name(vfs.OpSyncDir, dir)
	if err != nil {
		return err
	}
	return s.fs.SyncDir(full)
}

// Lock implements vfs.FS.
func (s *sub) Lock(holder string) (io.Closer, error) { return s.fs.lock(s.dir, holder) }

// LockShared implements vfs.FS.
func (s *sub) LockShared() (io.Closer, error) { return s.fs.lockShared(s.dir) }
