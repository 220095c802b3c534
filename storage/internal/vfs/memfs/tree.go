package memfs

import (
	"io/fs"
	"path"
	"strings"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// The calls of this file find and make inodes. They return bare errors, for pathError, and their callers hold mu.

// find returns what name is, which must exist.
func (f *FS) find(name string) (*inode, error) {
	if f.crashed {
		return nil, ErrCrashed
	}
	node := f.root
	if name == "." {
		return node, nil
	}
	for element := range strings.SplitSeq(name, "/") {
		if !node.dir {
			return nil, vfs.ErrNotRegular
		}
		if node = node.entries[element]; node == nil {
			return nil, fs.ErrNotExist
		}
	}
	return node, nil
}

func (f *FS) findDir(name string) (*inode, error) {
	node, err := f.find(name)
	if err == nil && !node.dir {
		return nil, vfs.ErrNotRegular
	}
	return node, err
}

// parent returns the directory that name is or would be in.
func (f *FS) parent(name string) (*inode, error) {
	return f.findDir(path.Dir(name))
}

func (f *FS) newDir() *inode {
	return &inode{id: f.newID(), dir: true, entries: map[string]*inode{}, durableEntries: map[string]*inode{}}
}

func (f *FS) newID() uint64 {
	f.nextID++
	return f.nextID
}

func (f *FS) nextSeq() int {
	f.seq++
	return f.seq
}

// add makes a new entry.
func (f *FS) add(name string, dir bool) (*inode, error) {
	parent, err := f.parent(name)
	if err != nil {
		return nil, err
	}
	if name == "." || parent.entries[path.Base(name)] != nil {
		return nil, fs.ErrExist
	}
	node := &inode{id: f.newID()}
	if dir {
		node = f.newDir()
	}
	parent.move(move{seq: f.nextSeq(), kind: moveCreate, name: path.Base(name), node: node})
	return node, nil
}
