package storagetest

import (
	"fmt"
	"math/rand/v2"
	"reflect"

	"github.com/leatmq/leat/storage"
)

// Loss says what happened to a store before it was opened again.
type Loss uint8

const (
	// Died is the death of the process, or a close: nothing acknowledged may be missing.
	Died Loss = iota
	// PowerLost lets what was acknowledged as Written be missing, from some entry on.
	PowerLost
)

// Verdict is what Check found. All counts but the first five must be 0.
type Verdict struct {
	Entries, Records, Cursors int // there
	Compacted                 int // records that are rightly missing, because a later one of their key is there
	Unseen                    int // records that are rightly missing, removed before anybody had looked after who stored them had died

	Lost       int // entries acknowledged durably enough, or read, and missing; topics and groups too
	Reused     int // offsets that hold something else than before, or may come to
	Torn       int // entries of which a part is there
	Ghosts     int // records that nobody wrote, or that were refused or lost before; records twice
	Disordered int // entries missing although later ones are there; records out of order; counts that do not add up
	PastData   int // cursors beyond what is stored, or with wrong counts
	OldCursors int // cursors older than one acknowledged durably enough, or never asked for
	Unreadable int // errors of the store
	Problems   []string
}

// Bad reports whether anything is wrong.
func (v *Verdict) Bad() bool { return len(v.Problems) > 0 }

// Add adds what another check found.
func (v *Verdict) Add(o *Verdict) {
	a, b := reflect.ValueOf(v).Elem(), reflect.ValueOf(o).Elem()
	for i := range a.NumField() {
		if a.Field(i).CanInt() {
			a.Field(i).SetInt(a.Field(i).Int() + b.Field(i).Int())
		}
	}
	if len(v.Problems) < 20 {
		v.Problems = append(v.Problems, o.Problems...)
	}
}

func (v *Verdict) String() string {
	return fmt.Sprintf("lost %d, reused offsets %d, cursors past data %d, torn entries %d, ghosts %d, disordered %d, old cursors %d, unreadable %d",
		v.Lost, v.Reused, v.PastData, v.Torn, v.Ghosts, v.Disordered, v.OldCursors, v.Unreadable)
}

func (v *Verdict) bad(count *int, format string, args ...any) {
	*count++
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

// check is one look at a store.
type check struct {
	Verdict
	h     *History
	s     storage.Store
	loss  Loss
	rng   *rand.Rand
	found map[uint64]uint32 // records of each entry that are there

	removed map[uint64]uint32 // records of each entry that were there, and were trimmed or compacted
	dropped map[uint64]uint32 // records of each entry that are gone with their topic, if they were there
	views   map[storage.PartitionID]*view
	placed  map[placedBatch]bool // of which batches it is known where they are, or were
}

// view is what a look at a partition found.
type view struct {
	bounds  storage.Bounds
	records []storage.Record
	missing []int64          // offsets, ascending, of records that are rightly missing because later ones of their keys are there
	last    map[string]int64 // offset of the last record of each key
	trimmed int64            // records known to have been below the first offset
	unseen  int64            // records that were removed before anybody knew where they were: found out by this look
}

// placedBatch names a batch of an entry.
type placedBatch struct {
	entry uint64
	batch int
}

// Check compares a store that was just opened with the history, and takes what it finds for the truth from then on: whatever is there is
// as durable as its topic asks for, and whatever is missing, rightly or not, is gone for ever. No entry may be under way.
func (h *History) Check(s storage.Store, loss Loss, seed uint64) *Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &check{
		h: h, s: s, loss: loss, rng: rand.New(rand.NewPCG(seed, 1)), found: map[uint64]uint32{}, removed: map[uint64]uint32{}, dropped: map[uint64]uint32{},
		views: map[storage.PartitionID]*view{}, placed: map[placedBatch]bool{},
	}
	c.topics()
	c.groups()
	for _, t := range s.Topics() {
		for i := range t.Partitions {
			c.partition(t.Partition(i))
		}
	}
	c.place()
	c.entries()
	c.cursors()
	c.counts()
	c.order()
	c.producers()
	h.settle(c)
	h.settleChanges()
	return &c.Verdict
}

