package segment

import (
	"errors"
	"fmt"
	"io"

	"github.com/leatmq/leat/storage/internal/frame"
)

// ErrSealed is returned for appending to a sealed segment, or to one whose file was sealed once: such a file may have another name, in a snapshot, and is
// never written to again.
var ErrSealed = errors.New("segment: sealed")

// Append writes whole frames to the end, in one write: batches of the partition as they stand in the journal, with ascending offsets. Their sums are not
// checked but for the headers'. Nothing of them is seen before Append has returned. frames belong to the caller again afterwards.
func (s *Segment) Append(frames []byte) error {
	return s.append(frames, func(h *frame.Header) bool { return h.Kind == frame.Batch })
}

// append appends frames that fit.
func (s *Segment) append(frames []byte, fits func(*frame.Header) bool) error {
	a, err := s.survey(frames, fits)
	if err != nil {
		return err
	}
	return s.write(frames, func() {
		s.meta.Next, s.meta.Count, s.meta.Length = a.Next, a.Count, a.Length
		s.meta.MinTime, s.meta.MaxTime, s.meta.LastLSN = a.MinTime, a.MaxTime, a.LastLSN
		s.lines = append(s.lines, a.lines...)
		s.digest += a.digest
	})
}

// appended is what an Append changes.
type appended struct {
	Meta
	lines  []line
	digest uint64
}

// survey reads the headers of frames to be appended.
func (s *Segment) survey(frames []byte, fits func(*frame.Header) bool) (a appended, err error) {
	s.mu.Lock()
	a.Meta = s.meta
	last := s.lastLine()
	s.mu.Unlock()
	for rest := frames; len(rest) > 0; {
		h, err := frame.Parse(rest, s.dir.id.Seed)
		if err != nil {
			return a, fmt.Errorf("append to segment: %w", err)
		}
		if !fits(&h) || h.Partition != uint32(s.partition) || h.Base < a.Next || h.Size() > len(rest) {
			return a, fmt.Errorf("append to segment: a frame of partition %d at offset %d does not follow offset %d of partition %d",
				h.Partition, h.Base, a.Next, s.partition)
		}
		if a.Length-last >= indexStep {
			last = a.Length
			a.lines = append(a.lines, line{h.Base, a.Length, h.Time, a.ordinalAt(h.Base, a.Count)})
		}
		a.digest += stampOf(rest, a.Length)
		if a.Next == a.Base {
			a.MinTime = h.Time
		}
		a.Next, a.Count, a.Length = h.Next(), a.Count+int64(h.Count), a.Length+int64(h.Size())
		a.MaxTime, a.LastLSN = h.Time, h.LSN
		rest = rest[h.Size():]
	}
	return a, nil
}

// Align writes a pad frame up to the next boundary of 4096 bytes, if the segment does not end at one. Called before the Sync that a checkpoint
// waits for, it keeps later appends from rewriting a sector that the checkpoint counts on.
func (s *Segment) Align() error {
	m := s.Meta()
	gap := int(-m.Length & (blockSize - 1))
	if gap == 0 {
		return nil
	}
	if gap < frame.HeaderSize {
		gap += blockSize
	}
	pad := make([]byte, gap)
	h := frame.Header{
		BodyLen: uint32(gap - frame.HeaderSize), BodySum: s.dir.id.Seed.Sum(pad[frame.HeaderSize:]), Kind: frame.Pad, Flags: frame.End,
		LSN: m.LastLSN, Base: m.Next, Partition: uint32(s.partition), Time: m.MaxTime,
	}
	h.Put(pad, s.dir.id.Seed)
	return s.write(pad, func() {
		s.meta.Length += int64(gap)
		s.digest += stampOf(pad, m.Length)
	})
}

// Seal writes the footer behind the frames; Sync makes it durable. The segment takes no more frames afterwards.
func (s *Segment) Seal() error {
	m := s.Meta()
	length, err := s.writable()
	if err != nil { // rather than what a failed write has left in the file
		return err
	}
	h, err := s.dir.acquire(s)
	if err != nil {
		return err
	}
	defer s.dir.release(h)
	if h.sealed {
		return ErrSealed
	}
	lines, err := s.indexed(h)
	if err != nil {
		return err
	}
	if err := s.trim(h, length); err != nil {
		return err
	}
	s.mu.Lock()
	footer := appendFooter(nil, s.dir.id.Seed, &m, s.digest, lines)
	s.mu.Unlock()
	return s.write(footer, func() { s.meta.Sealed = true })
}

// trim cuts what an earlier open left behind the length that counts: the footer must end the file.
func (s *Segment) trim(h *handle, length int64) error {
	size, err := sizeOf(h.file)
	if err != nil || size <= length {
		return err
	}
	if err := h.file.Truncate(length); err != nil {
		return s.fail(fmt.Errorf("cut segment: %w", err))
	}
	return nil
}

// write writes p behind what counts, and then does done under the lock.
func (s *Segment) write(p []byte, done func()) error {
	if len(p) == 0 {
		return nil
	}
	length, err := s.writable()
	if err != nil {
		return err
	}
	h, err := s.dir.acquire(s)
	if err != nil {
		return err
	}
	defer s.dir.release(h)
	switch {
	case h.sealed:
		return ErrSealed
	case h.short: // what is missing must not become a hole
		return s.shortened(h)
	}
	_, err = h.file.WriteAt(p, length)
	s.mu.Lock()
	s.written++
	if err == nil {
		done()
	}
	s.mu.Unlock()
	if err == nil {
		h.file.WriteBehind(length + int64(len(p)))
	}
	if err != nil {
		return s.fail(fmt.Errorf("write segment: %w", err))
	}
	return nil
}

// writable returns where to write.
func (s *Segment) writable() (length int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed != nil:
		return 0, s.failed
	case s.meta.Sealed:
		return 0, ErrSealed
	}
	return s.meta.Length, nil
}

// shortened describes what is lost of a file that was shorter, when it was opened, than what counts.
func (s *Segment) shortened(h *handle) error {
	m := s.Meta()
	size, err := sizeOf(h.file)
	if err != nil {
		return err
	}
	lines, err := s.indexed(h)
	if err != nil {
		return err
	}
	l := lineAt(lines, &m, func(l *line) bool { return l.pos < size })
	w := s.walk(h, &m, place{l.offset, l.pos})
	defer w.end()
	for err == nil && w.at.pos <= size {
		l.offset, l.pos = w.at.offset, w.at.pos
		_, err = w.next()
	}
	if err != nil && err != io.EOF {
		return err
	}
	return s.ended(place{l.offset, l.pos}, &m, size)
}
