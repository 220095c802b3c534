package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// copier makes a copy of a store's files in a directory that beginCopy has made ready.
type copier struct {
	from, to vfs.FS
	link     bool // where the file system can
	accept   bool // goes on where a file is damaged
	pace     *headway
	report   CopyReport
}

// CopyReport is what was copied.
type CopyReport struct {
	Files, Links int                    // copied, and given a second name
	Bytes        int64                  // of both
	Records      int64                  // in them
	Damage       []*storage.DamageError // what the copy lacks, because the store lacks it: see AcceptDamage
}

const copyChunk = 256 << 10

// segments copies the segments that c names.
func (x *copier) segments(ctx context.Context, c *checkpoint) error {
	if err := errors.Join(x.to.Mkdir(journalDir), x.to.Mkdir(segmentDir)); err != nil {
		return fmt.Errorf("storage: copying: %w", err)
	}
	names := segment.NewDir(x.from, segment.Identity{}, 0)
	for i := range c.topics {
		t := &c.topics[i]
		for n := range t.parts {
			if err := x.partition(ctx, names, t.topic.Partition(n), t.parts[n].segments); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(x.to.SyncDir(segmentDir), x.to.SyncDir(journalDir), x.to.SyncDir(".")); err != nil {
		return fmt.Errorf("storage: copying: %w", err)
	}
	return nil
}

func (x *copier) partition(ctx context.Context, names *segment.Dir, p storage.PartitionID, ms []segment.Meta) error {
	if len(ms) == 0 {
		return nil
	}
	dir := path.Dir(names.Open(p, ms[0]).Name())
	if err := x.to.Mkdir(dir); err != nil {
		return fmt.Errorf("storage: copying: %w", err)
	}
	for i := range ms {
		name := names.Open(p, ms[i]).Name()
		err := x.segment(ctx, name, &ms[i])
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrNotRegular) {
			err = &storage.DamageError{File: name, To: ms[i].Length, Partition: p, First: ms[i].Base, Next: ms[i].Next, Reason: "the file is missing"}
		}
		if err = x.tolerate(err); err != nil {
			return fmt.Errorf("storage: copying %s: %w", name, err)
		}
	}
	if err := x.to.SyncDir(dir); err != nil {
		return fmt.Errorf("storage: copying: %w", err)
	}
	return nil
}

// tolerate notes damage if it is accepted, and returns every other error.
func (x *copier) tolerate(err error) error {
	var damage *storage.DamageError
	if !x.accept || !errors.As(err, &damage) {
		return err
	}
	for _, d := range x.report.Damage {
		if d.File == damage.File {
			return nil
		}
	}
	x.report.Damage = append(x.report.Damage, damage)
	return nil
}

// segment copies what counts of one. A sealed one is never written to again by anyone, so a second name of its file is as good as a copy.
func (x *copier) segment(ctx context.Context, name string, m *segment.Meta) error {
	final, err := x.final(name, m)
	if err != nil {
		return err
	}
	if final {
		switch err := x.from.Link(name, x.to, name); {
		case err == nil:
			x.report.Links++
			x.report.Bytes += m.Length
			return x.pace.passed(ctx, 0)
		case !errors.Is(err, errors.ErrUnsupported):
			return err
		}
	}
	size := m.Length
	if m.Sealed {
		size += m.MaxFooter()
	}
	n, err := x.file(ctx, name, size)
	if err == nil && n < m.Length {
		return &storage.DamageError{File: name, From: n, To: m.Length, Reason: "the file ends there"}
	}
	return err
}

// final tells whether the file may get a second name.
func (x *copier) final(name string, m *segment.Meta) (bool, error) {
	if !x.link || !m.Sealed {
		return false, nil
	}
	f, err := x.from.Open(name, vfs.ReadOnly)
	if err != nil {
		return false, err
	}
	size, err := f.Size()
	footed := false
	if err == nil {
		footed, err = segment.Footed(f, size, m.File)
	}
	return footed, errors.Join(err, f.Close())
}

// file copies the first size bytes of a file, fewer if it has fewer, and syncs the copy.
func (x *copier) file(ctx context.Context, name string, size int64) (copied int64, err error) {
	from, err := x.from.Open(name, vfs.ReadOnly)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	to, err := x.to.Create(name)
	if err != nil {
		return 0, err
	}
	copied, err = x.bytes(ctx, from, to, size)
	if err == nil {
		err = to.SyncData()
	}
	x.report.Files++
	x.report.Bytes += copied
	return copied, errors.Join(err, to.Close())
}

func (x *copier) bytes(ctx context.Context, from, to vfs.File, size int64) (at int64, err error) {
	buf := make([]byte, min(size, copyChunk))
	for at < size {
		n, err := from.ReadAt(buf[:min(size-at, int64(len(buf)))], at)
		if n > 0 {
			if _, err := to.WriteAt(buf[:n], at); err != nil {
				return at, err
			}
			at += int64(n)
			to.WriteBehind(at)
			if err := x.pace.passed(ctx, int64(n)); err != nil {
				return at, err
			}
		}
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
	return at, nil
}

// checkpoint writes c, the last thing that makes the copy whole.
func (x *copier) checkpoint(c *checkpoint) error {
	f, err := x.to.Create(checkpointNames[0])
	if err == nil {
		err = errors.Join(c.write(f), f.Close())
	}
	if err == nil {
		err = x.to.SyncDir(".")
	}
	if err != nil {
		return fmt.Errorf("storage: copying: %w", err)
	}
	return nil
}

// prove reads the copy back: the checkpoint, and every frame of every segment that it names.
func (x *copier) prove(ctx context.Context) error {
	c, _, err := newestCheckpoint(x.to)
	if err == nil && c == nil {
		err = errCheckpoint
	}
	if err != nil {
		return fmt.Errorf("storage: checking the copy: %w", err)
	}
	segments := segment.NewDir(x.to, segment.Identity{Store: c.id.store, Seed: c.id.seed}, 4)
	for i := range c.topics {
		t := &c.topics[i]
		for n := range t.parts {
			for _, m := range t.parts[n].segments {
				x.report.Records += m.Records()
				err := segments.Open(t.topic.Partition(n), m).Check(func(n int) error { return x.pace.passed(ctx, int64(n)) })
				if err = x.tolerate(err); err != nil {
					return errors.Join(fmt.Errorf("storage: checking the copy: %w", err), segments.Close())
				}
			}
		}
	}
	return segments.Close()
}

// size is the bytes of the segments that c names.
func (c *checkpoint) size() (bytes int64) {
	for i := range c.topics {
		for n := range c.topics[i].parts {
			for _, m := range c.topics[i].parts[n].segments {
				bytes += m.Length
			}
		}
	}
	return bytes
}
