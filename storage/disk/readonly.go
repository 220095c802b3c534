package disk

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
	"github.com/leatmq/leat/storage/internal/vfs/overlayfs"
)

// OpenReadOnly opens the store in dir to be read: not a byte, name or time in dir changes, and nothing is made. What its last owner left in the
// journal is recovered in memory, which takes as much of it as there is to replay. It needs no permission to write, and any number of processes
// may read one directory at a time, while no store has it for writing: storage.ErrInUse.
//
// All writes return storage.ErrReadOnly. Damage of the journal that would keep Open from opening is in Report().Damage, and what lies in front of it is
// served. Other errors: storage.ErrFormat for a directory without a store, or one of a newer version; *storage.DamageError if no checkpoint is whole;
// and those of the file system.
func OpenReadOnly(dir string, o Options) (*Store, error) {
	fsys, err := osfs.OpenExisting(dir)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	st, err := OpenReadOnlyFS(fsys, o)
	if err != nil {
		return nil, errors.Join(err, fsys.Close())
	}
	return st, nil
}

// OpenReadOnlyFS is OpenReadOnly on a file system of this module, for tests. The store closes fsys if it is an io.Closer.
func OpenReadOnlyFS(fsys vfs.FS, o Options) (*Store, error) {
	return take(overlayfs.New(fsys), o, (*Store).look)
}

// look is open without anything that only a writer needs: offsets are not raised above those that may have been lost, since none is given out, and
// no checkpoint is made.
func (st *Store) look() error {
	st.readOnly = true
	if err := refuseUnfinished(st.fs); err != nil {
		return err
	}
	base, target, err := newestCheckpoint(st.fs)
	if err != nil {
		return err
	}
	if base == nil {
		return fmt.Errorf("%w: no store in the directory", storage.ErrFormat)
	}
	if _, err := st.recover(base, target); err != nil {
		return err
	}
	st.clamp()
	st.core.ReadOnly()
	st.report.Leftovers = len(st.leftover())
	st.report.Damage = append(st.report.Damage, st.damages()...)
	return nil
}

// bear notes damage that a store which is only read can live with, and returns any other error.
func (st *Store) bear(err error) error {
	var damage *storage.DamageError
	if st.readOnly && errors.As(err, &damage) {
		st.report.Damage = append(st.report.Damage, damage)
		return nil
	}
	return err
}
