package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// Draft is a value that is written. One of Keep and Discard ends it. It is not for concurrent use.
type Draft struct {
	of   *Dir
	name string
	f    vfs.File
	size int64
}

// Create begins a value, whose name is not known yet.
func (d *Dir) Create() (*Draft, error) {
	name := draftsDir + "/" + strconv.FormatUint(d.drafts.Add(1), 10)
	f, err := d.fs.Create(name)
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	return &Draft{of: d, name: name, f: f}, nil
}

// Write adds to the value.
func (w *Draft) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.size)
	w.size += int64(n)
	return n, err
}

// Keep makes what was written the value n, durable on return; n must be the SHA-256 of it. fresh is false if the value was there already. When names cannot be made durable any more, as
// the disk has failed, the error is a *storage.StoppedError until the directory is opened again.
func (w *Draft) Keep(n Name) (fresh bool, err error) {
	if err = errors.Join(w.f.SyncData(), w.f.Close()); err == nil {
		fresh, err = w.of.keep(w.name, n)
	}
	w.of.fs.Remove(w.name) // what is left over goes at the next open
	if err != nil {
		return false, fmt.Errorf("blob: %w", err)
	}
	return fresh, nil
}

// Discard gives it up.
func (w *Draft) Discard() {
	w.f.Close()
	w.of.fs.Remove(w.name)
}

// keep gives a draft its name. That is made durable also if it was there: perhaps somebody else has just put it there. A sync of a directory that failed is not believed when it goes
// well the next time.
func (d *Dir) keep(draft string, n Name) (fresh bool, err error) {
	d.naming.Lock()
	defer d.naming.Unlock()
	if d.failed != nil {
		return false, d.failed
	}
	if err := d.makeFolder(n.folder()); err != nil {
		return false, err
	}
	err = d.fs.Link(draft, d.fs, n.file())
	if errors.Is(err, errors.ErrUnsupported) {
		err = d.copy(draft, n)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return err == nil, d.syncDir(n.folder())
}

// makeFolder makes a folder whose name is durable. It may have been there without being so.
func (d *Dir) makeFolder(folder string) error {
	if d.made[folder] {
		return nil
	}
	if err := d.fs.Mkdir(folder); err != nil {
		return err
	}
	if err := d.syncDir("."); err != nil {
		return err
	}
	d.made[folder] = true
	return nil
}

func (d *Dir) syncDir(dir string) error {
	if err := d.fs.SyncDir(dir); err != nil {
		d.failed = &storage.StoppedError{Cause: err}
		return d.failed
	}
	return nil
}

// copy is Link where files have one name: fs.ErrExist if the value is there.
func (d *Dir) copy(draft string, n Name) error {
	there, err := d.fs.Open(n.file(), vfs.ReadOnly)
	if err == nil {
		return errors.Join(fs.ErrExist, there.Close())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	to := n.folder() + "/" + copyName
	if err := d.removeOld(to); err != nil {
		return err
	}
	if err := d.copyFile(draft, to); err != nil {
		return err
	}
	return d.fs.Rename(to, n.file())
}

func (d *Dir) copyFile(from, to string) error {
	src, err := d.fs.Open(from, vfs.ReadOnly)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := d.fs.Create(to)
	if err != nil {
		return err
	}
	size, err := src.Size()
	if err == nil {
		_, err = io.Copy(io.NewOffsetWriter(dst, 0), io.NewSectionReader(src, 0, size))
	}
	if err == nil {
		err = dst.SyncData()
	}
	return errors.Join(err, dst.Close())
}
