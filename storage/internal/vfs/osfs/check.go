package osfs

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// open opens name, which lstat described as before, and makes sure that this is what was opened: a link put there in between is not.
func (f *FS) open(name string, flag int, before fs.FileInfo) (*os.File, error) {
	h, err := f.root.OpenFile(name, flag|openNonblock, 0)
	if err != nil {
		return nil, err
	}
	after, err := h.Stat()
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	if !os.SameFile(before, after) {
		return nil, errors.Join(notRegular("open", name), h.Close())
	}
	return h, nil
}

// lstat describes name without following a link anywhere in it.
func (f *FS) lstat(op, name string) (fs.FileInfo, error) {
	if err := f.checkParents(op, name); err != nil {
		return nil, err
	}
	return f.root.Lstat(name)
}

// checkParents checks the name and that everything above its last element is a directory, not a link to one.
func (f *FS) checkParents(op, name string) error {
	if err := vfs.CheckName(op, name); err != nil {
		return err
	}
	for i := strings.IndexByte(name, '/'); i >= 0; {
		info, err := f.root.Lstat(name[:i])
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return notRegular(op, name)
		}
		next := strings.IndexByte(name[i+1:], '/')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return nil
}

func notRegular(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: vfs.ErrNotRegular}
}
