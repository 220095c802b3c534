package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// MaxOwner is how long the text of SetOwner may be, in bytes.
const MaxOwner = 4096

// Owner returns what SetOwner was given, "" if nothing was.
func (d *Dir) Owner() (string, error) {
	f, err := d.fs.Open(ownerName, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("blob: %w", err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, MaxOwner))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("blob: %w", err)
	}
	return string(b), nil
}

// SetOwner writes down whose the values are, whole and durable on return. The error is a *storage.LimitError, or one of the file system.
func (d *Dir) SetOwner(owner string) error {
	if len(owner) > MaxOwner {
		return &storage.LimitError{What: "owner", Size: int64(len(owner)), Max: MaxOwner}
	}
	if err := d.writeOwner(owner); err != nil {
		return fmt.Errorf("blob: %w", err)
	}
	return nil
}

func (d *Dir) writeOwner(owner string) error {
	d.naming.Lock()
	defer d.naming.Unlock()
	if d.failed != nil {
		return d.failed
	}
	if err := d.removeOld(newOwner); err != nil {
		return err
	}
	f, err := d.fs.Create(newOwner)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(owner), 0)
	if err == nil {
		err = f.SyncData()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.Rename(newOwner, ownerName); err != nil {
		return err
	}
	return d.syncDir(".")
}
