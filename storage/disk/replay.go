package disk

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

// replay applies what the journal has behind the checkpoint: records go to memory and on to segments, as if they had just been committed.
type replay struct {
	st      *Store
	scan    *scan
	spilled *spilled  // nil if nothing is lost
	after   frame.LSN // up to it, the checkpoint has everything

	certain frame.LSN             // up to it, nothing is in doubt
	strict  bool                  // what is in doubt may not be seen before it is durable
	blocks  map[*slot]*core.Block // of frames that stay where they are
	indexed int64                 // how many these are that were not spilled
	hs      []frame.Header        // of batches of one partition that follow each other
}

// replay applies the journal between the checkpoint and its end, which verify found.
func (st *Store) replay(c *checkpoint, end *scan) error {
	st.report.Entries, st.report.Records = end.entries, end.records
	if end.entries == 0 {
		return nil
	}
	s := newScan(c, st.ring.slots)
	r := &replay{st: st, scan: s, after: c.applied, certain: end.doubt.from.lsn}
	if len(end.lost) > 0 {
		var err error
		if r.spilled, err = st.spilledFrames(c.applied); err != nil {
			return err
		}
	}
	err := r.run(end)
	if contradicts(err) {
		return st.estimate(c, s.broken(err))
	}
	return err
}

// run applies everything up to end. Where nothing is lost, bodies of batches are not looked at again.
func (r *replay) run(end *scan) error {
	s, resumed := r.scan, &r.st.resumed
	if len(end.lost) > 0 {
		return s.run(r.frame)
	}
	s.hop, s.stops, s.stop = true, true, end.at.lsn // what is behind it may look whole then
	if resumed.how == takeOver {
		s.stop = end.doubt.from.lsn
	}
	if err := r.known(end); err != nil {
		return err
	}
	switch {
	case resumed.how == takeOver:
		return r.takeOver(end.at.lsn)
	case resumed.how == wait && r.strict:
		resumed.how = anew
	}
	return nil
}

// known applies everything up to the scan's stop, out of the notes that were taken when the end was looked for, and what is not in them out of the journal.
func (r *replay) known(end *scan) error {
	n := end.notes
	end.notes = nil
	if err := r.recall(n, r.scan.stop); err != nil {
		return err
	}
	switch {
	case n.end.at.lsn >= r.scan.stop:
		r.scan.resume(scanState{at: end.doubt.from, last: end.doubt.prev, epoch: end.epoch}) // for who takes over from there
		return nil
	case n.end.at.lsn > r.scan.at.lsn:
		r.scan.resume(n.end)
	}
	return r.scan.run(r.frame)
}

// lift raises partitions to the offsets below which an open before has said that none is given out again.
func (st *Store) lift(floors []floor) {
	for _, f := range floors {
		if p := st.core.Catalog.Partition(f.partition); p != nil && f.next > p.Marks().Next {
			st.raise(p, f.next)
		}
	}
}

// contradicts tells whether frames are whole by their sums and still cannot have been written by a store: somebody made them, or a defect did.
func contradicts(err error) bool {
	return errors.Is(err, core.ErrOrder) || errors.Is(err, frame.ErrField) || errors.Is(err, storage.ErrNotFound)
}

// frame applies one frame; it is called for whole entries only, in their order.
func (r *replay) frame(h *frame.Header, raw []byte) error {
	if h.LSN <= r.after {
		return nil
	}
	r.strict = r.strict || h.LSN > r.certain && r.guarded(h)
	hops := h.Kind == frame.Batch && r.scan != nil && r.scan.hop
	if raw == nil && !hops {
		r.st.core.State.SetApplied(h.LSN)
		return r.lose(h, r.scan.place)
	}
	var body []byte
	if !hops {
		body = raw[frame.HeaderSize : frame.HeaderSize+int(h.BodyLen)]
	}
	var err error
	switch h.Kind {
	case frame.Batch:
		err = r.batch(h, raw)
	case frame.Cursor:
		err = r.cursor(h, body)
	case frame.Topic:
		var t storage.Topic
		if t, err = frame.DecodeTopic(body); err == nil {
			r.st.core.Catalog.AddTopic(t)
		}
	case frame.Alter:
		var t storage.Topic
		if t, err = frame.DecodeTopic(body); err == nil {
			r.st.core.Catalog.Alter(t)
		}
	case frame.Drop:
		var first storage.PartitionID
		if first, err = frame.DecodeDrop(body); err == nil {
			r.st.core.Drop(first)
			r.st.keeper.reap(h.LSN)
		}
	case frame.GroupDrop:
		var g storage.GroupID
		if g, err = frame.DecodeGroupDrop(body); err == nil {
			r.st.core.DropGroup(g)
		}
	case frame.Start:
		err = r.start(h)
	case frame.Swap:
		err = r.swap(h, body)
	case frame.Gap:
		err = r.gap(h, body)
	case frame.Followed:
		r.st.keeper.life, err = frame.DecodePlace(body)
	case frame.Group:
		var g storage.Group
		if g, err = frame.DecodeGroup(body); err == nil {
			r.st.core.Catalog.AddGroup(g)
		}
	case frame.Block:
		err = frame.ErrField // only segments have them
	}
	if errors.Is(err, frame.ErrVersion) {
		err = fmt.Errorf("%w: %w", storage.ErrFormat, err)
	}
	if err != nil {
		return replaying(h, err)
	}
	r.st.core.State.SetApplied(h.LSN)
	return nil
}

