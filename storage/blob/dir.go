package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// Dir is a directory of values. Its methods may be called at the same time.
//
//	LOCK      whoever holds the directory
//	owner     what SetOwner was given
//	drafts/   what is being written; what lies there at an open is what a crash cut off
//	00/ ff/   the values, each in the folder of its first two digits
type Dir struct {
	fs     vfs.FS
	lock   io.Closer
	give   func() error // what Close gives back besides the lock
	drafts atomic.Uint64

	naming sync.Mutex
	made   map[string]bool // guarded by naming; folders whose names are durable
	failed error           // guarded by naming; why names are not made durable any more
}

const (
	draftsDir = "drafts"
	ownerName = "owner"
	newOwner  = "owner.new"
	copyName  = "copy" // in a folder: a draft that is being copied there
)

// Open opens the directory dir, which is made if it is missing, and removes what a crash left half written. One Dir at a time has it: storage.ErrInUse. Other errors are those of the file system.
func Open(dir string) (*Dir, error) {
	f, err := osfs.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	d, err := OpenFS(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	d.give = f.Close
	return d, nil
}

// OpenFS is Open over a file system for tests.
func OpenFS(fsys vfs.FS) (*Dir, error) {
	lock, err := fsys.Lock(osfs.Process() + " since " + time.Now().Format(time.RFC3339))
	var held *vfs.HeldError
	if errors.As(err, &held) {
		return nil, fmt.Errorf("blob: %w: %w", storage.ErrInUse, err)
	}
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	d := &Dir{fs: fsys, lock: lock, give: func() error { return nil }, made: map[string]bool{}}
	if err := d.tidy(); err != nil {
		return nil, errors.Join(fmt.Errorf("blob: %w", err), lock.Close())
	}
	return d, nil
}

// tidy removes what was being written.
func (d *Dir) tidy() error {
	if err := d.fs.Mkdir(draftsDir); err != nil {
		return err
	}
	left, err := d.fs.List(draftsDir)
	if err != nil {
		return err
	}
	for _, f := range left {
		if err := d.fs.Remove(draftsDir + "/" + f.Name); err != nil {
			return err
		}
	}
	folders, err := d.fs.List(".")
	if err != nil {
		return err
	}
	for _, f := range folders {
		if f.IsDir && isFolder(f.Name) {
			if err := d.removeOld(f.Name + "/" + copyName); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeOld removes a file that need not be there.
func (d *Dir) removeOld(name string) error {
	if err := d.fs.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Close gives the directory up. Values that are being read may be read on; drafts must have ended.
func (d *Dir) Close() error { return errors.Join(d.lock.Close(), d.give()) }

// List returns all values, with their sizes. Files with other names are left alone.
func (d *Dir) List() (map[Name]int64, error) {
	all := map[Name]int64{}
	folders, err := d.fs.List(".")
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	for _, folder := range folders {
		if !folder.IsDir || !isFolder(folder.Name) {
			continue
		}
		files, err := d.fs.List(folder.Name)
		if err != nil {
			return nil, fmt.Errorf("blob: %w", err)
		}
		for _, f := range files {
			if n, ok := parseName(f.Name); ok && f.Regular {
				all[n] = f.Size
			}
		}
	}
	return all, nil
}

// Remove removes a value. One that is not there is no error. It may come back after a crash.
func (d *Dir) Remove(n Name) error {
	if err := d.removeOld(n.file()); err != nil {
		return fmt.Errorf("blob: %w", err)
	}
	return nil
}