func (c *check) topics() {
	left := map[string]storage.Topic{}
	for _, t := range c.s.Topics() {
		left[t.Name] = t
	}
	for _, a := range c.h.topics {
		t, ok := left[a.spec.Name]
		if ok {
			c.resolve(a, &t)
		} else {
			c.resolve(a, nil)
		}
		switch {
		case a.dropped && ok:
			c.bad(&c.Ghosts, "topic %q was deleted", a.spec.Name)
		case a.dropped:
			c.removedWith(&a.topic)
		case a.acked && !ok:
			c.bad(&c.Lost, "topic %q is missing", a.spec.Name)
		case a.acked && !reflect.DeepEqual(normal(t), normal(a.topic)):
			c.bad(&c.Ghosts, "topic %q is %+v, was %+v", a.spec.Name, t, a.topic)
		case ok && !a.acked:
			c.appeared(a, &t) // else it is left, and a ghost
		}
		if a.acked {
			delete(left, a.spec.Name)
		}
	}
	for name := range left {
		c.bad(&c.Ghosts, "topic %q was never asked for", name)
	}
}

func normal(t storage.Topic) storage.Topic {
	if len(t.Settings) == 0 {
		t.Settings = nil
	}
	return t
}

func (c *check) groups() {
	left := map[string]storage.Group{}
	for _, g := range c.s.Groups() {
		left[g.Name] = g
	}
	for _, a := range c.h.groups {
		g, ok := left[a.name]
		switch {
		case a.acked && !ok:
			c.bad(&c.Lost, "group %q is missing", a.name)
		case a.acked && g != a.group:
			c.bad(&c.Ghosts, "group %q is %+v, was %+v", a.name, g, a.group)
		case ok && !a.acked:
			a.group, a.acked = g, true
		}
	}
	for _, a := range c.h.groups {
		delete(left, a.name)
	}
	for name := range left {
		c.bad(&c.Ghosts, "group %q was never asked for", name)
	}
}

// partition reads all of p, in reads of random sizes.
func (c *check) partition(p storage.PartitionID) {
	bounds, err := c.s.Bounds(p)
	if err != nil {
		c.bad(&c.Unreadable, "bounds of partition %d: %v", p, err)
		return
	}
	records, err := ReadAll(c.s, p, c.rng)
	if err != nil {
		c.bad(&c.Unreadable, "partition %d: %v", p, err)
		return
	}
	c.Records += len(records)
	twice := map[mark]bool{}
	for i := range records {
		c.record(p, &records[i], twice)
		if i > 0 && (records[i].Offset <= records[i-1].Offset || records[i].Appended.Before(records[i-1].Appended)) {
			c.bad(&c.Disordered, "partition %d: offset %d, appended %v, after %d, %v", p,
				records[i].Offset, records[i].Appended, records[i-1].Offset, records[i-1].Appended)
		}
	}
	v := &view{bounds: bounds, records: records, last: map[string]int64{}}
	for i := range records {
		if records[i].Key != nil {
			v.last[string(records[i].Key)] = records[i].Offset
		}
	}
	c.views[p] = v
	v.trimmed = c.trimmedOff(p, bounds.First)
	v.missing = c.compacted(p, v)
	c.prefix(p, v)
	c.first(p, bounds)
}

func (c *check) record(p storage.PartitionID, r *storage.Record, twice map[mark]bool) {
	m, err := markOf(r)
	a := c.h.entry(m.entry)
	switch {
	case err != nil || a == nil:
		c.bad(&c.Ghosts, "partition %d, offset %d: %v", p, r.Offset, errForeign)
		return
	case a.refused || a.gone:
		c.bad(&c.Ghosts, "partition %d, offset %d: a record of entry %d, which was refused, or lost before", p, r.Offset, m.entry)
	case twice[m] || m.total != a.total || !a.places(p, m.index):
		c.bad(&c.Ghosts, "partition %d, offset %d: record %d of entry %d, which is elsewhere", p, r.Offset, m.index, m.entry)
	case a.hasUnseen(m.index):
		c.bad(&c.Ghosts, "partition %d, offset %d: record %d of entry %d, which had been removed", p, r.Offset, m.index, m.entry)
	}
	twice[m] = true
	c.found[m.entry]++
	if err := c.h.seeBatch(place{p, r.Offset}, m); err != nil {
		c.bad(&c.Reused, "%v", err)
	}
}

