package memfs

import (
	"errors"
	"io/fs"
	"path"
	"syscall"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Open implements vfs.FS.
func (f *FS) Open(name string, mode vfs.Mode) (vfs.File, error) {
	if err := f.beginName(vfs.OpOpen, name); err != nil {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	node, err := f.find(name)
	if err != nil {
		return nil, pathError(vfs.OpOpen, name, err)
	}
	if node.dir {
		return nil, pathError(vfs.OpOpen, name, vfs.ErrNotRegular)
	}
	return &file{fs: f, node: node, name: name, mode: mode}, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	if err := f.beginName(vfs.OpCreate, name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	node, err := f.add(name, false)
	if err != nil {
		return nil, pathError(vfs.OpCreate, name, err)
	}
	return &file{fs: f, node: node, name: name, mode: vfs.ReadWrite}, nil
}

// Mkdir implements vfs.FS.
func (f *FS) Mkdir(name string) error {
	if err := f.beginName(vfs.OpMkdir, name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if node, err := f.find(name); err == nil && node.dir {
		return nil
	}
	if _, err := f.add(name, true); err != nil {
		return pathError(vfs.OpMkdir, name, err)
	}
	return nil
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	if err := f.beginName(vfs.OpRename, from); err != nil {
		return err
	}
	if err := vfs.CheckName(vfs.OpRename.String(), to); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.rename(from, to); err != nil {
		return pathError(vfs.OpRename, from, err)
	}
	return nil
}

func (f *FS) rename(from, to string) error {
	if path.Dir(from) != path.Dir(to) || from == "." || to == "." {
		return fs.ErrInvalid
	}
	node, err := f.find(from)
	if err != nil {
		return err
	}
	parent, err := f.parent(to)
	if err != nil {
		return err
	}
	if from == to {
		return nil
	}
	if old := parent.entries[path.Base(to)]; old != nil && (old.dir || node.dir) {
		return fs.ErrExist
	}
	parent.move(move{seq: f.nextSeq(), kind: moveRename, name: path.Base(from), to: path.Base(to), node: node})
	return nil
}

// Link implements vfs.FS. dst is this file system, or a Sub of it.
func (f *FS) Link(from string, dst vfs.FS, to string) error {
	if err := f.beginName(vfs.OpLink, from); err != nil {
		return err
	}
	if err := vfs.CheckName(vfs.OpLink.String(), to); err != nil {
		return err
	}
	if d, ok := dst.(*sub); ok {
		to = path.Join(d.dir, to)
		dst = d.fs
	}
	if dst != vfs.FS(f) {
		return pathError(vfs.OpLink, from, errors.ErrUnsupported)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.link(from, to); err != nil {
		return pathError(vfs.OpLink, from, err)
	}
	return nil
}

func (f *FS) link(from, to string) error {
	node, err := f.find(from)
	if err != nil {
		return err
	}
	if node.dir {
		return vfs.ErrNotRegular
	}
	parent, err := f.parent(to)
	if err != nil {
		return err
	}
	if to == "." || parent.entries[path.Base(to)] != nil {
		return fs.ErrExist
	}
	parent.move(move{seq: f.nextSeq(), kind: moveCreate, name: path.Base(to), node: node})
	return nil
}

// Remove implements vfs.FS. An open file that is removed can still be read and written.
func (f *FS) Remove(name string) error {
	if err := f.beginName(vfs.OpRemove, name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	node, err := f.find(name)
	if err != nil {
		return pathError(vfs.OpRemove, name, err)
	}
	if node == f.root {
		return pathError(vfs.OpRemove, name, fs.ErrInvalid)
	}
	if len(node.entries) > 0 {
		return pathError(vfs.OpRemove, name, syscall.ENOTEMPTY)
	}
	parent, err := f.parent(name)
	if err != nil {
		return pathError(vfs.OpRemove, name, err)
	}
	parent.move(move{seq: f.nextSeq(), kind: moveRemove, name: path.Base(name)})
	return nil
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]vfs.Info, error) {
	if err := f.beginName(vfs.OpList, dir); err != nil {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	node, err := f.findDir(dir)
	if err != nil {
		return nil, pathError(vfs.OpList, dir, err)
	}
	infos := make([]vfs.Info, 0, len(node.entries))
	for _, name := range node.names() {
		child := node.entries[name]
		infos = append(infos, vfs.Info{Name: name, Size: child.live.size, IsDir: child.dir, Regular: !child.dir})
	}
	return infos, nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	if err := f.beginName(vfs.OpSyncDir, dir); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	node, err := f.findDir(dir)
	if err != nil {
		return pathError(vfs.OpSyncDir, dir, err)
	}
	node.syncEntries()
	return nil
}
