package segment

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// defaultMaxOpen is how many files are kept open unless NewDir is told another number.
const defaultMaxOpen = 1024

// Dir is all segments of a store, and the files of them that are open. All methods may be called concurrently.
type Dir struct {
	fs      vfs.FS
	id      Identity
	maxOpen int
	names   names
	codecs  compress.Set
	blocks  blocks
	walks   sync.Pool // of *[]byte, for walkers

	mu      sync.Mutex // taken before Segment.mu
	idle    *sync.Cond // of mu; signalled when a use ended after Close began
	open    *list.List // of *handle, the one used last at the back; guarded by mu
	opening int        // guarded by mu
	closed  bool       // guarded by mu
}

// NewDir returns the segments of the store id in fs, which it does not look at. About maxOpen files are kept open, 1024 if it is 0; more only while
// more are in use at once.
func NewDir(fs vfs.FS, id Identity, maxOpen int) *Dir {
	if maxOpen <= 0 {
		maxOpen = defaultMaxOpen
	}
	d := &Dir{fs: fs, id: id, maxOpen: maxOpen, open: list.New()}
	d.idle = sync.NewCond(&d.mu)
	d.names.dir = d
	d.codecs, _ = compress.NewSet() // of none it makes one of all
	d.blocks.init()
	return d
}

// Create makes a segment of p with the given file id, which must be new: its directories, its file and the header block. Nothing of it
// is durable before Sync. base is the lowest offset it may hold, ordinal how many records of p were ever appended before it.
func (d *Dir) Create(p storage.PartitionID, file uint64, base, ordinal int64, epoch uint32) (*Segment, error) {
	return d.create(p, epoch, Meta{File: file, Base: base, Next: base, Ordinal: ordinal, Length: blockSize})
}

func (d *Dir) create(p storage.PartitionID, epoch uint32, m Meta) (*Segment, error) {
	s := &Segment{dir: d, partition: p, meta: m}
	if err := d.reserve(); err != nil {
		return nil, err
	}
	f, err := s.create(&header{file: m.File, partition: p, epoch: epoch, base: m.Base, ordinal: m.Ordinal, rewritten: m.Rewritten})
	h, err := d.admit(s, f, found{}, err)
	if err != nil {
		return nil, err
	}
	d.release(h)
	return s, nil
}

// Open returns the segment of p that m describes. It does not touch the disk: what is wrong with the file shows when it is used.
func (d *Dir) Open(p storage.PartitionID, m Meta) *Segment {
	return &Segment{dir: d, partition: p, meta: m, durable: m.Length, index: index{unindexed: m.Length}}
}

// Found is a segment file that Scan found. Its frames may count or not: only the checkpoint and the journal tell.
type Found struct {
	Partition storage.PartitionID
	File      uint64
	Epoch     uint32 // of the open that made it
	Rewritten bool   // by Rewrite: unless it is among those that count, what is in it is elsewhere
	Base      int64  // the lowest offset it may hold
	Ordinal   int64  // records of the partition before it
	Name      string // below the store's directory
	Size      int64
	Unread    error // the medium does not give the header block back: nothing but the name and the size is known
}

// Unknown is the Base and the Ordinal of a Found whose header block cannot be read.
const Unknown = -1

// Scan lists every segment file whose name and header block are of this store, or whose name is and whose header block cannot be read, and the names of
// everything else that lies where segments lie.
func (d *Dir) Scan() (found []Found, foreign []string, err error) {
	partitions, err := d.fs.List("seg")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list segments: %w", err)
	}
	for _, info := range partitions {
		name := "seg/" + info.Name
		p, ok := parseHex(info.Name, 8)
		if !ok || !info.IsDir {
			foreign = append(foreign, name)
			continue
		}
		files, err := d.fs.List(name)
		if err != nil {
			return nil, nil, fmt.Errorf("list segments: %w", err)
		}
		for _, info := range files {
			f, ok, err := d.examine(storage.PartitionID(p), info)
			if err != nil {
				return nil, nil, err
			}
			if !ok {
				foreign = append(foreign, name+"/"+info.Name)
				continue
			}
			found = append(found, f)
		}
	}
	return found, foreign, nil
}

// examine tells whether a file in the directory of p is a segment of p. One whose header block the medium does not give back may be: who asks knows whether
// that matters.
func (d *Dir) examine(p storage.PartitionID, info vfs.Info) (Found, bool, error) {
	file, ok := parseHex(info.Name, 16)
	if !ok || !info.Regular {
		return Found{}, false, nil
	}
	name := fileName(p, file)
	f, err := d.patiently(func() (vfs.File, error) { return d.fs.Open(name, vfs.ReadOnly) })
	if err != nil {
		return Found{}, false, fmt.Errorf("open segment: %w", err)
	}
	block, readErr := readAt(f, 0, blockSize)
	if err := f.Close(); err != nil {
		return Found{}, false, fmt.Errorf("close segment: %w", err)
	}
	switch {
	case unreadable(readErr):
		return Found{Partition: p, File: file, Base: Unknown, Ordinal: Unknown, Name: name, Size: info.Size, Unread: fmt.Errorf("%s: %w", name, readErr)}, true, nil
	case readErr != nil:
		return Found{}, false, fmt.Errorf("%s: %w", name, readErr)
	}
	h, err := parseHeader(block, d.id)
	if err != nil || h.file != file || h.partition != p {
		return Found{}, false, nil
	}
	return Found{Partition: p, File: file, Epoch: h.epoch, Rewritten: h.rewritten, Base: h.base, Ordinal: h.ordinal, Name: name, Size: info.Size}, true, nil
}

// Remove removes a file that Scan found and of which there is no Segment. It may come back after a power cut.
func (d *Dir) Remove(f Found) error {
	if err := d.fs.Remove(f.Name); err != nil {
		return fmt.Errorf("remove segment: %w", err)
	}
	return nil
}

// OpenFiles counts the files that are open.
func (d *Dir) OpenFiles() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open.Len()
}

// Close waits for the calls in progress, syncs what was written and not synced, and closes all files. Every call that needs a file returns
// storage.ErrClosed from then on. It is idempotent.
func (d *Dir) Close() error {
	d.mu.Lock()
	d.closed = true
	for d.opening > 0 || d.inUse() {
		d.idle.Wait()
	}
	var handles []*handle
	for e := d.open.Front(); e != nil; e = e.Next() {
		h := e.Value.(*handle)
		h.users++
		handles = append(handles, h)
	}
	d.mu.Unlock()
	var errs []error
	for _, h := range handles {
		if err := d.drop(h); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// inUse tells whether a file is in use. d.mu is held.
func (d *Dir) inUse() bool {
	for e := d.open.Front(); e != nil; e = e.Next() {
		if e.Value.(*handle).users > 0 {
			return true
		}
	}
	return false
}

// parseHex reads a number of exactly so many lower-case hex digits.
func parseHex(s string, digits int) (uint64, bool) {
	if len(s) != digits || strings.ToLower(s) != s {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 64)
	return n, err == nil
}
