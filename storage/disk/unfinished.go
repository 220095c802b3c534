package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// unfinishedName is the file that says that a copy of a store is being made in a directory, and is not whole. It is the first thing that is written, and the last
// that is removed: no open takes such a directory for a store, and whoever makes a copy there again may remove what is in it.
const unfinishedName = "UNFINISHED"

const unfinishedText = "A snapshot or a restore into this directory has not ended. What is here is no whole store: begin again, or remove the directory.\n"

// refuseUnfinished returns storage.ErrUnfinished if the directory holds an unfinished copy.
func refuseUnfinished(fsys vfs.FS) error {
	f, err := fsys.Open(unfinishedName, vfs.ReadOnly)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("storage: %s: %w", unfinishedName, err)
	}
	return errors.Join(storage.ErrUnfinished, f.Close())
}

// beginCopy makes fsys a directory for a copy of a store: it must be empty, or hold what an unfinished copy has left.
func beginCopy(fsys vfs.FS) error {
	infos, err := fsys.List(".")
	if err != nil {
		return fmt.Errorf("storage: directory of a copy: %w", err)
	}
	switch err := refuseUnfinished(fsys); {
	case errors.Is(err, storage.ErrUnfinished):
		return removeCopy(fsys, infos)
	case err != nil:
		return err
	}
	for _, info := range infos {
		if info.Name != vfs.LockName {
			return fmt.Errorf("%w: it has %q", storage.ErrNotEmpty, info.Name)
		}
	}
	f, err := fsys.Create(unfinishedName)
	if err == nil {
		_, err = f.WriteAt([]byte(unfinishedText), 0)
		err = errors.Join(err, f.SyncData(), f.Close(), fsys.SyncDir("."))
	}
	if err != nil {
		return fmt.Errorf("storage: directory of a copy: %w", err)
	}
	return nil
}

// endCopy makes the copy a store.
func endCopy(fsys vfs.FS) error {
	if err := fsys.Remove(unfinishedName); err != nil {
		return fmt.Errorf("storage: ending a copy: %w", err)
	}
	if err := fsys.SyncDir("."); err != nil {
		return fmt.Errorf("storage: ending a copy: %w", err)
	}
	return nil
}

// removeCopy removes what an unfinished copy has left, but for the file that says so. Nothing is removed if there is something that no copy has made.
func removeCopy(fsys vfs.FS, infos []vfs.Info) error {
	var files, dirs []string
	for _, info := range infos {
		switch {
		case info.Name == vfs.LockName, info.Name == unfinishedName:
		case (strings.HasPrefix(info.Name, "checkpoint-") || info.Name == reserveName) && info.Regular:
			files = append(files, info.Name)
		case (info.Name == journalDir || info.Name == segmentDir || info.Name == asideDir) && info.IsDir:
			fs, ds, err := storeFiles(fsys, info.Name)
			if err != nil {
				return err
			}
			files, dirs = append(files, fs...), append(dirs, ds...)
		default:
			return fmt.Errorf("%w: beside an unfinished copy it has %q", storage.ErrNotEmpty, info.Name)
		}
	}
	for _, name := range append(files, dirs...) {
		if err := fsys.Remove(name); err != nil {
			return fmt.Errorf("storage: removing an unfinished copy: %w", err)
		}
	}
	return nil
}

// storeFiles lists what a store has below dir, directories from below.
func storeFiles(fsys vfs.FS, dir string) (files, dirs []string, err error) {
	infos, err := fsys.List(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("storage: an unfinished copy: %w", err)
	}
	for _, info := range infos {
		name := dir + "/" + info.Name
		_, parseErr := strconv.ParseUint(info.Name, 16, 64)
		ours := parseErr == nil || strings.HasPrefix(dir, asideDir)
		switch {
		case ours && info.Regular:
			files = append(files, name)
		case ours && info.IsDir && dir != journalDir:
			fs, ds, err := storeFiles(fsys, name)
			if err != nil {
				return nil, nil, err
			}
			files, dirs = append(files, fs...), append(dirs, ds...)
		default:
			return nil, nil, fmt.Errorf("%w: beside an unfinished copy it has %q", storage.ErrNotEmpty, name)
		}
	}
	return files, append(dirs, dir), nil
}
