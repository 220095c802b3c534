package segment

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Rewrite says what Dir.Rewrite does.
type Rewrite struct {
	// Sources are sealed segments of one partition, each of which goes on where the one before it ends. None has a gap in its offsets but for records that an
	// earlier Rewrite dropped.
	Sources    []*Segment
	File       uint64      // ID of the new file, which must be new
	Epoch      uint32      // of this open
	Codec      compress.ID // 0: frames stay as they are
	Level      compress.Level
	BlockBytes int // of a block before it is compressed; 0: storage.DefaultBlockBytes
	// Keep tells whether a record stays; nil: all do. What it is given is valid during the call only.
	Keep func(*storage.Record) bool
	// Compacted is what Meta.Compacted will be: without it, what it is of all sources.
	Compacted bool
	// Pace is called with how many bytes were just read, or are about to be written, in pieces of about a megabyte. An error ends the rewriting. nil: at once.
	Pace func(ctx context.Context, bytes int) error
}

// ErrSources says that segments cannot be rewritten into one: see Rewrite.Sources.
var ErrSources = errors.New("segment: sources that do not go on where the one before ends, without gaps")

// Rewrite copies what the sources hold, or what of it is to be kept, to one new segment, sealed and durable, in place of which they can be given up: it was
// read back and compared before Rewrite returns. Their offsets, times and ordinals are the new one's. The sources stay as they are.
//
// With an error there is no new segment, and no file of it unless the error is that it could not be removed. Damage of a source is a
// *storage.DamageError; ctx's error is returned as it is.
func (d *Dir) Rewrite(ctx context.Context, r Rewrite) (*Segment, error) {
	w, err := d.begin(&r)
	if err != nil {
		return nil, err
	}
	return w.finish(ctx, w.copy(ctx))
}

// finish seals and reads what was written, if err is nil, and else removes it.
func (w *rewriting) finish(ctx context.Context, err error) (*Segment, error) {
	d := w.out.dir
	if err == nil {
		err = w.seal()
	}
	if closeErr := d.giveUp(w.out); err == nil {
		err = closeErr
	}
	if err == nil {
		result := d.Open(w.out.partition, w.out.Meta())
		if err = w.verify(ctx, result); err == nil {
			return result, nil
		}
		err = errors.Join(err, d.giveUp(result))
	}
	if rmErr := d.fs.Remove(w.out.Name()); rmErr != nil {
		err = errors.Join(err, fmt.Errorf("remove segment: %w", rmErr))
	}
	return nil, err
}

// rewriting is a Rewrite under way.
type rewriting struct {
	*Rewrite
	out   *Segment
	codec compress.Codec // nil: none
	want  Meta           // what the sources were together
	from  *Segment       // the source that is copied

	records []storage.Record // of one frame
	edited  []byte           // a frame without the records that were dropped
	block   []byte           // frames for the next block
	header  frame.Header     // of that block
	ready   []byte           // frames to be written
	told    tally            // of what was given to out
}

// tally tells sequences of frames apart.
type tally struct {
	sum     uint32 // of all headers, which have sums of the bodies
	frames  int
	records int64
}

func (t *tally) add(s frame.Seed, h *frame.Header, whole []byte) {
	var b [4 + frame.HeaderSize]byte
	binary.LittleEndian.PutUint32(b[:], t.sum)
	copy(b[4:], whole)
	t.sum = s.Sum(b[:])
	t.frames++
	t.records += int64(h.Count)
}

// begin checks the sources and makes the file.
func (d *Dir) begin(r *Rewrite) (*rewriting, error) {
	w := &rewriting{Rewrite: r}
	if err := w.choose(); err != nil {
		return nil, err
	}
	for i, s := range r.Sources {
		m := s.Meta()
		if !m.Sealed || m.Count != m.Next-m.Base || s.partition != r.Sources[0].partition {
			return nil, ErrSources
		}
		if i == 0 {
			w.want = m
			continue
		}
		if m.Base != w.want.Next || m.Ordinal != w.want.Ordinal+w.want.Count {
			return nil, ErrSources
		}
		w.want.Next, w.want.Count, w.want.MaxTime, w.want.LastLSN = m.Next, w.want.Count+m.Count, m.MaxTime, m.LastLSN
		w.want.Compacted = w.want.Compacted && m.Compacted
	}
	if len(r.Sources) == 0 {
		return nil, ErrSources
	}
	return w, w.create(d, r.Sources[0].partition)
}

