package disk

import (
	"math"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
)

// jump raises all partitions whose records may have been seen, and lost since, because they were not synced: their
// offsets are not used again.
func (st *Store) jump() {
	for _, p := range st.core.Catalog.Partitions() {
		if p == nil || p.Strategy().Sync == storage.SyncAlways {
			continue
		}
		if next := p.Marks().Next; next <= math.MaxInt64-offsetJump {
			st.raise(p, next+offsetJump)
		}
	}
}

// clamp raises partitions above cursors that are ahead of them, which only damage explains: no new record is taken for one that
// is done.
func (st *Store) clamp() {
	cursors, _ := st.core.State.Capture()
	for key, body := range cursors {
		c, err := frame.DecodeCursor(body, uint32(key.Partition))
		if err != nil {
			continue // cannot be: it was checked when it was read
		}
		end := c.Floor
		if n := len(c.Done); n > 0 {
			end = c.Done[n-1].To
		}
		p := st.core.Catalog.Partition(key.Partition)
		if end > p.Marks().Next {
			st.raise(p, end)
			st.report.Raised = append(st.report.Raised, p.ID)
		}
	}
}

func (st *Store) raise(p *core.Partition, next int64) {
	p.Raise(next)
	st.raised[p.ID] = next
	st.keeper.parts.of(p).pass(segmentBase{next: next})
}
