package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// A file under one of our names may be somebody else's: put there by mistake, or another name of a file elsewhere. What does not begin as ours do, and
// is not empty space that we left, is given another name and reported, and never written to.

const maxFound = 1000

// ours tells whether the beginning of a file is what we write, or nothing yet.
func ours(head []byte, magic string) bool {
	n := min(len(head), len(magic))
	return string(head[:n]) == magic[:n] || len(bytes.TrimLeft(head[:n], "\x00")) == 0
}

// disown gives up the journal files that are somebody else's, or of which the first bytes are ruined. What they hold for the replay has been read.
func (st *Store) disown() error {
	var errs []error
	kept := st.ring.slots[:0]
	for _, sl := range st.ring.slots {
		if sl.ours {
			kept = append(kept, sl)
			continue
		}
		st.report.Foreign = append(st.report.Foreign, sl.name)
		errs = append(errs, sl.file.Close())
	}
	st.ring.slots = kept
	return errors.Join(errs...)
}

// claim makes sure that the file called name, if there is one, is ours.
func (st *Store) claim(name, magic string) error {
	if st.readOnly {
		return nil
	}
	f, err := st.fs.Open(name, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("storage: %s: %w", name, err)
	}
	head, err := readAt(f, name, 0, len(magic))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if ours(head, magic) {
		return nil
	}
	return st.displace(name)
}

// displace gives a file another name.
func (st *Store) displace(name string) error {
	for n := 1; n < maxFound; n++ {
		other := fmt.Sprintf("%s.found-%d", name, n)
		switch f, err := st.fs.Open(other, vfs.ReadOnly); {
		case err == nil:
			if err := f.Close(); err != nil {
				return fmt.Errorf("storage: %s: %w", other, err)
			}
			continue
		case errors.Is(err, vfs.ErrNotRegular):
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("storage: %s: %w", other, err)
		}
		if err := st.fs.Rename(name, other); err != nil {
			return fmt.Errorf("storage: %s, which is not the store's: %w", name, err)
		}
		st.report.Foreign = append(st.report.Foreign, other)
		return nil
	}
	return fmt.Errorf("storage: %s, which is not the store's: %w", name, fs.ErrExist)
}

// clear takes away what an interrupted initialisation left under one of our names: nothing has been written to its first sector, or a checkpoint's
// header was being written. What holds anything else gets another name.
func (st *Store) clear(name, magic string) error {
	f, err := st.fs.Open(name, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("storage: %s: %w", name, err)
	}
	head, err := readAt(f, name, 0, sector)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if len(bytes.TrimLeft(head, "\x00")) > 0 && !bytes.HasPrefix(head, []byte(magic)) {
		return st.displace(name)
	}
	return removeIfThere(st.fs, name)
}