// choose makes ready what the blocks are compressed with.
func (w *rewriting) choose() error {
	if w.BlockBytes <= 0 {
		w.BlockBytes = storage.DefaultBlockBytes
	}
	if w.Rewrite.Codec == 0 {
		return nil
	}
	var ok bool
	if w.codec, ok = compress.New(w.Rewrite.Codec, w.Level); !ok {
		return fmt.Errorf("segment: %v is not known", w.Rewrite.Codec)
	}
	return nil
}

// create makes the file.
func (w *rewriting) create(d *Dir, p storage.PartitionID) (err error) {
	m := Meta{File: w.File, Base: w.want.Base, Next: w.want.Base, Ordinal: w.want.Ordinal, Length: blockSize, Rewritten: true, Codec: w.Rewrite.Codec}
	m.Compacted = w.want.Compacted || w.Compacted
	w.out, err = d.create(p, w.Epoch, m)
	return err
}

// scanBytes is what a scan reads at once, if frames are not larger.
const scanBytes = maxRead

// Scan calls each with every batch of s from its start on, until it fails. raw is the whole frame, in memory that is used again after each has returned.
// pace is as in Rewrite, and may be nil.
func (s *Segment) Scan(ctx context.Context, pace func(context.Context, int) error, each func(h *frame.Header, raw []byte) error) error {
	var buf []byte
	for from, end := s.Meta().Base, s.Meta().Next; from < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		frames, err := s.ReadInto(&buf, from, max(scanBytes, storage.MaxBlockBytes))
		if err != nil || len(frames) == 0 {
			return err
		}
		if pace != nil {
			if err := pace(ctx, len(frames)); err != nil {
				return err
			}
		}
		for len(frames) > 0 {
			h := frame.Checked(frames)
			if h.Kind == frame.Batch {
				if err := each(&h, frames[:h.Size()]); err != nil {
					return err
				}
				from = h.Next()
			}
			frames = frames[h.Size():]
		}
	}
	return nil
}

// Decode decodes the records of a batch of s, of which raw is the whole frame, behind those of dst. A batch whose sums hold, and whose records nobody could have written, is
// a *storage.DamageError: a defect made it, or a hand.
func (s *Segment) Decode(dst []storage.Record, h *frame.Header, raw []byte) ([]storage.Record, error) {
	records, err := frame.DecodeRecords(dst, h, raw[frame.HeaderSize:][:h.BodyLen], h.Base)
	if err != nil {
		return dst, &storage.DamageError{
			File: s.Name(), Partition: s.partition, First: h.Base, Next: h.Next(), Records: int64(h.Count), Reason: fmt.Sprintf("its sums hold, its records do not: %v", err),
		}
	}
	return records, nil
}

// copy brings what is to be kept of the sources to the new file.
func (w *rewriting) copy(ctx context.Context) error {
	for _, s := range w.Sources {
		w.from = s
		err := s.Scan(ctx, w.Pace, func(h *frame.Header, raw []byte) error { return w.take(ctx, h, raw) })
		if err != nil {
			return err
		}
	}
	return w.end(ctx)
}

// take adds what is to be kept of a frame, of which it clears the padding.
func (w *rewriting) take(ctx context.Context, h *frame.Header, raw []byte) error {
	h, raw, err := w.filter(h, raw)
	if err != nil || h == nil {
		return err
	}
	clear(raw[frame.HeaderSize+int(h.BodyLen):]) // no sum covers it
	w.told.add(w.out.dir.id.Seed, h, raw)
	w.add(h, raw)
	return w.flush(ctx, scanBytes)
}

// end writes what was taken and is not written yet.
func (w *rewriting) end(ctx context.Context) error {
	w.closeBlock()
	return w.flush(ctx, 1)
}

// filter returns the frame without the records that are not to be kept: as it is if that is none, nil if it is all.
func (w *rewriting) filter(h *frame.Header, raw []byte) (*frame.Header, []byte, error) {
	if w.Keep == nil {
		return h, raw, nil
	}
	all, err := w.from.Decode(w.records[:0], h, raw)
	if err != nil {
		return nil, nil, err
	}
	w.records = all
	kept := all[:0]
	for i := range all {
		if w.Keep(&all[i]) {
			kept = append(kept, all[i])
		}
	}
	switch len(kept) {
	case int(h.Count):
		return h, raw, nil
	case 0:
		return nil, nil, nil
	}
	return w.edit(h, kept)
}

