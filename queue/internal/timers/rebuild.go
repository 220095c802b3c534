package timers

import (
	"slices"

	"github.com/leatmq/leat/storage"
)

// rebuild makes up for ledgers that came after the one that was found, and are lost: an operator gave up what was damaged. Whatever lies in the places of runs counts, since
// it is nowhere else perhaps. So nothing that waits is lost; what was moved, merged or cancelled in the time of the lost ledgers may be there again, or twice, and twice of one key is moved once.
func (x *Index) rebuild() error {
	l := x.ledger.clone()
	before := l.runs
	l.runs = nil
	for slot := range maxRuns {
		s, err := x.found(slot, before)
		if err != nil {
			return err
		}
		l.add(s)
	}
	ran, err := x.countRuns(l.runs)
	if err != nil {
		return err
	}
	l.ran = ran
	return x.save(&storage.Entry{}, &l)
}

// found is what lies in the place of a run; that of before is done as far as it says, unless another was written there since.
func (x *Index) found(slot int, before []span) (s span, err error) {
	id := x.runTopic.Partition(slot)
	b, err := x.store.Bounds(id)
	if err != nil || b.First == b.Next {
		return s, err
	}
	first, err := x.store.Ordinal(id, b.First)
	if err != nil {
		return s, err
	}
	s = span{slot: slot, from: b.First, to: b.Next, at: b.First, records: b.Records - first}
	i := slices.IndexFunc(before, func(old span) bool { return old.slot == slot })
	if i < 0 || before[i].to <= b.First {
		return s, nil
	}
	if n, err := x.store.Ordinal(id, before[i].to); err != nil || n < b.Records {
		return s, err
	}
	s.at = max(s.at, before[i].at)
	return s, nil
}

// countRuns counts the messages of runs, each key once.
func (x *Index) countRuns(spans []span) (map[storage.PartitionID]int64, error) {
	l := ledger{ran: map[storage.PartitionID]int64{}}
	var rs []*run
	for _, s := range spans {
		rs = append(rs, &run{index: x, span: s, next: s.at})
	}
	err := merged(rs, func(same []item) error {
		message, grave := present(same)
		if message {
			l.count(same[0].First, 1)
		}
		if grave {
			l.count(same[0].First, -1)
		}
		return nil
	})
	return l.ran, err
}

// present says what there is of one key.
func present(same []item) (message, grave bool) {
	for i := range same {
		message = message || !same[i].grave
		grave = grave || same[i].grave
	}
	return message, grave
}
