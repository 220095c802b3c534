package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// What is damaged is copied aside, and the copy is durable, before anything may overwrite it. Copies are never removed and never read again by the
// store: they are for people. Their names tell what they are, so that doing it again finds them there:
//
//	aside/frames/<LSN, 16 hex digits>             a frame of the journal whose body is lost
//	aside/salvage-<n>/...                         all of journal and checkpoints before salvage n
//	aside/segments/<partition>-<file id>          a segment that was replaced from a backup
const asideDir = "aside"

func asideFrame(l frame.LSN) string { return fmt.Sprintf("%s/frames/%016x", asideDir, uint64(l)) }

// maxAside bounds what one open copies aside on its own.
const maxAside = 64 << 20

// keepLost copies the frames aside whose bodies are lost.
func (st *Store) keepLost(lost []lostFrame) error {
	if len(lost) == 0 || st.readOnly {
		return nil
	}
	total := int64(0)
	for i := range lost {
		total += lost[i].to - lost[i].from
	}
	if total > maxAside {
		return &storage.LimitError{What: "damage in the journal that an open copies aside (use Salvage)", Size: total, Max: maxAside}
	}
	if err := makeDirs(st.fs, asideDir, asideDir+"/frames"); err != nil {
		return err
	}
	for i := range lost {
		l := &lost[i]
		if err := copyAside(st.fs, l.file, l.from, l.to, asideFrame(l.h.LSN)); err != nil {
			return err
		}
	}
	return syncAside(st.fs, asideDir+"/frames", asideDir, ".")
}

func makeDirs(fsys vfs.FS, dirs ...string) error {
	for _, dir := range dirs {
		if err := fsys.Mkdir(dir); err != nil {
			return fmt.Errorf("storage: copying aside: %w", err)
		}
	}
	return nil
}

func syncAside(fsys vfs.FS, dirs ...string) error {
	for _, dir := range dirs {
		if err := fsys.SyncDir(dir); err != nil {
			return fmt.Errorf("storage: copying aside: %w", err)
		}
	}
	return nil
}

// copyAside copies bytes of a file to a file of its own, and syncs it. It does nothing if that was done before. Its name is durable after a sync of the directory.
func copyAside(fsys vfs.FS, name string, from, to int64, copied string) error {
	same, err := sameBytes(fsys, name, from, to, copied)
	if err != nil || same {
		return err
	}
	part := copied + ".part"
	if err := removeIfThere(fsys, part); err != nil { // the start of the same copy
		return fmt.Errorf("storage: copying aside: %w", err)
	}
	if err := copyBytes(fsys, name, from, to, part); err != nil {
		return fmt.Errorf("storage: copying %s aside: %w", name, err)
	}
	if err := fsys.Rename(part, copied); err != nil {
		return fmt.Errorf("storage: copying aside: %w", err)
	}
	return nil
}

func copyBytes(fsys vfs.FS, name string, from, to int64, part string) error {
	in, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fsys.Create(part)
	if err != nil {
		return err
	}
	w := &window{file: in, name: name, end: to}
	for pos := from; pos < to; {
		b, err := w.at(pos, 1)
		if err == nil && len(b) > 0 {
			_, err = out.WriteAt(b, pos-from)
		}
		if err != nil {
			return errors.Join(err, out.Close())
		}
		if len(b) == 0 {
			break
		}
		pos += int64(len(b))
	}
	return errors.Join(out.SyncData(), out.Close())
}

// sameBytes tells whether a copy holds exactly these bytes.
func sameBytes(fsys vfs.FS, name string, from, to int64, copied string) (bool, error) {
	c, err := fsys.Open(copied, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("storage: copying aside: %w", err)
	}
	defer c.Close()
	size, err := c.Size()
	if err != nil || size != to-from {
		return false, err
	}
	in, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		return false, fmt.Errorf("storage: copying aside: %w", err)
	}
	defer in.Close()
	a, b := &window{file: in, name: name, end: to}, &window{file: c, name: copied, end: size}
	for pos := from; pos < to; {
		p, err := a.at(pos, 1)
		if err != nil {
			return false, err
		}
		q, err := b.at(pos-from, 1)
		if err != nil {
			return false, err
		}
		n := min(len(p), len(q))
		if n == 0 || !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
		pos += int64(n)
	}
	return true, nil
}

// sizesOf returns the sizes of those of the files that are there.
func sizesOf(fsys vfs.FS, names []string) (sizes map[string]int64, total int64, err error) {
	sizes = map[string]int64{}
	for _, name := range names {
		f, err := fsys.Open(name, vfs.ReadOnly)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrNotRegular) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("storage: %s: %w", name, err)
		}
		size, err := f.Size()
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, 0, fmt.Errorf("storage: %s: %w", name, err)
		}
		size = min(size, maxCheckpoint) // no file of ours is larger
		sizes[name] = size
		total += size
	}
	return sizes, total, nil
}

func listIfThere(fsys vfs.FS, dir string) ([]vfs.Info, error) {
	infos, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("storage: %s: %w", dir, err)
	}
	return infos, nil
}
