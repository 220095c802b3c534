package disk

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Skip gives up the records of p from the offset first up to next, which a *storage.DamageError has named: reads go on behind them, now and after every
// restart, as if they had been removed. They still count in Store.Ordinal. The files are left as they are; Mend may bring the records back. It is
// durable on return, and whoever asks for Damaged is told of it for ever.
//
// Errors: storage.ErrNotFound; ErrNotDamaged if a read of these offsets does not fail, so that nothing sound is given up by mistake; those of Append; ErrReadOnly.
func (st *Store) Skip(ctx context.Context, p storage.PartitionID, first, next int64) error {
	part := st.core.Catalog.Partition(p)
	if part == nil {
		return storage.ErrNotFound
	}
	damage, err := st.damageAt(p, first)
	if err != nil {
		return err
	}
	if next <= first || first < damage.First || next > damage.Next {
		return fmt.Errorf("%w: offsets %d to %d of partition %d; damaged are %d to %d", storage.ErrNotDamaged, first, next, p, damage.First, damage.Next)
	}
	h := st.keeper.parts.of(part)
	g := frame.Hole{
		First: first, Next: next, Ordinal: h.Ordinal(first), State: frame.HoleSkipped,
		File: damage.File, From: damage.From, To: max(damage.From, damage.To), Reason: damage.Reason,
	}
	g.Records = min(h.Ordinal(next)-g.Ordinal, next-first)
	return st.core.CommitState(ctx, frame.Gap, part, frame.AppendHole(nil, &g), func() { h.punch(g) })
}

// damageAt returns the damage that a read from an offset meets.
func (st *Store) damageAt(p storage.PartitionID, from int64) (*storage.DamageError, error) {
	_, _, err := st.Read(nil, p, from, 1)
	var damage *storage.DamageError
	switch {
	case errors.As(err, &damage):
		return damage, nil
	case err != nil:
		return nil, err
	}
	return nil, fmt.Errorf("%w: offset %d of partition %d can be read", storage.ErrNotDamaged, from, p)
}

// Damaged lists the records that are known to be lost, by partition: holes that the journal left, and those that were skipped. What is damaged in
// segments and was not skipped is not among them: Verify looks for it.
func (st *Store) Damaged() []*storage.DamageError { return st.damages() }
