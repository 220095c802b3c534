package segment_test

import (
	"context"
	"errors"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// A segment that is discarded, and whose file is removed, between the moment at which a reader finds its file closed and that at which it opens it is no
// damage: the reader is told that there is another list of segments by now.
func TestRemovedBeforeItIsOpened(t *testing.T) {
	for name, read := range map[string]func(*store, *segment.Segment) error{
		"read":    func(_ *store, g *segment.Segment) error { _, err := g.Read(0, 1); return err },
		"by time": func(_ *store, g *segment.Segment) error { _, _, err := g.OffsetAt(1); return err },
		"rewrite": func(s *store, g *segment.Segment) error {
			_, err := s.dir.Rewrite(context.Background(), segment.Rewrite{Sources: []*segment.Segment{g}, File: 9, Epoch: 3})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := newStore(t, 0), newLog(0, 0)
			g := s.create(1, l)
			must(t, g.Append(l.make(plain(2, 10))))
			must(t, g.Seal())
			meta := g.Meta()
			s.reopen()
			g = s.dir.Open(partition, meta)
			removed := false
			s.fs.OnOp(func(op vfs.Op) error {
				if op.Kind != vfs.OpOpen || op.Name != g.Name() || removed {
					return nil
				}
				removed = true
				if unused, err := s.dir.Discard(g); !unused || err != nil {
					t.Errorf("discarding a segment whose file is closed: %v, %v", unused, err)
				}
				return s.dir.RemoveFile(partition, meta.File)
			})
			err := read(s, g)
			var damage *storage.DamageError
			if !removed || !errors.Is(err, segment.ErrDiscarded) || errors.As(err, &damage) {
				t.Errorf("removed: %v; got %v, want ErrDiscarded and no damage", removed, err)
			}
		})
	}
}
