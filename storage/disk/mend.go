package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// MendOptions of a Mend. The zero value is fine.
type MendOptions struct {
	// Progress is called, if it is not nil, with the bytes of segments that were looked at and those of all.
	Progress func(done, total int64)
}

// MendReport says what a Mend has done.
type MendReport struct {
	Mended []*storage.DamageError // what is whole again
	Left   []*storage.DamageError // what is not: Reason says why
	Aside  []string               // where the damaged files are now
}

// Mend verifies all segments and replaces what is damaged by what a copy of the store has: a snapshot, the directory of a follower, or any copy of the directory, which nobody writes
// to. Of a damaged segment all frames that are whole are kept, compressed or not, and the others are taken from the copy, however it has them; holes are filled that way, too, whether
// they were skipped or not. What is put together is checked frame by frame against what the store knows of it, and takes the place of the old file when it is durable; the damaged file
// goes to aside/. The store may be used meanwhile.
//
// What the copy does not have stays as it is, and is reported in Left: so are records of a segment that was compacted since the copy was made, for some of those in the copy were
// removed for good. It may be cut short and called again. Errors: storage.ErrFormat if dir holds another
// store, those of OpenReadOnly, of Append, ctx's, and those of the file systems.
func (st *Store) Mend(ctx context.Context, dir string, o MendOptions) (MendReport, error) {
	from, err := osfs.OpenExisting(dir)
	if err != nil {
		return MendReport{}, fmt.Errorf("storage: %w", err)
	}
	r, err := st.MendFS(ctx, from, o)
	return r, errors.Join(err, from.Close())
}

// MendFS is Mend from a file system of this module, for tests.
func (st *Store) MendFS(ctx context.Context, from vfs.FS, o MendOptions) (r MendReport, err error) {
	if err := st.core.Writable(); err != nil {
		return r, err
	}
	source, err := OpenReadOnlyFS(unclosed{from}, Options{})
	if err != nil {
		return r, fmt.Errorf("storage: the copy to mend from: %w", err)
	}
	defer func() { err = errors.Join(err, source.Close(context.Background())) }()
	if source.core.Seed() != st.core.Seed() {
		return r, fmt.Errorf("%w: the copy to mend from is of another store", storage.ErrFormat)
	}
	if err := source.keeper.all(maxLSN); err != nil { // into its overlay
		return r, err
	}
	fresh := segment.NewDir(st.fs, segment.Identity{Store: st.journal.id.store, Seed: st.core.Seed()}, 8)
	defer func() { err = errors.Join(err, fresh.Close()) }()
	m := &mender{st: st, ctx: ctx, o: o, source: source, fresh: fresh, report: &r}
	return r, m.run()
}

// mender is one Mend under way.
type mender struct {
	st          *Store
	ctx         context.Context
	o           MendOptions
	source      *Store
	fresh       *segment.Dir // opens files anew: the store may have one open that has no name any more
	report      *MendReport
	done, total int64
}

func (m *mender) run() error {
	parts := m.st.core.Catalog.Partitions()
	for _, p := range parts {
		for _, s := range m.segments(p) {
			m.total += s.Meta().Length
		}
	}
	for _, p := range parts {
		for _, s := range m.segments(p) {
			if err := m.segment(p, s); err != nil {
				return err
			}
			m.done += s.Meta().Length
			if m.o.Progress != nil {
				m.o.Progress(m.done, m.total)
			}
		}
		if err := m.holes(p); err != nil {
			return err
		}
	}
	return nil
}

func (m *mender) segments(p *core.Partition) []*segment.Segment {
	if p == nil {
		return nil
	}
	if h := m.st.keeper.parts.find(p.ID); h != nil {
		return h.list()
	}
	return nil
}

// segment mends s if it is damaged.
func (m *mender) segment(p *core.Partition, s *segment.Segment) error {
	found, err := m.examine(p, s)
	if err != nil || len(found.Damage) == 0 {
		return err
	}
	damage := found.Damage
	if err := m.retire(p, s); err != nil {
		return err
	}
	meta := s.Meta()
	own := m.fresh.Open(p.ID, meta).Pieces
	if found.Others { // not one of its frames is known to be right
		own = lost(meta.Base, meta.Next)
	}
	made, reason, err := m.put(p, own, &meta)
	if err != nil || made == nil {
		return m.leave(damage, reason, err)
	}
	err = m.keep(p.ID, s.Name(), &meta)
	if err == nil {
		err = m.st.keeper.settle(m.ctx, meta.File)
	}
	if err != nil {
		m.giveUp(p, made)
		return err
	}
	return m.exchange(p, []*segment.Segment{s}, made, damage)
}

// exchange puts a segment in the place of others.
func (m *mender) exchange(p *core.Partition, old []*segment.Segment, made *segment.Segment, damage []*storage.DamageError) error {
	done, err := m.st.swap(m.ctx, p, old, []*segment.Segment{made})
	if err != nil || !done {
		return m.leave(damage, "it was removed or rewritten meanwhile", err)
	}
	m.report.Mended = append(m.report.Mended, damage...)
	return m.close(p, made.Meta().Base, made.Meta().Next)
}

func (m *mender) leave(damage []*storage.DamageError, reason string, err error) error {
	if err != nil {
		return err
	}
	for _, d := range damage {
		left := *d
		left.Reason += "; not mended: " + reason
		m.report.Left = append(m.report.Left, &left)
	}
	return nil
}

// giveUp removes a segment that was made for nothing.
func (m *mender) giveUp(p *core.Partition, made *segment.Segment) {
	m.st.keeper.graves.bury(p.ID, made)
}

// retire makes sure that nothing is added to s any more.
func (m *mender) retire(p *core.Partition, s *segment.Segment) error {
	k := m.st.keeper
	return k.do(m.ctx, func() {
		if s.Meta().Sealed {
			return
		}
		s.Retire()
		k.changed[s] = struct{}{}
		k.sealings.note(s.Meta().File, k.graves.newest())
	})
}

// examine returns what is damaged in s: nothing if it does not count any more.
func (m *mender) examine(p *core.Partition, s *segment.Segment) (segment.Verified, error) {
	found, err := m.fresh.Open(p.ID, s.Meta()).Verify(func(int) error { return m.ctx.Err() })
	if err != nil {
		return found, err
	}
	if h := m.st.keeper.parts.find(p.ID); h == nil || !h.hasAny([]*segment.Segment{s}) {
		return segment.Verified{}, nil
	}
	return found, nil
}

// keep gives the damaged file a second name, or copies it where it cannot have one. A file that is missing needs none.
func (m *mender) keep(p storage.PartitionID, name string, meta *segment.Meta) error {
	fsys := m.st.fs
	dir := asideDir + "/segments"
	if err := makeDirs(fsys, asideDir, dir); err != nil {
		return err
	}
	copied := fmt.Sprintf("%s/%08x-%016x", dir, uint32(p), meta.File)
	err := fsys.Link(name, fsys, copied)
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		err = copyAside(fsys, name, 0, meta.Length, copied)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // it is missing: there is nothing to keep
		return nil
	case err != nil && !errors.Is(err, fs.ErrExist): // which says that a Mend before this one did it
		return fmt.Errorf("storage: copying %s aside: %w", name, err)
	}
	m.report.Aside = append(m.report.Aside, copied)
	return syncAside(fsys, dir, asideDir, ".")
}
