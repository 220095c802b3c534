package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// resync brings a directory that nobody has open to where a running store is now, without its journal: what the directory lacks is read from the store's
// segments and appended in segments of its own, and a checkpoint, written last, makes it count, together with the store's small state. Until then the directory is
// what it was.
type resync struct {
	st   *Store // that is followed
	to   vfs.FS
	opt  Options
	read func(ctx context.Context, bytes int64) error // is told what was read

	from, into *segment.Dir
	old, made  *checkpoint
	dirty      []*segment.Segment
}

// run returns up to where the directory has the store's journal then.
func (x *resync) run(ctx context.Context) (frame.LSN, error) {
	old, target, err := (*checkpoint)(nil), 0, refuseUnfinished(x.to)
	if err == nil {
		old, target, err = newestCheckpoint(x.to)
	}
	if err != nil && !errors.Is(err, storage.ErrUnfinished) {
		return 0, err
	}
	if old == nil {
		if err := beginCopy(x.to); err != nil {
			return 0, err
		}
	}
	c, release, err := x.st.capture(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	x.st.ring.hold(c.from.seq, x.opt.Follower.PinBytes, true)
	if x.old = old; old == nil {
		x.old = &checkpoint{id: c.id, epoch: 1, applied: frame.At(1, 0), from: mark{lsn: frame.At(1, 0), pos: sector}, nextFile: 1, clean: true}
	}
	if err := x.fill(ctx, c); err != nil {
		return 0, err
	}
	if err := x.finish(c, target); err != nil {
		return 0, err
	}
	if old == nil {
		return c.applied, endCopy(x.to)
	}
	return c.applied, nil
}

// fill copies what is missing.
func (x *resync) fill(ctx context.Context, c *checkpoint) (err error) {
	for _, dir := range []string{journalDir, segmentDir} {
		if err := x.to.Mkdir(dir); err != nil {
			return fmt.Errorf("storage: following: %w", err)
		}
	}
	id := segment.Identity{Store: c.id.store, Seed: c.id.seed}
	x.from, x.into = segment.NewDir(x.st.fs, id, 4), segment.NewDir(x.to, id, 16)
	defer func() { err = errors.Join(err, x.from.Close(), x.into.Close()) }()
	x.made = &checkpoint{nextFile: x.old.nextFile}
	if err := x.passLeftovers(); err != nil {
		return err
	}
	have := map[storage.PartitionID]*topicState{}
	for i := range x.old.topics {
		have[x.old.topics[i].topic.First] = &x.old.topics[i]
	}
	for i := range c.topics {
		t := &c.topics[i]
		was := have[t.topic.First]
		delete(have, t.topic.First)
		made, err := x.topic(ctx, t, was)
		if err != nil {
			return fmt.Errorf("storage: following topic %q: %w", t.topic.Name, err)
		}
		x.made.topics = append(x.made.topics, made)
	}
	for _, t := range have {
		x.drop(t, c)
	}
	return syncAll(x.dirty, &lane{})
}

// passLeftovers gives no file a name that one has which an earlier resync has left.
func (x *resync) passLeftovers() error {
	found, _, err := x.into.Scan()
	for _, f := range found {
		x.made.nextFile = max(x.made.nextFile, f.File+1)
	}
	return err
}

// drop has a topic's files removed by whoever opens the directory. Where the store was set back, what it made since may have the same partitions: their directories stay.
func (x *resync) drop(t *topicState, c *checkpoint) {
	for n := range t.parts {
		p := t.topic.Partition(n)
		for _, m := range t.parts[n].segments {
			x.made.doomed = append(x.made.doomed, doomed{p, m.File})
		}
		if !slices.ContainsFunc(c.topics, func(t topicState) bool { _, ok := t.topic.Index(p); return ok }) {
			x.made.doomed = append(x.made.doomed, doomed{partition: p})
		}
	}
}

// topic returns what becomes of a topic.
func (x *resync) topic(ctx context.Context, t, was *topicState) (topicState, error) {
	made := topicState{topic: t.topic, cursors: t.cursors, parts: make([]partState, len(t.parts))}
	for n := range made.parts {
		p := &made.parts[n]
		*p = partState{first: t.parts[n].first, reach: t.parts[n].reach}
		if !saved(t) {
			p.first = max(p.first, p.reach.next)
			continue
		}
		at := int64(0)
		if was != nil && n < len(was.parts) {
			if !fits(&t.topic, n, t.parts[n].reach.next, was) {
				return made, storage.ErrDiverged
			}
			at = was.parts[n].reach.next
			p.segments, p.holes = was.parts[n].segments, was.parts[n].holes
		}
		if err := x.partition(ctx, t.topic.Partition(n), &t.parts[n], max(at, p.first), p); err != nil {
			return made, err
		}
	}
	if was != nil && len(was.parts) > len(made.parts) && saved(t) { // the store was set back to a time before the topic was given these
		if slices.ContainsFunc(was.parts[len(made.parts):], func(p partState) bool { return p.reach.next > 0 }) {
			return made, storage.ErrDiverged
		}
	}
	return made, nil
}

// saved tells whether the records of a topic are copied.
func saved(t *topicState) bool {
	return !t.topic.Strategy.NoBackup && t.topic.Strategy.Level != storage.MemoryOnly
}

// fits tells whether all that the directory has of partition n is what the store has, too.
func fits(t *storage.Topic, n int, next int64, was *topicState) bool {
	has := was.parts[n].reach.next
	if was.topic.Incarnation == t.Incarnation {
		return has <= next
	}
	return has == 0 || t.Holds(was.topic.Incarnation, n, has-1)
}

// partition copies the records of c from the offset at on. What is damaged becomes a hole of p.
func (x *resync) partition(ctx context.Context, id storage.PartitionID, c *partState, at int64, p *partState) error {
	w := &refill{x: x, id: id, part: p}
	for _, g := range c.holes {
		if g.First >= at {
			p.holes = append(p.holes, g)
		}
	}
	for _, m := range c.segments {
		seg := x.from.Open(id, m)
		for at = max(at, m.Base); at < m.Next; {
			frames, err := seg.Read(at, spillChunk)
			var damage *storage.DamageError
			if errors.As(err, &damage) && damage.Next > at {
				if err := w.lose(damage, &m, at); err != nil {
					return err
				}
				at = damage.Next
				continue
			}
			if err != nil {
				return err
			}
			if len(frames) == 0 {
				break
			}
			if err := x.read(ctx, int64(len(frames))); err != nil {
				return err
			}
			if at, err = w.append(ctx, frames, &m); err != nil {
				return err
			}
		}
	}
	return w.close()
}

// finish writes the checkpoint.
func (x *resync) finish(c *checkpoint, target int) error {
	n := *x.old
	n.life, n.followed, n.clean, n.copied, n.seq = c.life, c.applied, true, false, x.old.seq+1
	n.groups, n.nextPart, n.nextGrp = c.groups, c.nextPart, c.nextGrp
	n.topics, n.nextFile = x.made.topics, x.made.nextFile
	n.doomed = append(x.made.doomed, x.old.doomed...)
	if err := errors.Join(x.to.SyncDir(segmentDir), x.to.SyncDir(journalDir), x.to.SyncDir(".")); err != nil {
		return fmt.Errorf("storage: following: %w", err)
	}
	name := checkpointNames[target]
	f, err := x.to.Open(name, vfs.ReadWrite)
	if err != nil {
		f, err = x.to.Create(name)
	}
	if err == nil {
		err = errors.Join(n.write(f), f.Close())
	}
	if err == nil {
		err = x.to.SyncDir(".")
	}
	if err == nil {
		_, err = readCheckpoint(x.to, name) // what was made of two stores is one
	}
	if err != nil {
		return fmt.Errorf("storage: following: %s: %w", name, err)
	}
	return nil
}

// refill appends frames to new segments of a partition.
type refill struct {
	x    *resync
	id   storage.PartitionID
	part *partState
	seg  *segment.Segment // nil if the next frame begins another
}

// append adds whole frames of the segment m of the followed store, and returns the offset behind them.
func (w *refill) append(ctx context.Context, frames []byte, m *segment.Meta) (next int64, err error) {
	for len(frames) > 0 {
		if err := ctx.Err(); err != nil {
			return next, err
		}
		h := frame.Checked(frames)
		if h.Kind == frame.Batch {
			if err := w.room(&h, m.Ordinal+h.Base-m.Base); err != nil {
				return next, err
			}
			if err := w.seg.Append(frames[:h.Size()]); err != nil {
				return next, err
			}
		}
		next = max(next, h.Next())
		frames = frames[h.Size():]
	}
	return next, nil
}

// room makes sure that a segment takes a frame, before which there are so many records: within one, offsets count.
func (w *refill) room(h *frame.Header, ordinal int64) error {
	if w.seg != nil {
		m := w.seg.Meta()
		if m.Next == h.Base && m.Ordinal+m.Count == ordinal && m.Length+int64(h.Size()) <= w.x.opt.Tuning.SegmentBytes {
			return nil
		}
		if err := w.close(); err != nil {
			return err
		}
	}
	seg, err := w.x.into.Create(w.id, w.x.made.nextFile, h.Base, ordinal, w.x.old.epoch)
	w.x.made.nextFile++
	w.seg = seg
	return err
}

// close ends the present segment. Whoever opens the directory may append to it, but not to a sector that counts.
func (w *refill) close() error {
	if w.seg == nil {
		return nil
	}
	if err := w.seg.Align(); err != nil {
		return err
	}
	w.part.segments = append(w.part.segments[:len(w.part.segments):len(w.part.segments)], w.seg.Meta())
	w.x.dirty = append(w.x.dirty, w.seg)
	w.seg = nil
	return nil
}

// lose makes a hole of what is damaged in the segment m, from the offset at on.
func (w *refill) lose(d *storage.DamageError, m *segment.Meta, at int64) error {
	if err := w.close(); err != nil {
		return err
	}
	first, next := max(d.First, at), min(d.Next, m.Next)
	w.part.holes = append(w.part.holes, frame.Hole{
		First: first, Next: next, Ordinal: m.Ordinal + first - m.Base, Records: next - first, State: frame.HoleOpen,
		File: d.File, From: d.From, To: max(d.To, d.From), Reason: "lost in the store that is followed: " + d.Reason,
	})
	return nil
}
