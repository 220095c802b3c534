package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// newestCheckpoint returns the newest whole checkpoint, nil for a new directory, and which file the next one goes to.
func newestCheckpoint(fsys vfs.FS) (*checkpoint, int, error) {
	var best *checkpoint
	target := 0
	for i, name := range checkpointNames {
		c, err := readCheckpoint(fsys, name)
		if errors.Is(err, errCheckpoint) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("storage: %s: %w", name, err)
		}
		if best == nil || c.seq > best.seq {
			best, target = c, (i+1)%len(checkpointNames)
		}
	}
	if best != nil {
		return best, target, nil
	}
	used, err := usedName(fsys)
	if err == nil && used != "" {
		err = &storage.DamageError{File: checkpointNames[0], Reason: "no checkpoint is whole, but " + used + " holds records"}
	}
	return nil, 0, err
}

// usedName returns the name of a file that was used for records, "" if there is none: a directory with neither checkpoint nor records is new,
// since the first checkpoint is the last thing that its making writes.
func usedName(fsys vfs.FS) (string, error) {
	infos, err := fsys.List(journalDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("storage: journal: %w", err)
	}
	for _, info := range infos {
		name := journalDir + "/" + info.Name
		b, err := readHead(fsys, name)
		if err != nil {
			return "", fmt.Errorf("storage: journal: %w", err)
		}
		if string(b) == slotMagic {
			return name, nil
		}
	}
	segments, err := fsys.List(segmentDir)
	if err == nil && len(segments) > 0 {
		return segmentDir + "/" + segments[0].Name, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return "", err
}

// readHead reads what shows whether a slot was ever in use.
func readHead(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, len(slotMagic))
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}
