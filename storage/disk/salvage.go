package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
	"github.com/leatmq/leat/storage/internal/vfs/overlayfs"
)

// SalvageOptions of a salvage. The zero value is fine.
type SalvageOptions struct {
	// Store is what the store is opened with to make it whole.
	Store Options
	// Progress is called, if it is not nil, as files are copied aside, with bytes done and bytes in all.
	Progress func(done, total int64)
}

// SalvageReport says what a salvage found, kept and lost.
type SalvageReport struct {
	// Damaged is false if there was nothing to salvage: an ordinary open opens the directory. Nothing was changed then.
	Damaged bool
	Aside   string // the directory in which copies of the journal and of the checkpoints are now
	Journal storage.Salvaged
	Damage  []*storage.DamageError // where the files could not be read
	Holes   []*storage.DamageError // the records that are lost, as far as is known where they were
	Cursors int                    // not taken, since other frames of their entries are lost: groups see some records again
	Refused int                    // frames that do not fit what is left, such as cursors of groups that are lost
	// Spilled counts batches that are damaged in the journal, and were found in segments.
	Spilled int
	// Strangers are partitions whose topic is lost, with the number of their records in the journal. Their segments are left alone.
	Strangers map[storage.PartitionID]int64
	// Uncertain are partitions of which nothing was found behind the last damage: they may have lost records at their end. New ones get higher offsets.
	Uncertain []storage.PartitionID
}

// Salvage makes a directory whole whose journal or checkpoints are damaged so that Open refuses it. It copies all of the journal and of the checkpoints
// aside first; keeps every frame of the journal that can be believed, wherever it lies; records what is missing as holes, of which readers are told; and
// closes the store. Segments are not touched. What it loses is what is damaged, and the report says what that is.
//
// It may be interrupted at any moment and run again. On a directory that is not damaged it changes nothing. Errors: storage.ErrInUse, storage.ErrFormat, a
// *storage.DamageError if no checkpoint is whole, for then only a backup helps, or Rebuild, and those of the file system.
func Salvage(dir string, o SalvageOptions) (SalvageReport, error) {
	fsys, err := osfs.OpenExisting(dir)
	if err != nil {
		return SalvageReport{}, fmt.Errorf("storage: %w", err)
	}
	r, err := SalvageFS(fsys, o)
	return r, unwritable(errors.Join(err, fsys.Close()))
}

// errSound says that there is nothing to salvage.
var errSound = errors.New("storage: not damaged")

// SalvageFS is Salvage on a file system of this module, for tests.
func SalvageFS(fsys vfs.FS, o SalvageOptions) (SalvageReport, error) {
	return salvageFS(unclosed{fsys}, o, false)
}

// salvageFS is SalvageFS. rebuilt says that the checkpoint was put together of segments, which may have what the journal has.
func salvageFS(fsys vfs.FS, o SalvageOptions, rebuilt bool) (SalvageReport, error) {
	v := &salvager{o: o, rebuilt: rebuilt, seen: map[storage.PartitionID]int{}}
	st, err := take(fsys, o.Store, v.recover)
	if errors.Is(err, errSound) {
		return SalvageReport{}, nil
	}
	if err != nil {
		return v.report, err
	}
	err = st.keeper.finish()
	return v.report, errors.Join(err, st.release())
}

// unclosed hides that a file system can be closed from the store, which would close it.
type unclosed struct{ vfs.FS }

// salvager recovers a store of which parts are lost.
type salvager struct {
	o       SalvageOptions
	rebuilt bool
	st      *Store
	replay  *replay
	survey  *survey
	spilled *spilled
	seen    map[storage.PartitionID]int // how often frames were missing when a batch of the partition was last seen
	report  SalvageReport
}

// recover is Store.open of what is damaged.
func (v *salvager) recover(st *Store) error {
	v.st = st
	base, target, err := newestCheckpoint(st.fs)
	var damage *storage.DamageError
	switch {
	case err != nil:
		return err
	case base == nil:
		return errSound
	}
	if err := v.slots(base); err != nil {
		return err
	}
	end, err := st.verify(base)
	if err == nil && !v.rebuilt {
		if err = v.replayable(); err == nil {
			return errSound
		}
	}
	if err != nil && !errors.As(err, &damage) {
		return err
	}
	v.report.Damaged = err != nil
	if err := v.copyAll(); err != nil {
		return err
	}
	if err := v.restore(base, end, target); err != nil {
		return err
	}
	if base.copied {
		st.liveAnew()
	}
	st.jump()
	v.raise()
	st.clamp()
	st.orphans = nil // they, and what swaps replaced, may hold what the journal has lost
	st.keeper.graves.pardon()
	if err := st.begin(); err != nil {
		return err
	}
	v.report.Journal, v.report.Holes = v.survey.found, st.damages()
	v.report.Damage = append(v.report.Damage, v.survey.areas...)
	return nil
}

