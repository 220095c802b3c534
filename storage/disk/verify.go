package disk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
)

// VerifyOptions says how Verify works. The zero value reads as fast as the disk gives.
type VerifyOptions struct {
	BytesPerSecond int64                   // read at most; 0: without a bound
	Progress       func(done, total int64) // called now and then, in the goroutine of the caller, with bytes; nil: nobody wants to know
}

// VerifyReport is what Verify found. What is not in Damage is whole.
type VerifyReport struct {
	Files, Bytes int64 // read and whole: segments, checkpoints, and what counts of the journal
	Segments     int
	Records      int64 // in segments
	Journal      int64 // frames of the journal
	Checkpoints  []CheckpointState
	Damage       []*storage.DamageError
	Foreign      []string // names that are not the store's, and are left alone
	Took         time.Duration
}

// CheckpointState is what there is in a checkpoint's file. That one is not whole is damage only if none was being written to it.
type CheckpointState struct {
	File   string
	Whole  bool
	Used   bool  // something was written to it
	Newest bool  // an open stands on it
	Seq    int64 // its number; 0 if it is not whole
}

// Verify reads everything that counts from the disk: all frames of all segments, with their sums, their order, their place and the footers;
// the checkpoints; and the journal behind the newest. Each damage is reported with its file, its bytes and the offsets that are lost, and no more than
// these; and so are the records that are known to be lost, unless readers skip them. It may run while the store is used, and on one that was opened to be read; what is removed or rewritten meanwhile is no damage.
//
// Damage is no error. Errors are ctx's, storage.ErrClosed when the store is closed meanwhile, and those of the file system; the report is then of what
// was read until then.
func (st *Store) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	began := time.Now()
	inside, done, err := st.guests.enter(ctx)
	if err != nil {
		return VerifyReport{}, err
	}
	defer done()
	v := &verification{st: st, ctx: inside, pace: newPace(o.BytesPerSecond), progress: o.Progress}
	err = v.run()
	if err != nil && ctx.Err() == nil && st.guests.closing() {
		err = storage.ErrClosed
	}
	v.report.Took = time.Since(began)
	return v.report, err
}

// verification is one Verify under way.
type verification struct {
	st       *Store
	ctx      context.Context
	pace     *pace
	progress func(done, total int64)
	done     int64
	total    int64
	report   VerifyReport
}

func (v *verification) run() error {
	parts := v.st.keeper.parts.sorted()
	v.measure(parts)
	if err := v.checkpoints(); err != nil {
		return err
	}
	if err := v.journal(); err != nil {
		return err
	}
	for _, h := range parts {
		for _, s := range h.list() {
			if err := v.segment(h, s); err != nil {
				return err
			}
		}
	}
	for _, d := range v.st.damages() {
		if !d.Skipped {
			v.report.Damage = append(v.report.Damage, d)
		}
	}
	if err := v.foreign(); err != nil {
		return err
	}
	return v.step(0, true)
}

// measure finds out about how much there is to read.
func (v *verification) measure(parts []*history) {
	for _, h := range parts {
		for _, s := range h.list() {
			v.total += s.Meta().Length
		}
	}
	if v.st.readOnly && v.st.report.Clean {
		return // the journal behind the checkpoint is empty
	}
	_, used, _ := v.st.ring.usage()
	v.total += used
}

// step announces that n bytes will be read, and waits until they may be.
func (v *verification) step(n int, end bool) error {
	v.done = min(v.done+int64(n), v.total)
	if end {
		v.done = v.total
	}
	if v.progress != nil {
		v.progress(v.done, v.total)
	}
	return v.pace.wait(v.ctx, n)
}

func (v *verification) segment(h *history, s *segment.Segment) error {
	found, err := s.Verify(func(n int) error { return v.step(n, false) })
	if err != nil {
		return fmt.Errorf("storage: verifying %s: %w", s.Name(), err)
	}
	if len(found.Damage) > 0 && !v.counts(h, s) {
		return nil
	}
	v.report.Files++
	v.report.Segments++
	v.report.Bytes += found.Bytes
	v.report.Records += found.Records
	v.report.Damage = append(v.report.Damage, found.Damage...)
	return nil
}

// counts tells whether s is still of the store.
func (v *verification) counts(h *history, s *segment.Segment) bool {
	return v.st.keeper.parts.find(h.part.ID) == h && slices.Contains(h.list(), s)
}

// foreign lists names that are not the store's. While a store runs, files come and go, and only what its open has found is known for sure.
func (v *verification) foreign() error {
	v.report.Foreign = slices.Clone(v.st.report.Foreign)
	if !v.st.readOnly {
		return nil
	}
	found, foreign, err := v.st.segments.Scan()
	if err != nil {
		return fmt.Errorf("storage: segments: %w", err)
	}
	known := v.st.keeper.parts.files()
	for _, f := range v.st.orphans {
		known[f.File] = true
	}
	for _, f := range found {
		if !known[f.File] && !v.st.keeper.graves.has(f.Partition, f.File) {
			foreign = append(foreign, f.Name)
		}
	}
	v.report.Foreign = append(v.report.Foreign, foreign...)
	slices.Sort(v.report.Foreign)
	v.report.Foreign = slices.Compact(v.report.Foreign)
	return nil
}

// sorted returns all histories, by partition.
func (hs *histories) sorted() []*history {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	all := make([]*history, 0, len(hs.by))
	for _, h := range hs.by {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *history) int { return int(int64(a.part.ID) - int64(b.part.ID)) })
	return all
}
