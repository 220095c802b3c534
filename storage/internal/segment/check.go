package segment

import (
	"fmt"

	"github.com/leatmq/leat/storage/internal/frame"
)

// Check reads all frames of the segment, header and body, and returns the first *storage.DamageError, or an error of the file system, or of read, which is called
// for each piece with the bytes that it has.
func (s *Segment) Check(read func(bytes int) error) error {
	m := s.Meta()
	records := int64(0)
	at := m.Base
	for at < m.Next {
		frames, err := s.Read(at, maxRead)
		if err != nil {
			return err
		}
		if len(frames) == 0 {
			break
		}
		if err := read(len(frames)); err != nil {
			return err
		}
		for len(frames) > 0 {
			h := frame.Checked(frames)
			at, records = max(at, h.Next()), records+int64(h.Count)
			frames = frames[h.Size():]
		}
	}
	if records != m.Records() {
		return s.damage(place{m.Base, blockSize}, place{m.Next, m.Length}, fmt.Sprintf("%d records instead of %d", records, m.Records()))
	}
	if records == 0 { // nothing was read
		h, err := s.dir.acquire(s)
		if err != nil {
			return err
		}
		s.dir.release(h)
	}
	return nil
}

// MaxFooter bounds what lies behind the Length of a sealed segment's file.
func (m *Meta) MaxFooter() int64 { return trailerSize + m.Length/frame.HeaderSize*lineSize }