// replayable tries in memory whether an open can replay the journal, which is whole by its sums: it is damaged as well if frames contradict each other.
func (v *salvager) replayable() error {
	st, err := take(overlayfs.New(owned{v.st.fs}), v.o.Store, (*Store).look)
	if err != nil {
		return err
	}
	return st.Close(context.Background())
}

// slots opens the journal, or makes its directory anew.
func (v *salvager) slots(base *checkpoint) error {
	st := v.st
	if err := errors.Join(st.fs.Mkdir(journalDir), st.fs.Mkdir(segmentDir)); err != nil {
		return fmt.Errorf("storage: salvage: %w", err)
	}
	slots, made, foreign, err := openSlots(st.fs, base.id)
	if err != nil {
		return err
	}
	for _, f := range base.files {
		made = max(made, f.number+1)
	}
	st.report.Foreign = append(st.report.Foreign, foreign...)
	st.ring = newRing(st.fs, st.opt.Tuning.JournalBytes, slots, made)
	return nil
}

// restore puts together what is left.
func (v *salvager) restore(base *checkpoint, end *scan, target int) error {
	st := v.st
	after := base.applied
	v.survey = newSurvey(base, st.ring.slots, v.apply)
	if err := st.build(base, end, target); err != nil {
		return err
	}
	st.restore(base)
	if err := st.leftovers(base); err != nil {
		return err
	}
	var err error
	if v.spilled, err = st.spilledFrames(after); err != nil {
		return err
	}
	v.replay = &replay{st: st, scan: v.survey.scan, after: after}
	if err := v.survey.run(); err != nil {
		return err
	}
	if err := v.ends(); err != nil {
		return err
	}
	st.exposeHoles()
	if err := st.disown(); err != nil {
		return err
	}
	st.keeper.last = max(st.keeper.last, v.survey.last)
	return nil
}

// apply takes a frame.
func (v *salvager) apply(f *surveyed, torn bool) error {
	p := v.st.core.Catalog.Partition(storage.PartitionID(f.h.Partition))
	switch {
	case f.h.Kind == frame.Batch && p == nil:
		v.strange(f)
		return nil
	case f.h.Kind == frame.Batch:
		return v.batch(p, f)
	case f.raw == nil:
		return nil // it is counted as lost
	case f.h.Kind == frame.Swap && v.rebuilt:
		return nil // of files that have other names now
	case f.h.Kind == frame.Cursor && torn:
		v.report.Cursors++
		return nil
	case f.h.Kind == frame.Cursor && !v.known(f):
		v.report.Refused++
		return nil
	}
	err := v.replay.frame(&f.h, f.raw)
	if contradicts(err) {
		v.report.Refused++
		return nil
	}
	return err
}

// strange notes a batch without a topic. Its partition's ID is not given away again.
func (v *salvager) strange(f *surveyed) {
	if v.report.Strangers == nil {
		v.report.Strangers = map[storage.PartitionID]int64{}
	}
	v.report.Strangers[storage.PartitionID(f.h.Partition)] += int64(f.h.Count)
	_, group := v.st.core.Catalog.NextIDs()
	v.st.core.Catalog.ReserveIDs(storage.PartitionID(f.h.Partition)+1, group)
}

// known tells whether the group of a cursor is there. If not its ID is not given away again: the next group of that ID would find the cursor.
func (v *salvager) known(f *surveyed) bool {
	c, err := frame.DecodeCursor(f.raw[frame.HeaderSize:][:f.h.BodyLen], f.h.Partition)
	if err != nil {
		return false
	}
	is := func(g storage.Group) bool { return g.ID == c.Group }
	if slices.ContainsFunc(v.st.core.Catalog.Groups(), is) {
		return true
	}
	v.st.core.Catalog.ReserveIDs(0, c.Group+1)
	return false
}

func (v *salvager) batch(p *core.Partition, f *surveyed) error {
	next := p.Marks().Next
	if f.h.Base < next {
		return nil // a file of segments had it
	}
	lost := v.seen[p.ID] != f.gaps || v.rebuilt && next > 0 && f.h.Base-next < offsetJump // offsets that are left out are so many
	if f.h.Base > next && lost {
		if err := v.fill(p, next, f.h.Base, f.h.Time); err != nil {
			return err
		}
	}
	v.seen[p.ID] = f.gaps
	if f.raw == nil {
		return v.fill(p, f.h.Base, f.h.Next(), f.h.Time)
	}
	return v.replay.frame(&f.h, f.raw)
}

