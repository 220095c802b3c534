package segment

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// ErrRecords says that a segment that was put together has not as many records as it should.
var ErrRecords = errors.New("segment: not the records that were there")

// Rebuild makes a segment of p in the place of a rewritten one that is damaged and is described by want, with the file, the epoch and the compression of r: sealed, durable and read back like
// one of Rewrite. batches calls take with every batch, in order; take clears their padding. If they are not as many records as want has, the error is ErrRecords.
//
// With an error there is no new segment, as for Rewrite.
func (d *Dir) Rebuild(ctx context.Context, p storage.PartitionID, r Rewrite, want Meta, batches func(take func(*frame.Header, []byte) error) error) (*Segment, error) {
	w := &rewriting{Rewrite: &r, want: want}
	if err := w.choose(); err != nil {
		return nil, err
	}
	if err := w.create(d, p); err != nil {
		return nil, err
	}
	err := batches(func(h *frame.Header, raw []byte) error { return w.take(ctx, h, raw) })
	if err == nil {
		err = w.end(ctx)
	}
	if err == nil && w.told.records != want.Records() {
		err = fmt.Errorf("%w: %d instead of %d", ErrRecords, w.told.records, want.Records())
	}
	return w.finish(ctx, err)
}
