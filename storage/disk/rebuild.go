package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// RebuildOptions of a Rebuild. The zero value is fine.
type RebuildOptions struct {
	// Store is what the new store is opened with to put the journal into it.
	Store Options
	// Progress is called, if it is not nil, with the bytes that were copied or read, and those of all.
	Progress func(done, total int64)
}

// RebuildReport says what a Rebuild found, made up and could not find.
type RebuildReport struct {
	Copied   int // files of segments that are whole, and were copied as they are
	Gathered int // files of which the batches were taken one by one
	Salvage  SalvageReport

	// Damage is what is damaged in segments: it is a hole in the new store, unless another file has the same records.
	Damage []*storage.DamageError
	// Unnamed are partitions whose topic is not known any more. Each is a topic of its own, named recovered- and the partition's ID.
	Unnamed []storage.PartitionID
	// Beginnings are partitions whose first records are not there: whether they were removed or are lost is not known.
	Beginnings []storage.PartitionID
	// NoCheckpoint is true if not even a part of a checkpoint can be read: groups and positions are those in the journal alone, and others begin anew.
	NoCheckpoint bool
	// Sections counts topics that are damaged in the checkpoints that can be read in part.
	Sections int
}

// Rebuild makes a new store, in to, which is missing or empty, of what there is in from, which is not changed: for the case that no checkpoint is whole, so that even Salvage cannot
// help. Topics, groups and positions are taken from those parts of the checkpoints that can be read, and from the journal; records from the segments, wherever these can be believed,
// and from the journal behind them. What is missing between two records is a hole, of which readers are told; every topic gets a new incarnation and higher offsets.
//
// Two things it cannot know: records that were removed lately, by cleanup or compaction, may be there again; and what was lost at the end of a partition, of which nothing speaks.
// It is the last resort, behind a snapshot and a follower: it takes hours where these take minutes, and finds less.
//
// Errors: storage.ErrInUse; ErrNotEmpty; ErrNotFound if from holds nothing of a store; ErrFormat; those of the file systems. After an error to is empty again, or says that
// it is unfinished.
func Rebuild(ctx context.Context, from, to string, o RebuildOptions) (RebuildReport, error) {
	src, err := osfs.OpenExisting(from)
	if err != nil {
		return RebuildReport{}, fmt.Errorf("storage: rebuild from: %w", err)
	}
	dst, err := osfs.Open(to)
	if err != nil {
		return RebuildReport{}, errors.Join(fmt.Errorf("storage: rebuild to: %w", err), src.Close())
	}
	r, err := RebuildFS(ctx, src, dst, o)
	return r, errors.Join(err, dst.Close(), src.Close())
}

// RebuildFS is Rebuild on file systems of this module, for tests.
func RebuildFS(ctx context.Context, from, to vfs.FS, o RebuildOptions) (RebuildReport, error) {
	opt, err := o.Store.withDefaults()
	if err != nil {
		return RebuildReport{}, err
	}
	opt.Follower = FollowerOptions{}
	l, err := lockToRead(from)
	if err != nil {
		return RebuildReport{}, err
	}
	b := &rebuilder{from: from, to: to, opt: opt, spans: map[storage.PartitionID]*partState{}}
	err = inCopy(to, func() error { return b.run(ctx, o.Progress) })
	return b.report, errors.Join(err, l.Close())
}

// rebuilder is one Rebuild under way.
type rebuilder struct {
	from, to vfs.FS
	opt      Options
	id       identity
	copier   *copier
	source   *segment.Dir
	refill   resync                             // for what cannot be copied as it is
	base     *checkpoint                        // that is put together
	newest   *checkpoint                        // that can be read in part, nil if there is none
	spans    map[storage.PartitionID]*partState // where partitions began and ended, as far as checkpoints can be read
	report   RebuildReport
}

func (b *rebuilder) run(ctx context.Context, tell func(done, total int64)) error {
	var err error
	if b.id, err = identityOf(b.from); err != nil {
		return err
	}
	id := segment.Identity{Store: b.id.store, Seed: b.id.seed}
	b.source = segment.NewDir(b.from, id, 4)
	found, foreign, err := b.source.Scan()
	if err != nil {
		return err
	}
	for i := range found {
		if f := &found[i]; f.Unread != nil { // as much is taken as can be read
			b.noHeader(f, f.Unread.Error())
		}
	}
	headless, err := b.headless(foreign)
	if err != nil {
		return err
	}
	found = append(found, headless...)
	b.base = &checkpoint{id: b.id, seq: 1, life: random(), copied: true, nextFile: 1}
	total := int64(0)
	for _, f := range found {
		total += 2 * f.Size // it is read, and copied
		b.base.nextFile = max(b.base.nextFile, f.File+1)
	}
	b.copier = &copier{from: b.from, to: b.to, pace: newHeadway(0, total, tell)}
	into := segment.NewDir(b.to, id, 16)
	b.refill = resync{to: b.to, opt: b.opt, from: b.source, into: into, old: b.base, made: &checkpoint{nextFile: b.base.nextFile}}
	err = b.build(ctx, found)
	return errors.Join(err, into.Close(), b.source.Close())
}

// build makes all that a checkpoint names, then the checkpoint, and puts the journal into that.
func (b *rebuilder) build(ctx context.Context, found []segment.Found) error {
	if err := errors.Join(b.to.Mkdir(journalDir), b.to.Mkdir(segmentDir)); err != nil {
		return fmt.Errorf("storage: rebuilding: %w", err)
	}
	if err := b.copier.journal(ctx, b.base); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	slots, _, _, err := openSlots(b.to, b.id)
	if err != nil {
		return err
	}
	err = b.topics(slots)
	b.begin(slots)
	closeSlots(slots)
	if err != nil {
		return err
	}
	if err := b.partitions(ctx, found); err != nil {
		return err
	}
	if err := syncAll(b.refill.dirty, &lane{}); err != nil {
		return err
	}
	if err := errors.Join(b.to.SyncDir(segmentDir), b.to.SyncDir(".")); err != nil {
		return fmt.Errorf("storage: rebuilding: %w", err)
	}
	b.base.nextFile = b.refill.made.nextFile
	if err := b.copier.checkpoint(b.base); err != nil {
		return err
	}
	b.report.Salvage, err = salvageFS(owned{b.to}, SalvageOptions{Store: b.opt}, true)
	return err
}

// begin has the journal read from its oldest frame on.
func (b *rebuilder) begin(slots []*slot) {
	c := b.base
	for _, s := range slots {
		if s.whole && s.seq > 0 && (c.from.seq == 0 || s.first <= c.from.lsn) {
			c.from, c.epoch = mark{lsn: s.first - 1, seq: s.seq, pos: sector}, s.epoch
		}
	}
	if c.from.seq == 0 && b.newest != nil {
		c.from, c.epoch = b.newest.from, b.newest.epoch
	}
	c.applied, c.last = c.from.lsn, c.from.lsn
}