// edit makes a frame anew with fewer records, which owns the same offsets.
func (w *rewriting) edit(h *frame.Header, kept []storage.Record) (*frame.Header, []byte, error) {
	p := append(w.edited[:0], make([]byte, frame.HeaderSize)...)
	next := h.Base
	for i := range kept {
		p = frame.AppendRecordBehind(p, &kept[i], uint64(kept[i].Offset-next))
		next = kept[i].Offset + 1
	}
	seed := w.out.dir.id.Seed
	e := *h
	e.Count, e.BodyLen, e.BodySum = uint32(len(kept)), uint32(len(p)-frame.HeaderSize), seed.Sum(p[frame.HeaderSize:])
	p = append(p, make([]byte, e.Size()-len(p))...)
	e.Put(p, seed)
	w.edited = p
	return &e, p, nil
}

// add adds a frame to the block, or to what is to be written.
func (w *rewriting) add(h *frame.Header, raw []byte) {
	if w.codec == nil {
		w.ready = append(w.ready, raw...)
		return
	}
	if len(w.block)+len(raw) > w.BlockBytes || h.Next()-w.header.Base >= 1<<32 {
		w.closeBlock()
	}
	if len(w.block) == 0 {
		w.header = frame.Header{Kind: frame.Block, Flags: frame.End, Codec: w.Codec, Base: h.Base, Partition: h.Partition}
	}
	w.block = append(w.block, raw...)
	w.header.Span, w.header.Count = uint32(h.Next()-w.header.Base), w.header.Count+h.Count
	w.header.Time, w.header.LSN = h.Time, h.LSN
}

// closeBlock compresses the block, if there is one. If it cannot be, or that does not make it clearly smaller, its frames stay as they are.
func (w *rewriting) closeBlock() {
	if len(w.block) == 0 {
		return
	}
	start := len(w.ready)
	p, err := frame.AppendBlock(append(w.ready, make([]byte, frame.HeaderSize)...), w.codec, w.block)
	body := p[start+frame.HeaderSize:]
	if err != nil || len(body) > len(w.block)/16*15 || len(body) > frame.MaxBody {
		w.ready = append(p[:start], w.block...)
		w.block = w.block[:0]
		return
	}
	seed := w.out.dir.id.Seed
	w.header.BodyLen, w.header.BodySum = uint32(len(body)), seed.Sum(body)
	p = append(p, make([]byte, w.header.Size()-frame.HeaderSize-len(body))...)
	w.header.Put(p[start:], seed)
	w.ready, w.block = p, w.block[:0]
}

// flush writes what is ready, if that is so many bytes.
func (w *rewriting) flush(ctx context.Context, least int) error {
	if len(w.ready) < least {
		return nil
	}
	if w.Pace != nil {
		if err := w.Pace(ctx, len(w.ready)); err != nil {
			return err
		}
	}
	fits := func(h *frame.Header) bool { return h.Kind == frame.Batch || h.Kind == frame.Block }
	if err := w.out.append(w.ready, fits); err != nil {
		return err
	}
	w.ready = w.ready[:0]
	return nil
}

// seal gives the new segment all that the sources owned, and makes it durable.
func (w *rewriting) seal() error {
	s := w.out
	s.mu.Lock()
	s.meta.Next, s.meta.Count, s.meta.Dropped = w.want.Next, w.want.Count, w.want.Count-w.told.records
	s.meta.MinTime, s.meta.MaxTime, s.meta.LastLSN = w.want.MinTime, w.want.MaxTime, w.want.LastLSN
	s.mu.Unlock()
	if err := s.Seal(); err != nil {
		return err
	}
	return s.Sync()
}

// errVerify says that what was read back is not what was written. The file is given up.
var errVerify = errors.New("segment: what was rewritten reads back as something else")

// verify reads the new file as whoever comes later will.
func (w *rewriting) verify(ctx context.Context, s *Segment) error {
	h, err := s.dir.acquire(s)
	if err != nil {
		return err
	}
	m := s.Meta()
	_, ok, err := s.readFooter(h, &m)
	s.dir.release(h)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: the footer", errVerify)
	}
	var got tally
	err = s.Scan(ctx, w.Pace, func(h *frame.Header, raw []byte) error {
		got.add(s.dir.id.Seed, h, raw)
		return nil
	})
	if damage := (*storage.DamageError)(nil); errors.As(err, &damage) {
		return fmt.Errorf("%w: %v", errVerify, err) // not of anything that counts
	}
	if err == nil && (got != w.told || got.records != m.Records()) {
		err = errVerify
	}
	return err
}
