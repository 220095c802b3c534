package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// headless returns files that have the name of a segment, and no header block that can be believed.
func (b *rebuilder) headless(foreign []string) (found []segment.Found, err error) {
	for _, name := range foreign {
		var p uint32
		var file uint64
		if n, err := fmt.Sscanf(name, segmentDir+"/%8x/%16x", &p, &file); n < 2 || err != nil || name != fmt.Sprintf("%s/%08x/%016x", segmentDir, p, file) {
			continue
		}
		f, err := b.from.Open(name, vfs.ReadOnly)
		if errors.Is(err, vfs.ErrNotRegular) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("storage: %s: %w", name, err)
		}
		size, err := f.Size()
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("storage: %s: %w", name, err)
		}
		h := segment.Found{Partition: storage.PartitionID(p), File: file, Name: name, Size: size, Base: segment.Unknown, Ordinal: segment.Unknown}
		b.noHeader(&h, "no header block of a segment")
		found = append(found, h)
	}
	return found, nil
}

func (b *rebuilder) noHeader(f *segment.Found, reason string) {
	b.report.Damage = append(b.report.Damage, &storage.DamageError{File: f.Name, To: min(f.Size, sector), Partition: f.Partition, Reason: reason})
}

// candidate is a file of a partition that may be part of its history.
type candidate struct {
	segment.Found
	meta  segment.Meta
	whole bool // all that its footer says is there
	lost  []*storage.DamageError
}

// partitions puts together the histories of all partitions that there are files of.
func (b *rebuilder) partitions(ctx context.Context, found []segment.Found) error {
	by := map[storage.PartitionID][]*candidate{}
	for _, f := range found {
		c := &candidate{Found: f}
		if err := b.look(ctx, c); err != nil {
			return err
		}
		by[f.Partition] = append(by[f.Partition], c)
		b.refill.made.nextFile = max(b.refill.made.nextFile, b.base.nextFile, f.File+1)
	}
	ids := make([]storage.PartitionID, 0, len(by))
	for id, span := range b.spans {
		if span.reach.next > 0 && by[id] == nil { // it had files, or all was removed
			by[id] = []*candidate{}
		}
	}
	for id := range by {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if err := b.partition(ctx, id, b.state(id), by[id]); err != nil {
			return fmt.Errorf("storage: rebuilding partition %d: %w", id, err)
		}
	}
	return nil
}

// state returns where the history of a partition is to go: to its topic, or to one that is made up.
func (b *rebuilder) state(id storage.PartitionID) *partState {
	for i := range b.base.topics {
		t := &b.base.topics[i]
		if n, ok := t.topic.Index(id); ok {
			return &t.parts[n]
		}
	}
	name := fmt.Sprintf("recovered-%08x", uint32(id))
	t := storage.Topic{First: id, Incarnation: random(), TopicSpec: storage.TopicSpec{Name: name, Partitions: 1, Strategy: storage.Strategy{Level: storage.DiskOnly}}}
	b.base.topics = append(b.base.topics, topicState{topic: t, parts: make([]partState, 1)})
	b.base.nextPart = max(b.base.nextPart, id+1)
	b.report.Unnamed = append(b.report.Unnamed, id)
	return &b.base.topics[len(b.base.topics)-1].parts[0]
}

