// Package osfs is the file system of the operating system, below one directory, as vfs.FS.
//
// Every access goes through one os.Root, so that nothing outside the directory is reached whatever a name or a planted link says. On top
// of that no link is followed inside it either, and only regular files are opened.
package osfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/leatmq/leat/storage/internal/vfs"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// FS is a directory of the operating system. It holds one descriptor until Close.
type FS struct {
	root *os.Root
	dir  string // absolute
}

var _ vfs.FS = (*FS)(nil)

// Open opens the directory dir, which it makes with mode 0700 together with the parents that are missing; their names are durable when
// it returns. dir itself may be reached through a link: whoever names it is trusted.
func Open(dir string) (*FS, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := makeAll(abs); err != nil {
		return nil, err
	}
	return OpenExisting(abs)
}

// OpenExisting is Open without making anything: fs.ErrNotExist if there is no dir.
func OpenExisting(dir string) (*FS, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	return &FS{root: root, dir: abs}, nil
}

// Close gives back the descriptor of the directory. Open files and a held lock stay valid.
func (f *FS) Close() error {
	return f.root.Close()
}

// Exposed tells whether the system lets others than the directory's owner write in it.
func (f *FS) Exposed() (bool, error) {
	info, err := f.root.Stat(".")
	if err != nil {
		return false, err
	}
	return openToOthers(info.Mode()), nil
}

// makeAll makes dir and its missing parents and syncs the directory above each. The one above dir is synced even if dir was there: whoever
// made it may have been killed before it came to that.
func makeAll(dir string) error {
	parent := filepath.Dir(dir)
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "open", Path: dir, Err: vfs.ErrNotRegular}
		}
		if err := syncPath(parent); !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil // a parent that may be passed but not read: it is not ours
	}
	if parent == dir {
		return &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	if err := makeAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	} else if err == nil {
		if err := os.Chmod(dir, dirMode); err != nil {
			return err
		}
	}
	return syncPath(parent)
}

// syncPath makes the entries of a directory outside the root durable.
func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(d), d.Close())
}

// Open implements vfs.FS.
func (f *FS) Open(name string, mode vfs.Mode) (vfs.File, error) {
	before, err := f.lstat("open", name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, notRegular("open", name)
	}
	flag := os.O_RDONLY
	if mode == vfs.ReadWrite {
		flag = os.O_RDWR
	}
	h, err := f.open(name, flag, before)
	if err != nil {
		return nil, err
	}
	return &file{h: h}, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	if err := f.checkParents("create", name); err != nil {
		return nil, err
	}
	h, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|openNonblock, fileMode)
	if err != nil {
		return nil, err
	}
	if err := h.Chmod(fileMode); err != nil { // the umask may have taken bits away
		return nil, errors.Join(err, h.Close(), f.root.Remove(name))
	}
	return &file{h: h}, nil
}

// Mkdir implements vfs.FS.
func (f *FS) Mkdir(name string) error {
	if err := f.checkParents("mkdir", name); err != nil {
		return err
	}
	err := f.root.Mkdir(name, dirMode)
	if err == nil {
		return f.root.Chmod(name, dirMode)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, statErr := f.root.Lstat(name)
	return inTheWay(err, info, statErr)
}

// inTheWay returns what Mkdir does that was told with exists that there is something: nil if that is a directory. An error of looking at it says why, as want of descriptors,
// and is not for ever.
func inTheWay(exists error, info fs.FileInfo, statErr error) error {
	switch {
	case statErr != nil:
		return statErr
	case !info.IsDir():
		return exists
	}
	return nil
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	if err := f.checkParents("rename", from); err != nil {
		return err
	}
	if err := f.checkParents("rename", to); err != nil {
		return err
	}
	if path.Dir(from) != path.Dir(to) || from == "." || to == "." {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrInvalid}
	}
	if info, err := f.root.Lstat(to); err == nil && info.IsDir() && from != to {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrExist} // some systems replace an empty one
	}
	err := f.root.Rename(from, to)
	var link *os.LinkError
	if errors.As(err, &link) {
		return &fs.PathError{Op: "rename", Path: from, Err: link.Err}
	}
	return err
}

// Link implements vfs.FS. What the system has no name for is errors.ErrUnsupported, and so is a refusal whose reason cannot be told from that.
func (f *FS) Link(from string, dst vfs.FS, to string) error {
	before, err := f.lstat("link", from)
	if err != nil {
		return err
	}
	if !before.Mode().IsRegular() {
		return notRegular("link", from)
	}
	d, ok := dst.(*FS)
	if !ok {
		return &fs.PathError{Op: "link", Path: from, Err: errors.ErrUnsupported}
	}
	if err := d.checkParents("link", to); err != nil {
		return err
	}
	if err := os.Link(filepath.Join(f.dir, from), filepath.Join(d.dir, to)); err != nil {
		return linkError(from, err)
	}
	after, err := d.root.Lstat(to)
	if err != nil {
		return err
	}
	if !os.SameFile(before, after) { // something else was put in the way meanwhile
		return errors.Join(notRegular("link", from), d.root.Remove(to))
	}
	return nil
}

func linkError(from string, err error) error {
	var link *os.LinkError
	if errors.As(err, &link) {
		err = link.Err
	}
	if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return &fs.PathError{Op: "link", Path: from, Err: err}
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	if err := f.checkParents("remove", name); err != nil {
		return err
	}
	return f.root.Remove(name)
}
