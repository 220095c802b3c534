// Package overlayfs is a file system over another one that it never writes to: what is created, written, cut, renamed or removed is so in memory
// only, and gone with the FS. It is for looking into a directory as a recovery would leave it.
//
// It is not for many writes: every page of 4 KiB that is written to takes memory until its file is removed and closed. Pages that are
// only read take none. What lies below must not change meanwhile; where it does all the same, errors say so, or its present bytes are read.
package overlayfs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"syscall"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// FS is a file system over another. Its methods may be called concurrently.
type FS struct {
	lower vfs.FS

	mu      sync.Mutex
	root    *node // guarded by mu, as are the names, kinds and entries of all nodes
	held    bool  // guarded by mu, as all below
	holder  string
	readers int
}

var _ vfs.FS = (*FS)(nil)

// New returns a file system that looks like lower, which is only read from now on.
func New(lower vfs.FS) *FS {
	return &FS{lower: lower, root: &node{lower: ".", dir: true}}
}

// Close closes the file system below, if it is an io.Closer.
func (f *FS) Close() error {
	if c, ok := f.lower.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Exposed tells whether others may write in the directory below, if that knows.
func (f *FS) Exposed() (bool, error) {
	if below, ok := f.lower.(interface{ Exposed() (bool, error) }); ok {
		return below.Exposed()
	}
	return false, nil
}

// at finds what name is. Errors are bare, but for those of the file system below.
func (f *FS) at(name string) (*node, error) {
	n := f.root
	if name == "." {
		return n, nil
	}
	for element := range strings.SplitSeq(name, "/") {
		entries, err := f.entries(n)
		if err != nil {
			return nil, err
		}
		if n = entries[element]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// place finds the entries that name is or would be among, and what is there, nil if nothing is.
func (f *FS) place(name string) (entries map[string]*node, there *node, err error) {
	parent, err := f.at(path.Dir(name))
	if err != nil {
		return nil, nil, err
	}
	entries, err = f.entries(parent)
	return entries, entries[path.Base(name)], err
}

// entries returns what is in the directory n, which it looks up below the first time.
func (f *FS) entries(n *node) (map[string]*node, error) {
	switch {
	case !n.dir:
		return nil, vfs.ErrNotRegular
	case n.entries != nil:
		return n.entries, nil
	}
	entries := map[string]*node{}
	if n.lower != "" {
		infos, err := f.lower.List(n.lower)
		if err != nil {
			return nil, err
		}
		for _, info := range infos {
			lower := path.Join(n.lower, info.Name)
			entries[info.Name] = &node{lower: lower, dir: info.IsDir, odd: !info.IsDir && !info.Regular, size: info.Size}
		}
	}
	n.entries = entries
	return entries, nil
}

// do calls act with the names locked and gives its error the path, if it has none.
func (f *FS) do(kind vfs.Kind, name string, act func() error) error {
	if err := vfs.CheckName(kind.String(), name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return located(kind, name, act())
}

func located(kind vfs.Kind, name string, err error) error {
	var has *fs.PathError
	if err == nil || errors.As(err, &has) {
		return err
	}
	return &fs.PathError{Op: kind.String(), Path: name, Err: err}
}

// Mkdir implements vfs.FS.
func (f *FS) Mkdir(name string) error {
	return f.do(vfs.OpMkdir, name, func() error {
		if name == "." {
			return nil
		}
		entries, there, err := f.place(name)
		switch {
		case err != nil:
			return err
		case there == nil:
			entries[path.Base(name)] = &node{dir: true}
		case !there.dir:
			return fs.ErrExist
		}
		return nil
	})
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	if err := vfs.CheckName(vfs.OpRename.String(), to); err != nil {
		return err
	}
	return f.do(vfs.OpRename, from, func() error {
		if path.Dir(from) != path.Dir(to) || from == "." || to == "." {
			return fs.ErrInvalid
		}
		entries, n, err := f.place(from)
		if err == nil && n == nil {
			err = fs.ErrNotExist
		}
		if err != nil || from == to {
			return err
		}
		if old := entries[path.Base(to)]; old != nil && (old.dir || n.dir) {
			return fs.ErrExist
		}
		delete(entries, path.Base(from))
		entries[path.Base(to)] = n
		return nil
	})
}

// Link implements vfs.FS, within this FS: errors.ErrUnsupported to another, which would see nothing of what was changed here.
func (f *FS) Link(from string, dst vfs.FS, to string) error {
	if err := vfs.CheckName(vfs.OpLink.String(), to); err != nil {
		return err
	}
	return f.do(vfs.OpLink, from, func() error {
		if dst != vfs.FS(f) {
			return errors.ErrUnsupported
		}
		n, err := f.at(from)
		switch {
		case err != nil:
			return err
		case n.dir || n.odd:
			return vfs.ErrNotRegular
		case to == ".":
			return fs.ErrExist
		}
		entries, there, err := f.place(to)
		switch {
		case err != nil:
			return err
		case there != nil:
			return fs.ErrExist
		}
		entries[path.Base(to)] = n
		return nil
	})
}

// Remove implements vfs.FS. An open file that is removed can still be read and written.
func (f *FS) Remove(name string) error {
	return f.do(vfs.OpRemove, name, func() error {
		if name == "." {
			return fs.ErrInvalid
		}
		entries, n, err := f.place(name)
		switch {
		case err != nil:
			return err
		case n == nil:
			return fs.ErrNotExist
		case n.dir:
			inside, err := f.entries(n)
			if err != nil {
				return err
			}
			if len(inside) > 0 {
				return syscall.ENOTEMPTY
			}
		}
		delete(entries, path.Base(name))
		return nil
	})
}

// SyncDir implements vfs.FS. There is nothing to sync.
func (f *FS) SyncDir(dir string) error {
	return f.do(vfs.OpSyncDir, dir, func() error {
		n, err := f.at(dir)
		if err == nil && !n.dir {
			err = vfs.ErrNotRegular
		}
		return err
	})
}
