package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// spilled finds batches that were copied to segments behind the last checkpoint. They do not count there, since the journal has them, too; but where the
// journal is damaged they are all that is left.
type spilled struct {
	fs    vfs.FS
	seed  frame.Seed
	after frame.LSN // up to it the checkpoint has everything
	by    map[spilledKey]place
	bases map[storage.PartitionID][]int64 // ascending
}

type spilledKey struct {
	partition storage.PartitionID
	base      int64
}

// maxSpilled bounds how many batches are kept in mind.
const maxSpilled = 1 << 20

// spilledFrames looks through the files of segments, before anything is appended to them. Those that have such batches are retired: what is
// replayed would be written over them, and after a crash neither might be whole.
func (st *Store) spilledFrames(after frame.LSN) (*spilled, error) {
	s := &spilled{fs: st.fs, seed: st.core.Seed(), after: after, by: map[spilledKey]place{}, bases: map[storage.PartitionID][]int64{}}
	for _, f := range slices.Concat(st.orphans, st.headless) { // frames say themselves whose they are
		if err := s.walk(f.Partition, f.Name, sector); err != nil {
			return nil, err
		}
	}
	for id, h := range st.keeper.parts.all() {
		a := h.active()
		if a == nil {
			continue
		}
		before := len(s.by)
		if err := s.walk(id, a.Name(), a.Meta().Length); err != nil {
			return nil, err
		}
		if len(s.by) > before {
			a.Retire()
			st.keeper.sealings.note(a.Meta().File, st.keeper.graves.newest())
		}
	}
	for _, bases := range s.bases {
		slices.Sort(bases)
	}
	return s, nil
}

func (s *spilled) walk(p storage.PartitionID, name string, pos int64) error {
	f, err := s.fs.Open(name, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrNotRegular) {
		return nil // whoever reads it is told
	}
	if err != nil {
		return fmt.Errorf("storage: %s: %w", name, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("storage: %s: %w", name, err)
	}
	w := &window{file: f, name: name, end: min(size, pos+maxSlotFile)}
	for len(s.by) < maxSpilled {
		b, err := w.at(pos, frame.HeaderSize)
		if err != nil || len(b) < frame.HeaderSize {
			return err
		}
		h, err := frame.Parse(b, s.seed)
		if err != nil {
			pos += 8
			continue
		}
		if b, err = w.at(pos, h.Size()); err != nil {
			return err
		}
		if h.Kind == frame.Batch && h.Partition == uint32(p) && h.LSN > s.after && s.sound(&h, b) {
			key := spilledKey{p, h.Base}
			if _, again := s.by[key]; !again {
				s.bases[p] = append(s.bases[p], h.Base)
			}
			s.by[key] = place{file: name, from: pos, to: pos + int64(h.Size())}
		}
		pos += int64(h.Size())
	}
	return nil
}

func (s *spilled) sound(h *frame.Header, b []byte) bool {
	return len(b) >= h.Size() && h.CheckBody(b[frame.HeaderSize:][:h.BodyLen], s.seed) == nil
}

// find returns the batch of p that begins at an offset, nil if there is none.
func (s *spilled) find(p storage.PartitionID, base int64) (h frame.Header, raw []byte, err error) {
	at, ok := s.by[spilledKey{p, base}]
	if !ok {
		return h, nil, nil
	}
	f, err := s.fs.Open(at.file, vfs.ReadOnly)
	if err != nil {
		return h, nil, fmt.Errorf("storage: %s: %w", at.file, err)
	}
	defer f.Close()
	b, err := readAt(f, at.file, at.from, int(at.to-at.from))
	if err != nil {
		return h, nil, err
	}
	if h, err = frame.Parse(b, s.seed); err != nil || !s.sound(&h, b) {
		return h, nil, nil
	}
	return h, b[:h.Size()], nil
}

// above returns the first offset from from on at which a batch of p begins, or end if that comes first.
func (s *spilled) above(p storage.PartitionID, from, end int64) int64 {
	bases := s.bases[p]
	if i, _ := slices.BinarySearch(bases, from); i < len(bases) {
		return min(bases[i], end)
	}
	return end
}