// fill takes the offsets of p from from up to to out of segments, as far as they are there, and leaves holes for the rest.
func (v *salvager) fill(p *core.Partition, from, to, nanos int64) error {
	for from < to {
		h, raw, err := v.spilled.find(p.ID, from)
		if err != nil {
			return err
		}
		if raw != nil && h.Next() <= to {
			if err := v.replay.frame(&h, raw); err != nil {
				return err
			}
			v.report.Spilled++
			from = h.Next()
			continue
		}
		end := v.spilled.above(p.ID, from+1, to)
		reason := "lost with a damaged part of the journal; copies of what is left of that are in " + v.report.Aside
		g := &frame.Hole{First: from, Next: end, Records: end - from, State: frame.HoleOpen, File: journalDir, Reason: reason}
		if err := v.st.lose(p, g, nanos); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// ends takes what segments have of the ends of partitions of which the journal has nothing behind the last damage.
func (v *salvager) ends() error {
	if v.survey.gaps == 0 {
		return nil
	}
	for _, p := range v.st.core.Catalog.Partitions() {
		if p == nil || v.seen[p.ID] == v.survey.gaps {
			continue
		}
		for {
			next := p.Marks().Next
			h, raw, err := v.spilled.find(p.ID, v.spilled.above(p.ID, next, 1<<62))
			if err != nil {
				return err
			}
			if raw == nil {
				break
			}
			if err := v.fill(p, next, h.Next(), h.Time); err != nil {
				return err
			}
		}
		v.report.Uncertain = append(v.report.Uncertain, p.ID)
	}
	return nil
}

// raise makes sure that no offset that may be lost is given away again: a record takes two bytes at least.
func (v *salvager) raise() {
	if v.rebuilt {
		v.report.Uncertain = nil
		for _, p := range v.st.core.Catalog.Partitions() {
			if p != nil {
				v.report.Uncertain = append(v.report.Uncertain, p.ID)
			}
		}
	}
	for _, id := range v.report.Uncertain {
		p := v.st.core.Catalog.Partition(id)
		v.st.raise(p, p.Marks().Next+offsetJump+v.survey.found.Bytes/2)
	}
}

// copyAll copies the journal and the checkpoints aside.
func (v *salvager) copyAll() error {
	if v.rebuilt { // what is damaged is in another directory
		return nil
	}
	fsys := v.st.fs
	names := slices.Clone(checkpointNames[:])
	for _, sl := range v.st.ring.slots {
		names = append(names, sl.name)
	}
	sizes, total, err := sizesOf(fsys, names)
	if err != nil {
		return err
	}
	if err := v.chooseAside(); err != nil {
		return err
	}
	if err := makeDirs(fsys, asideDir, v.report.Aside, v.report.Aside+"/"+journalDir); err != nil {
		return err
	}
	done := int64(0)
	for _, name := range names {
		size, ok := sizes[name]
		if !ok {
			continue
		}
		if err := copyAside(fsys, name, 0, size, v.report.Aside+"/"+name); err != nil {
			return err
		}
		done += size
		if v.o.Progress != nil {
			v.o.Progress(done, total)
		}
	}
	return syncAside(fsys, v.report.Aside+"/"+journalDir, v.report.Aside, asideDir, ".")
}

// chooseAside names the directory for the copies: a new one, or that of a salvage that was cut short, if all that is in it is the same.
func (v *salvager) chooseAside() error {
	infos, err := listIfThere(v.st.fs, asideDir)
	if err != nil {
		return err
	}
	number := 0
	for _, info := range infos {
		rest, ok := strings.CutPrefix(info.Name, "salvage-")
		n := 0
		if _, err := fmt.Sscanf(rest, "%d", &n); ok && err == nil {
			number = max(number, n)
		}
	}
	if number > 0 {
		v.report.Aside = fmt.Sprintf("%s/salvage-%d", asideDir, number)
		if same, err := v.unfinished(v.report.Aside); same || err != nil {
			return err
		}
	}
	v.report.Aside = fmt.Sprintf("%s/salvage-%d", asideDir, number+1)
	return nil
}

// unfinished tells whether what is in dir are copies of what the files are now.
func (v *salvager) unfinished(dir string) (bool, error) {
	names := slices.Clone(checkpointNames[:])
	for _, sl := range v.st.ring.slots {
		names = append(names, sl.name)
	}
	sizes, _, err := sizesOf(v.st.fs, names)
	if err != nil {
		return false, err
	}
	for name, size := range sizes {
		copied := dir + "/" + name
		there, _, err := sizesOf(v.st.fs, []string{copied})
		if err != nil {
			return false, err
		}
		if len(there) == 0 {
			continue
		}
		if same, err := sameBytes(v.st.fs, name, 0, size, copied); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// estimate adds to the damage of a journal what a salvage would keep and lose.
func (st *Store) estimate(base *checkpoint, err error) error {
	var damage *storage.DamageError
	if !errors.As(err, &damage) {
		return err
	}
	v := newSurvey(base, st.ring.slots, nil)
	if failed := v.run(); failed != nil {
		return errors.Join(err, failed)
	}
	return &storage.JournalError{Damage: damage, Salvage: v.found}
}