// places tells whether record i of the entry goes to p.
func (a *Attempt) places(p storage.PartitionID, i uint32) bool {
	b, _ := a.batchOf(i)
	return b >= 0 && a.Plan.Batches[b].Partition == p
}

// prefix finds records that are missing below one that is there.
func (c *check) prefix(p storage.PartitionID, v *view) {
	if len(v.records) == 0 {
		return
	}
	there := make(map[int64]bool, len(v.records))
	for i := range v.records {
		there[v.records[i].Offset] = true
	}
	last := v.records[len(v.records)-1].Offset
	for _, s := range c.h.seen.within(p, v.bounds.First, last) {
		if there[s.offset] || contains(v.missing, s.offset) {
			continue
		}
		if a := c.h.entry(s.mark.entry); a != nil && !a.gone {
			c.bad(&c.Disordered, "partition %d: offset %d is missing below %d", p, s.offset, last)
		}
	}
}

// survives reports whether a's promise covers what happened.
func (c *check) survives(a *Attempt) bool {
	return a.durability == storage.Synced || a.durability == storage.Written && c.loss == Died
}

func (c *check) entries() {
	for _, a := range c.h.entries {
		switch n, total := c.there(a), a.total-c.dropped[a.Number]; {
		case total == 0: // nothing tells
		case n == total:
			c.Entries++
		case n > 0 && c.settleUnseen(a):
			c.Entries++
		case n > 0:
			c.bad(&c.Torn, "entry %d: %d of %d records", a.Number, n, total)
		case c.survives(a) && !a.gone && !c.settleUnseen(a):
			c.bad(&c.Lost, "entry %d, durability %d, is missing", a.Number, a.durability)
		}
	}
}

// order finds entries that are missing although one that was begun after they were acknowledged is there.
func (c *check) order() {
	last, which := 0, uint64(0)
	for _, a := range c.h.entries {
		if c.there(a) > 0 && a.begun > last {
			last, which = a.begun, a.Number
		}
	}
	for _, a := range c.h.entries {
		if a.total > 0 && a.durability > 0 && !a.gone && a.ended < last && c.there(a) == 0 && a.total > c.dropped[a.Number] {
			c.bad(&c.Disordered, "entry %d is missing, and entry %d, which came after it, is there", a.Number, which)
		}
	}
}

// there counts the records of an entry that are there, or were until they were trimmed or compacted.
func (c *check) there(a *Attempt) uint32 { return c.found[a.Number] + c.removed[a.Number] }

// settle takes what was found for the truth.
func (h *History) settle(c *check) {
	for _, a := range h.entries {
		if a.total > c.dropped[a.Number] && c.there(a) == 0 {
			a.gone = true
		}
		if a.gone || a.refused {
			continue
		}
		a.durability = max(a.durability, h.durabilityOf(a))
		if a.ended == 0 {
			a.ended = h.seq
		}
	}
	for p, v := range c.views {
		h.unseen[p] = v.unseen
	}
}

// durabilityOf is how durable an entry is that was found when the store was opened: as its topics ask for.
func (h *History) durabilityOf(a *Attempt) storage.Durability {
	for i := range a.Plan.Batches {
		if h.policy(a.Plan.Batches[i].Partition) == storage.SyncAlways {
			return storage.Synced
		}
	}
	for i := range a.Plan.Cursors {
		if h.policy(a.Plan.Cursors[i].Partition) == storage.SyncAlways {
			return storage.Synced
		}
	}
	return storage.Written
}

// ReadAll reads all records of p, in reads of random sizes.
func ReadAll(s storage.Store, p storage.PartitionID, rng *rand.Rand) ([]storage.Record, error) {
	var all []storage.Record
	for from := int64(0); ; {
		had := len(all)
		var err error
		if all, from, err = s.Read(all, p, from, 1+rng.IntN(1<<rng.IntN(18))); err != nil {
			return all, err
		}
		if len(all) == had {
			return all, nil
		}
		if from <= all[len(all)-1].Offset {
			return all, fmt.Errorf("partition %d: next is %d after a record at %d", p, from, all[len(all)-1].Offset)
		}
	}
}
