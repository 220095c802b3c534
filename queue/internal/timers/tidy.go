package timers

import "github.com/leatmq/leat/storage"

const (
	tidyLedgers = 256 // so many ledgers, and tidyOffsets times as many offsets that are done and not in the stored one
	tidyOffsets = 16
	tidyBytes   = 8 << 20 // so much that was moved
)

// tidy stores a ledger if what it does not know is much, and removes what nobody needs if that is much.
func (x *Index) tidy() error {
	if x.unsaved >= tidyOffsets*x.o.ledgers {
		l := x.ledger.clone()
		if err := x.save(&storage.Entry{}, &l); err != nil {
			return err
		}
	}
	if x.stored >= x.o.ledgers || x.freed >= tidyBytes {
		return x.clear()
	}
	return nil
}

// clear removes what is done, as far as the stored ledger knows, and what runs left that were cut short.
func (x *Index) clear() error {
	if err := x.trim(x.inboxID, x.firm); err != nil {
		return err
	}
	if err := x.trim(x.ledgerID, x.newest); err != nil {
		return err
	}
	x.stored, x.freed = 0, 0
	var busy [maxRuns]bool
	for _, j := range x.jobs {
		busy[j.slot] = true
	}
	for _, s := range x.ledger.runs {
		busy[s.slot] = true
		if err := x.trim(x.runTopic.Partition(s.slot), s.at); err != nil {
			return err
		}
	}
	for slot, busy := range busy {
		if busy {
			continue
		}
		id := x.runTopic.Partition(slot)
		b, err := x.store.Bounds(id)
		if err == nil {
			err = x.trim(id, b.Next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) trim(p storage.PartitionID, first int64) error {
	b, err := x.store.Bounds(p)
	if err != nil || first <= b.First || first > b.Next {
		return err
	}
	return x.store.Trim(x.ctx, p, first)
}
