package embedded

import (
	"context"

	"github.com/leatmq/leat/storage"
)

// RawPartition is a partition as the store has it, of any topic, those of the library's own included: what is delayed, parked, or marked.
type RawPartition struct {
	ID           storage.PartitionID
	Topic        string
	Incarnations []uint64 // of the topic: the one that it has, and those before the copies that it was restored from
	First, Next  int64    // what is there lies from First on, below Next
	Compacted    bool     // records may be removed anywhere: the topic keeps the latest by key
}

// RawPartitions lists all partitions of the store as they are now. It is for those who have to know of everything that the store holds, and so is ReadRaw: a collector of
// what messages refer to, for instance.
func (e *Engine) RawPartitions() ([]RawPartition, error) {
	if err := e.open(); err != nil {
		return nil, err
	}
	var ps []RawPartition
	for _, t := range e.engine.store.Topics() {
		lives := []uint64{t.Incarnation}
		for i := range t.Past {
			lives = append(lives, t.Past[i].Incarnation)
		}
		for n := range t.Partitions {
			b, err := e.engine.store.Bounds(t.Partition(n))
			if err != nil {
				return nil, translate(err)
			}
			ps = append(ps, RawPartition{t.Partition(n), t.Name, lives, b.First, b.Next, t.Strategy.Cleanup.LatestByKey})
		}
	}
	return ps, nil
}

// ReadRaw calls yield for the records of a partition from an offset on, as they are stored, until it returns false or none is left, and returns where to go on. Records are good until yield
// returns. Damage is a *storage.DamageError.
func (e *Engine) ReadRaw(ctx context.Context, id storage.PartitionID, from int64, yield func(r *storage.Record) bool) (next int64, err error) {
	if err := e.open(); err != nil {
		return from, err
	}
	var buf []byte
	var records []storage.Record
	for {
		if err := ctx.Err(); err != nil {
			return from, err
		}
		records, next, err = e.engine.store.ReadInto(records[:0], &buf, id, from, rawBytes)
		if err != nil || len(records) == 0 {
			return max(from, next), translate(err)
		}
		for i := range records {
			if r := &records[i]; !yield(r) {
				return r.Offset + 1, nil
			}
		}
		from = next
	}
}

// rawBytes is how much ReadRaw reads at a time.
const rawBytes = 1 << 20