func replaying(h *frame.Header, err error) error {
	return fmt.Errorf("storage: replaying frame %x of the journal: %w", uint64(h.LSN), err)
}

// partition returns the partition that a frame is about: nil for one that was dropped behind the frame, of which the checkpoint knows already.
func (r *replay) partition(h *frame.Header) (*core.Partition, error) {
	id := storage.PartitionID(h.Partition)
	p := r.st.core.Catalog.Partition(id)
	if p != nil {
		return p, nil
	}
	if next, _ := r.st.core.Catalog.NextIDs(); id >= next {
		return nil, fmt.Errorf("%w: partition %d", storage.ErrNotFound, id)
	}
	return nil, nil
}

func (r *replay) batch(h *frame.Header, raw []byte) error {
	if raw == nil {
		r.hs = append(r.hs[:0], *h)
		_, err := r.index(r.hs, r.scan.place.from)
		return err
	}
	p, err := r.partition(h)
	if p == nil {
		return err
	}
	j, k := r.st.journal, r.st.keeper
	if j.unspilled > 0 && j.unspilled+int64(len(raw)) > j.soft {
		if err := k.must(func() error { return k.relieve(j.soft / 2) }); err != nil {
			return err
		}
		if err := k.must(k.evict); err != nil {
			return err
		}
	}
	return j.restore(p, h, raw)
}

// indexPart is the part of the memory that may be taken by the knowledge of where frames are.
const (
	indexPart  = 4
	indexEntry = 64 // bytes of it for a frame
)

// index leaves batches of one partition where they are in the journal, one behind the other from a byte on, and makes them known. It returns how many it has.
func (r *replay) index(hs []frame.Header, from int64) (n int, err error) {
	p, err := r.partition(&hs[0])
	if p == nil {
		return 0, err
	}
	j, k := r.st.journal, r.st.keeper
	most := r.st.opt.MemoryBytes / indexPart / indexEntry
	if r.indexed += int64(len(hs)); r.indexed > most {
		if err := k.must(func() error { return k.relieve(0) }); err != nil {
			return 0, err
		}
		r.indexed = int64(len(hs))
	}
	b := r.blocks[r.scan.in]
	if b == nil {
		if r.blocks == nil {
			r.blocks = map[*slot]*core.Block{}
		}
		b = core.NewBacked(&core.Backing{File: r.scan.in.file, Name: r.scan.in.name, Seed: j.id.seed})
		r.blocks[r.scan.in] = b
	}
	bytes := int64(0)
	for i := range hs {
		bytes += int64(hs[i].Size())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list(p, bytes)
	return p.Recover(hs, b, int(from))
}

// guarded tells whether what a frame says must be durable before it is seen.
func (r *replay) guarded(h *frame.Header) bool {
	switch h.Kind {
	case frame.Pad:
		return false
	case frame.Batch, frame.Cursor:
		p := r.st.core.Catalog.Partition(storage.PartitionID(h.Partition))
		return p != nil && p.Strategy().Sync == storage.SyncAlways
	}
	return true
}

func (r *replay) cursor(h *frame.Header, body []byte) error {
	c, err := frame.DecodeCursor(body, h.Partition)
	if err != nil {
		return err
	}
	if p, err := r.partition(h); p == nil {
		return err
	}
	r.st.core.State.Set(core.CursorKey{Group: c.Group, Partition: c.Partition}, append([]byte(nil), body...))
	return nil
}

func (r *replay) start(h *frame.Header) error {
	p, err := r.partition(h)
	if p == nil {
		return err
	}
	r.st.core.Begin(p, h.Base)
	r.st.keeper.reap(h.LSN)
	return nil
}

func (r *replay) swap(h *frame.Header, body []byte) error {
	p, err := r.partition(h)
	if p == nil {
		return err
	}
	s, err := decodeSwap(body)
	if err != nil {
		return err
	}
	by := make([]*segment.Segment, len(s.by))
	for i, m := range s.by {
		by[i] = r.st.segments.Open(p.ID, m)
	}
	r.st.keeper.exchange(p, s.old, by)
	return nil
}

func (r *replay) gap(h *frame.Header, body []byte) error {
	p := r.st.core.Catalog.Partition(storage.PartitionID(h.Partition))
	if p == nil {
		return fmt.Errorf("%w: partition %d", storage.ErrNotFound, h.Partition)
	}
	g, err := frame.DecodeHole(body)
	if err != nil {
		return err
	}
	r.st.keeper.parts.of(p).punch(g)
	return nil
}

// restore stages a frame that is in the journal already, and commits it.
func (j *journal) restore(p *core.Partition, h *frame.Header, raw []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	b, pos := j.hold(p, raw)
	_, err := p.Recover([]frame.Header{*h}, b, pos)
	return err
}
