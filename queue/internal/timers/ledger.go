package timers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leatmq/leat/storage"
)

// ledger is what counts: everything else is derived from it and from the records that it speaks of.
type ledger struct {
	floor int64                         // every record of the inbox below it is done
	done  []storage.Range               // done above it: ascending, apart
	runs  []span                        // with anything in them that is not done
	ran   map[storage.PartitionID]int64 // how many messages of runs are not done, by the first partition of their topic, tombstones taken off
}

// span is the part of a partition that is a run, by offsets.
type span struct {
	slot     int   // number of the partition in the topic of runs
	from, to int64 // half-open
	at       int64 // done below it
	records  int64 // from from to to
}

// ledgerVersion begins each record of the ledger. What follows is unsigned varints: floor; the ranges, as many and then for each the distance from the end of the one
// before, and its length; the runs, as many and their fields; the counts, as many and for each the partition and the count.
const ledgerVersion = 1

var errLedger = errors.New("timers: a ledger that cannot be read, or of a newer version")

func (l *ledger) append(dst []byte) []byte {
	dst = append(dst, ledgerVersion)
	u := func(n int64) { dst = binary.AppendUvarint(dst, uint64(n)) }
	u(l.floor)
	u(int64(len(l.done)))
	last := l.floor
	for _, r := range l.done {
		u(r.From - last)
		u(r.To - r.From)
		last = r.To
	}
	u(int64(len(l.runs)))
	for _, s := range l.runs {
		u(int64(s.slot))
		u(s.from)
		u(s.at - s.from)
		u(s.to - s.from)
		u(s.records)
	}
	u(int64(len(l.ran)))
	for _, p := range slices.Sorted(maps.Keys(l.ran)) {
		u(int64(p))
		u(max(0, l.ran[p]))
	}
	return dst
}

func (l *ledger) decode(b []byte) error {
	if len(b) == 0 || b[0] != ledgerVersion {
		return errLedger
	}
	d := decoder{b: b[1:]}
	l.floor = d.int63()
	last := l.floor
	for n := d.atMost(uint64(len(d.b))); n > 0 && !d.bad; n-- {
		from := last + d.int63()
		last = from + d.int63()
		d.bad = d.bad || last <= from
		l.done = append(l.done, storage.Range{From: from, To: last})
	}
	for n := d.atMost(maxRuns); n > 0 && !d.bad; n-- {
		s := span{slot: int(d.atMost(maxRuns - 1)), from: d.int63()}
		s.at = s.from + d.int63()
		s.to = s.from + d.int63()
		s.records = d.int63()
		d.bad = d.bad || s.at < s.from || s.to < s.at
		l.runs = append(l.runs, s)
	}
	l.ran = map[storage.PartitionID]int64{}
	for n := d.atMost(uint64(len(d.b))); n > 0 && !d.bad; n-- {
		p := storage.PartitionID(d.atMost(1<<32 - 1))
		l.ran[p] = d.int63()
	}
	if d.bad || len(d.b) > 0 {
		return errLedger
	}
	return nil
}

// clone returns a ledger that can be changed without changing l.
func (l *ledger) clone() ledger {
	return ledger{l.floor, slices.Clone(l.done), slices.Clone(l.runs), maps.Clone(l.ran)}
}

// finish notes that offsets of the inbox are done.
func (l *ledger) finish(offsets ...int64) {
	for _, o := range offsets {
		i, _ := slices.BinarySearchFunc(l.done, o, func(r storage.Range, o int64) int {
			if r.To < o {
				return -1
			}
			return 1
		})
		// The first range that ends at o or above is i.
		switch {
		case o < l.floor || i < len(l.done) && l.done[i].From <= o && o < l.done[i].To:
		case i < len(l.done) && l.done[i].To == o:
			l.done[i].To = o + 1
			if i+1 < len(l.done) && l.done[i+1].From == o+1 {
				l.done[i].To = l.done[i+1].To
				l.done = slices.Delete(l.done, i+1, i+2)
			}
		case i < len(l.done) && l.done[i].From == o+1:
			l.done[i].From = o
		default:
			l.done = slices.Insert(l.done, i, storage.Range{From: o, To: o + 1})
		}
	}
	l.raise(l.floor)
}

// raise moves the floor to floor or, what is done there passed over, above.
func (l *ledger) raise(floor int64) {
	l.floor = max(l.floor, floor)
	for len(l.done) > 0 && l.done[0].From <= l.floor {
		l.floor = max(l.floor, l.done[0].To)
		l.done = slices.Delete(l.done, 0, 1)
	}
}

// has tells whether an offset of the inbox is done.
func (l *ledger) has(offset int64) bool {
	if offset < l.floor {
		return true
	}
	i, found := slices.BinarySearchFunc(l.done, offset, func(r storage.Range, o int64) int {
		switch {
		case r.To <= o:
			return -1
		case r.From > o:
			return 1
		}
		return 0
	})
	return found && i < len(l.done)
}

// count changes how many messages of runs there are.
func (l *ledger) count(first storage.PartitionID, by int64) {
	if l.ran[first] += by; l.ran[first] == 0 {
		delete(l.ran, first)
	}
}

// readLedger finds the newest ledger in its partition. If later ones are lost, it is brought up to what else is known.
func (x *Index) readLedger() error {
	b, err := x.store.Bounds(x.ledgerID)
	if err != nil {
		return err
	}
	newest, err := x.newestLedger(b)
	if err != nil {
		return err
	}
	x.ledger = ledger{ran: map[storage.PartitionID]int64{}}
	end := b.First
	if newest != nil {
		if err := x.ledger.decode(newest.Value); err != nil {
			return fmt.Errorf("%w (topic %q)", err, x.o.Name)
		}
		end = newest.Offset + 1
	}
	known, err := x.store.Ordinal(x.ledgerID, end)
	if err == nil && known < b.Records {
		err = x.rebuild()
	}
	return err
}

// newestLedger returns the last record that there is, nil if there is none. Nobody needs those before it: it is not looked at whether they are damaged.
func (x *Index) newestLedger(b storage.Bounds) (newest *storage.Record, err error) {
	for from := max(b.First, b.Next-1); ; from = b.First {
		for at := from; at < b.Next; {
			rs, next, err := x.store.Read(nil, x.ledgerID, at, readBytes)
			if err != nil {
				return nil, err
			}
			if len(rs) == 0 {
				break
			}
			newest, at = &rs[len(rs)-1], next
		}
		if newest != nil || from == b.First {
			return newest, nil
		}
	}
}
