package osfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// maxEntries bounds what List reads of a hostile directory.
const maxEntries = 1 << 20

// ErrTooManyEntries is returned by List for a directory with more than 1,048,576 entries.
var ErrTooManyEntries = errors.New("osfs: too many entries in the directory")

// List implements vfs.FS. What disappears meanwhile is left out.
func (f *FS) List(dir string) ([]vfs.Info, error) {
	names, err := f.names(dir, maxEntries)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	infos := make([]vfs.Info, 0, len(names))
	for _, name := range names {
		info, err := f.root.Lstat(path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entry := vfs.Info{Name: name, IsDir: info.IsDir(), Regular: info.Mode().IsRegular()}
		if entry.Regular {
			entry.Size = info.Size()
		}
		infos = append(infos, entry)
	}
	return infos, nil
}

func (f *FS) names(dir string, limit int) ([]string, error) {
	d, err := f.openDir("list", dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(limit + 1)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(names) > limit {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: ErrTooManyEntries}
	}
	return names, nil
}

// SyncDir implements vfs.FS. Windows has no such call; there it does nothing.
func (f *FS) SyncDir(dir string) error {
	d, err := f.openDir("syncdir", dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(d), d.Close())
}

// openDir opens a directory for reading it or syncing it.
func (f *FS) openDir(op, dir string) (*os.File, error) {
	before, err := f.lstat(op, dir)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, notRegular(op, dir)
	}
	return f.open(dir, os.O_RDONLY, before)
}