// look finds out what a file holds.
func (b *rebuilder) look(ctx context.Context, c *candidate) (err error) {
	footed := false
	if c.meta, footed, err = b.source.Describe(c.Found); err != nil {
		return err
	}
	records, end, last := int64(0), c.meta.Base, int64(0)
	if footed {
		c.Base = c.meta.Base
	}
	err = b.source.Open(c.Partition, c.meta).Pieces(func(p segment.Piece) error {
		switch {
		case p.Raw != nil:
			if c.Base == segment.Unknown {
				c.Base, c.meta.Base = p.First, p.First
			}
			records, end, last = records+int64(p.Header.Count), p.Next, p.Header.Time
			c.meta.LastLSN = p.Header.LSN
		case p.Next < math.MaxInt64 || p.Unread:
			c.lose(&p)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	c.judge(footed, records, end, last)
	return nil
}

// lose notes that offsets of the file are lost. It returns nil if that is known.
func (c *candidate) lose(p *segment.Piece) *storage.DamageError {
	d := *p.Damage
	d.Reason += ", and no checkpoint is whole"
	if d.Next == math.MaxInt64 { // how many they are is not known
		d.Next = d.First
	}
	if slices.ContainsFunc(c.lost, func(l *storage.DamageError) bool { return l.First == d.First && l.Next == d.Next && l.From == d.From }) {
		return nil
	}
	c.lost = append(c.lost, &d)
	return &d
}

// judge says what the file is good for, of which so many records were read, up to the offset end and the time last.
func (c *candidate) judge(footed bool, records, end, last int64) {
	if c.Base == segment.Unknown { // nothing can be believed of it
		c.Base, c.meta.Base, end = 0, 0, 0
	}
	headed := c.Ordinal != segment.Unknown
	if footed && !headed {
		c.Ordinal = c.meta.Ordinal
	}
	c.whole = footed && headed && len(c.lost) == 0 && records <= c.meta.Count && (c.meta.Rewritten || records == c.meta.Count)
	if !footed { // what its frames say is all that is known
		c.meta.Next, c.meta.MaxTime = end, last
	}
	if c.whole && c.meta.Rewritten {
		c.meta.Dropped = c.meta.Count - records
		c.meta.Compacted = c.meta.Dropped > 0
	}
}

// partition puts the history of one together: of the files that are whole those that own most, oldest first, and between them what others have.
func (b *rebuilder) partition(ctx context.Context, id storage.PartitionID, p *partState, all []*candidate) error {
	slices.SortFunc(all, func(x, y *candidate) int {
		return cmp.Or(cmp.Compare(x.meta.Base, y.meta.Base), cmp.Compare(y.meta.Next, x.meta.Next), cmp.Compare(y.File, x.File))
	})
	var whole, rest []*candidate
	for _, c := range all {
		b.report.Damage = append(b.report.Damage, c.lost...)
		if !c.whole {
			rest = append(rest, c)
		} else if len(whole) == 0 || c.meta.Base >= whole[len(whole)-1].meta.Next {
			whole = append(whole, c)
		}
	}
	w := &weave{rebuilder: b, id: id, part: p}
	w.begin(all)
	for _, c := range whole {
		if err := w.gaps(ctx, rest, c.meta.Base); err != nil {
			return err
		}
		if err := w.whole(ctx, c); err != nil {
			return err
		}
	}
	if err := w.gaps(ctx, rest, math.MaxInt64); err != nil {
		return err
	}
	w.end()
	return nil
}

// begin goes to where the partition began, or where its first file does.
func (w *weave) begin(all []*candidate) {
	for _, c := range all {
		if c.Ordinal != segment.Unknown {
			w.at, w.ordinal = c.meta.Base, c.Ordinal
			break
		}
	}
	known := w.spans[w.id]
	switch {
	case len(all) == 0:
		w.at = known.first
		w.ordinal = max(0, known.reach.records-(known.reach.next-known.first))
	case known != nil && known.first < w.at && w.ordinal > 0:
		w.ordinal -= min(w.ordinal, w.at-known.first)
		w.at = known.first
	case known == nil && w.at > 0:
		w.report.Beginnings = append(w.report.Beginnings, w.id)
	}
	if w.part.first = w.at; known != nil {
		w.part.first = max(w.at, known.first)
	}
}

// end goes to where the partition ended, as far as that is known.
func (w *weave) end() {
	if known := w.spans[w.id]; known != nil && known.reach.next > w.at {
		w.missing(known.reach.next, known.reach.records)
		w.at, w.ordinal, w.time = known.reach.next, max(w.ordinal, known.reach.records), max(w.time, known.reach.time)
	}
	w.part.reach = segmentBase{w.at, w.ordinal, w.time}
}

// weave is the history of a partition that is put together.
type weave struct {
	*rebuilder
	id      storage.PartitionID
	part    *partState
	at      int64 // up to where it has come
	ordinal int64 // records of the partition up to there
	time    int64
}

// whole adds a file as it is.
func (w *weave) whole(ctx context.Context, c *candidate) error {
	w.missing(c.meta.Base, c.meta.Ordinal)
	if err := w.to.Mkdir(path.Dir(c.Name)); err != nil {
		return err
	}
	if _, err := w.copier.file(ctx, c.Name, c.Size); err != nil {
		return err
	}
	if err := w.to.SyncDir(path.Dir(c.Name)); err != nil {
		return err
	}
	w.part.segments = append(w.part.segments, c.meta)
	w.at, w.ordinal, w.time = c.meta.Next, c.meta.Ordinal+c.meta.Count, max(w.time, c.meta.MaxTime)
	w.report.Copied++
	return nil
}

// gaps adds what files that are not whole have of the offsets from w.at up to next.
func (w *weave) gaps(ctx context.Context, rest []*candidate, next int64) error {
	for _, c := range rest {
		if c.meta.Next <= w.at || c.meta.Base >= next {
			continue
		}
		if err := w.gather(ctx, c, next); err != nil {
			return err
		}
		w.report.Gathered++
	}
	return nil
}

// gather takes the batches of a file one by one.
func (w *weave) gather(ctx context.Context, c *candidate, next int64) error {
	r := &refill{x: &w.refill, id: w.id, part: w.part}
	err := w.source.Open(w.id, w.described(c)).Pieces(func(p segment.Piece) error {
		if p.Unread { // it may have been read when the file was looked at
			if d := c.lose(&p); d != nil {
				w.report.Damage = append(w.report.Damage, d)
			}
		}
		if p.Raw == nil || p.First < w.at || p.Next > next {
			return ctx.Err()
		}
		ordinal := w.ordinal + p.First - w.at
		if c.Ordinal != segment.Unknown {
			ordinal = c.Ordinal + p.First - c.meta.Base
		}
		if p.First > w.at {
			if err := r.close(); err != nil {
				return err
			}
			if !c.meta.Rewritten || w.hits(c, w.at, p.First) {
				w.missing(p.First, ordinal)
			}
		}
		if _, err := r.append(ctx, p.Raw, &segment.Meta{Base: p.First, Ordinal: ordinal}); err != nil {
			return err
		}
		w.at, w.ordinal, w.time = p.Next, ordinal+int64(p.Header.Span), max(w.time, p.Header.Time)
		return w.copier.pace.passed(ctx, int64(len(p.Raw)))
	})
	if err != nil {
		return err
	}
	if end := min(c.meta.Next, next); end > w.at && c.Ordinal != segment.Unknown { // the footer tells of records that are not there
		w.missing(end, c.Ordinal+end-c.meta.Base)
		w.at, w.ordinal = end, max(w.ordinal, c.Ordinal+end-c.meta.Base)
	}
	return r.close()
}

// described returns what a candidate's file is read as.
func (w *weave) described(c *candidate) segment.Meta {
	m := c.meta
	if m.Retired {
		m.Next, m.Count = math.MaxInt64, 0
	}
	return m
}

// hits tells whether some of the offsets are lost by damage of c.
func (w *weave) hits(c *candidate, first, next int64) bool {
	return slices.ContainsFunc(c.lost, func(d *storage.DamageError) bool { return d.First < next && d.Next > first })
}

// missing makes a hole up to an offset before which there are so many records, if some of them are missing: offsets alone may be left out.
func (w *weave) missing(next, ordinal int64) {
	if records := ordinal - w.ordinal; next > w.at && records > 0 {
		w.part.holes = append(w.part.holes, frame.Hole{
			First: w.at, Next: next, Ordinal: w.ordinal, Records: min(records, next-w.at), State: frame.HoleOpen, File: segmentDir,
			Reason: "lost, and no checkpoint was whole",
		})
	}
}
