package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/leatmq/leat/storage/internal/vfs"
)

const reserveName = "reserve"

// reserve is a file that does nothing but take space: as much as it takes to spill what waits in memory. When the disk is full it is cut,
// and then everything that was taken can go to segments, checkpoints can be made, and so cursors and cleanup can go on for as long as it lasts, in
// the journal that there is. Nothing is ever written to it.
type reserve struct {
	file vfs.File
	size int64 // 0 while it is given up
	lane *lane
	name string // for lane
}

// openReserve opens the file, or makes it. What it takes is what the last owner left.
func openReserve(fsys vfs.FS, l *lane) (*reserve, error) {
	f, err := fsys.Open(reserveName, vfs.ReadWrite)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = fsys.Create(reserveName)
	}
	if err != nil {
		return nil, fmt.Errorf("storage: %s: %w", reserveName, err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("storage: %s: %w", reserveName, err), f.Close())
	}
	return &reserve{file: f, size: size, lane: l, name: reserveName}, nil
}

// grow has the reserve take size bytes, or what it took before.
func (r *reserve) grow(size int64) error {
	r.lane.enter(&r.name)
	err := r.file.Allocate(size)
	r.lane.leave()
	if err == nil {
		r.size = size
		return nil
	}
	return fmt.Errorf("storage: %s of %d bytes: %w", reserveName, size, errors.Join(err, r.cut(r.size)))
}

// cut makes the reserve smaller.
func (r *reserve) cut(size int64) error {
	r.lane.enter(&r.name)
	err := r.file.Truncate(size)
	r.lane.leave()
	if err != nil {
		return fmt.Errorf("storage: %s: %w", reserveName, err)
	}
	r.size = size
	return nil
}

const (
	perPart  = 16 << 10 // what spilling takes for a partition beside its frames: directory, header block, pads, the rest of a block
	perSpill = 64 << 10 // and once, for whatever else grows
)

// need is what spilling takes of the disk.
func need(bytes, parts int64) int64 { return bytes + parts*perPart + perSpill }

// firstReserve is what the reserve takes in a store that was just opened.
func (o Options) firstReserve() int64 { return min(1<<20, o.MemoryBytes/8) }
