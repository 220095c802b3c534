package storagetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/leatmq/leat/storage"
)

// History is what a test knows of a store: what was asked of it, and what was promised. Each entry is in one of three states:
// acknowledged with a durability, refused, or unknown; [History.Check] holds a store against it. Methods may be called concurrently.
type History struct {
	mu      sync.Mutex
	seq     int        // events so far: begins and ends
	base    uint64     // number of the first entry
	entries []*Attempt // by number
	topics  []*topicAttempt
	groups  []*groupAttempt
	changes []*change
	seen    sightings                     // every offset that anybody was told of or has read, and the rest of its batch
	unseen  map[storage.PartitionID]int64 // records that count in ordinals, and that were removed before anybody knew where they were
	log     *json.Encoder                 // nil: none

	volatile bool // of a store that promises no durability
}

// Plan says what an entry is to hold.
type Plan struct {
	Batches []PlanBatch      `json:",omitempty"`
	Cursors []storage.Cursor `json:",omitempty"`
}

// PlanBatch is records of one partition, by the sizes of their values.
type PlanBatch struct {
	Partition storage.PartitionID
	Sizes     []int
}

// Attempt is an entry that was asked for.
type Attempt struct {
	Number uint64
	Plan   Plan
	Entry  *storage.Entry `json:"-"` // what to append

	begun, ended int // events; ended is 0 while the outcome is unknown
	durability   storage.Durability
	refused      bool
	gone         bool // lost in a crash, rightly: it may never come back
	promised     storage.Durability
	bases        []int64 // offset of each batch's first record, when acknowledged
	total        uint32
	unseen       []bool // by batch: it was removed before anybody knew that it was there; nil: none was
	witnessed    bool   // a reader saw a record of it
}

type topicAttempt struct {
	spec         storage.TopicSpec
	topic        storage.Topic // as it is now
	made         storage.Topic // as it was when it was made, or first known
	begun, ended int
	acked        bool
	dropped      bool
}

type groupAttempt struct {
	name         string
	group        storage.Group
	begun, ended int
	acked        bool
}

// NewHistory returns an empty history, whose entries are numbered from 0.
func NewHistory() *History {
	return &History{seen: sightings{}, unseen: map[storage.PartitionID]int64{}}
}

// Continue returns a history that knows the topics and groups of s and no entries. They will be numbered from first: those before belong to
// other histories of the same store.
func Continue(s storage.Store, first uint64) *History {
	h := NewHistory()
	h.base = first
	for _, t := range s.Topics() {
		h.topics = append(h.topics, &topicAttempt{spec: t.TopicSpec, topic: t, made: t, acked: true})
	}
	for _, g := range s.Groups() {
		h.groups = append(h.groups, &groupAttempt{name: g.Name, group: g, acked: true})
	}
	return h
}

// Entries counts the entries that were begun, those of earlier histories included: it is the number of the next.
func (h *History) Entries() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.base + uint64(len(h.entries))
}

// entry returns nil for a number that is not of this history.
func (h *History) entry(number uint64) *Attempt {
	if number < h.base || number-h.base >= uint64(len(h.entries)) {
		return nil
	}
	return h.entries[number-h.base]
}

// LogTo has the topics and groups that are known, and every event from now on, written to w as lines, each in one write, for [History.Replay] in
// another process.
func (h *History) LogTo(w io.Writer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = json.NewEncoder(w)
	for _, a := range h.topics {
		h.write(event{Topic: &a.topic})
	}
	for _, a := range h.groups {
		h.write(event{Group: &a.group})
	}
}

// Mark names this moment for Fork.
func (h *History) Mark() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seq
}

// Fork returns the history of a store of which a copy was made after mark and before now: whatever ended after mark is unknown in it.
func (h *History) Fork(mark int) *History {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fork(mark)
}

// Image calls take, which makes a copy of a store, and returns the history of that. It never waits: ok is false if somebody else is at the history, as
// a Check is while it reads a store, which may wait for whoever calls Image in the middle of an operation on a file.
func (h *History) Image(take func()) (f *History, ok bool) {
	if !h.mu.TryLock() {
		return nil, false
	}
	mark := h.seq
	h.mu.Unlock()
	take()
	if !h.mu.TryLock() {
		return nil, false
	}
	defer h.mu.Unlock()
	return h.fork(mark), true
}

func (h *History) fork(mark int) *History {
	f := &History{seq: h.seq, base: h.base, seen: h.seen.until(mark), unseen: maps.Clone(h.unseen)}
	f.entries = make([]*Attempt, len(h.entries))
	copies := make([]Attempt, len(h.entries))
	for i, a := range h.entries {
		copies[i] = *a
		f.entries[i] = &copies[i]
		copies[i].unseen = slices.Clone(a.unseen)
		if c := &copies[i]; c.ended > mark {
			c.ended, c.durability, c.refused, c.bases, c.witnessed = 0, 0, false, nil, false
		}
	}
	for _, t := range h.topics {
		c := *t
		c.acked = c.acked && c.ended <= mark
		f.topics = append(f.topics, &c)
	}
	f.forkChanges(h.changes, mark)
	for _, g := range h.groups {
		c := *g
		c.acked = c.acked && c.ended <= mark
		f.groups = append(f.groups, &c)
	}
	return f
}

// Begin notes that an entry is asked for, and builds it. Appending Attempt.Entry is the caller's.
func (h *History) Begin(p Plan) *Attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.begin(p)
	a.Entry = a.build()
	h.write(event{Begin: &a.Plan})
	return a
}

func (h *History) begin(p Plan) *Attempt {
	h.seq++
	a := &Attempt{Number: h.base + uint64(len(h.entries)), Plan: p, begun: h.seq, promised: storage.Written}
	for _, b := range p.Batches {
		a.total += uint32(len(b.Sizes))
		if h.policy(b.Partition) == storage.SyncAlways {
			a.promised = storage.Synced
		}
	}
	for _, c := range p.Cursors {
		if h.policy(c.Partition) == storage.SyncAlways {
			a.promised = storage.Synced
		}
	}
	h.entries = append(h.entries, a)
	return a
}

func (a *Attempt) build() *storage.Entry {
	e := &storage.Entry{Cursors: a.Plan.Cursors}
	m := mark{entry: a.Number, total: a.total}
	for _, b := range a.Plan.Batches {
		batch := storage.Batch{Partition: b.Partition}
		for _, size := range b.Sizes {
			batch.Records = append(batch.Records, m.record(size))
			m.index++
		}
		e.Batches = append(e.Batches, batch)
	}
	return e
}

// End notes what Append returned for a. It returns an error if that is not what may be returned.
func (h *History) End(a *Attempt, d storage.Durability, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	ev := event{End: &outcome{Number: a.Number, Durability: d}}
	switch {
	case err == nil:
		ev.End.Bases = offsets(a.Entry)
	case !errors.Is(err, storage.ErrIndeterminate):
		ev.End.Refused = true
	default:
		return nil
	}
	if err := h.end(ev.End); err != nil {
		return err
	}
	h.write(ev)
	return nil
}

func offsets(e *storage.Entry) []int64 {
	var bases []int64
	for _, b := range e.Batches {
		for i := range b.Records {
			if b.Records[i].Offset != b.Records[0].Offset+int64(i) {
				return nil
			}
		}
		bases = append(bases, b.Records[0].Offset)
	}
	return bases
}

func (h *History) end(o *outcome) error {
	a := h.entry(o.Number)
	if a == nil {
		return fmt.Errorf("the end of entry %d, which never began", o.Number)
	}
	if o.Refused && a.witnessed {
		return fmt.Errorf("entry %d was refused, and a reader had seen it", o.Number)
	}
	h.seq++
	a.ended, a.refused = h.seq, o.Refused
	if o.Refused {
		return nil
	}
	a.durability, a.bases = o.Durability, o.Bases
	if len(a.bases) != len(a.Plan.Batches) {
		return fmt.Errorf("entry %d: the records of a batch have no consecutive offsets", a.Number)
	}
	if o.Durability != a.promised && !h.volatile {
		return fmt.Errorf("entry %d: acknowledged with durability %d, its topics ask for %d", a.Number, o.Durability, a.promised)
	}
	m := mark{entry: a.Number, total: a.total}
	for i, b := range a.Plan.Batches {
		for j := range b.Sizes {
			if err := h.see(place{b.Partition, a.bases[i] + int64(j)}, m); err != nil {
				return err
			}
			m.index++
		}
	}
	return nil
}

// see notes what is at a place, and returns an error if it was something else before.
func (h *History) see(at place, m mark) error {
	if was, known := h.seen.note(at, m, h.seq); known && was != m {
		return &ReusedError{at.partition, at.offset, was.entry, m.entry}
	}
	return nil
}

// seeBatch notes what is at a place, and with it where the rest of its batch is: the records of one follow each other.
func (h *History) seeBatch(at place, m mark) error {
	if err := h.see(at, m); err != nil {
		return err
	}
	a := h.entry(m.entry)
	if a == nil {
		return nil
	}
	b, first := a.batchOf(m.index)
	if b < 0 {
		return nil
	}
	for i := range a.Plan.Batches[b].Sizes {
		index := first + uint32(i)
		rest := place{at.partition, at.offset + int64(index) - int64(m.index)}
		if err := h.see(rest, mark{m.entry, index, m.total}); err != nil {
			return err
		}
	}
	return nil
}

// batchOf returns which batch of the entry record i is in, and the index of the batch's first record; -1 if it is in none.
func (a *Attempt) batchOf(i uint32) (batch int, first uint32) {
	for b := range a.Plan.Batches {
		n := uint32(len(a.Plan.Batches[b].Sizes))
		if i < first+n {
			return b, first
		}
		first += n
	}
	return -1, 0
}

// ReusedError says that an offset was given to two records.
type ReusedError struct {
	Partition storage.PartitionID
	Offset    int64
	Was, Is   uint64 // entries
}

func (e *ReusedError) Error() string {
	return fmt.Sprintf("partition %d, offset %d: held a record of entry %d, and now one of entry %d", e.Partition, e.Offset, e.Was, e.Is)
}

// Saw notes that a reader was handed records of p. What a reader saw is as durable as its topic asks for.
func (h *History) Saw(p storage.PartitionID, records []storage.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	for i := range records {
		m, err := markOf(&records[i])
		if err != nil {
			return fmt.Errorf("partition %d, offset %d: %w", p, records[i].Offset, err)
		}
		if err := h.seeBatch(place{p, records[i].Offset}, m); err != nil {
			return err
		}
		if m.entry < h.base {
			continue // another history knows
		}
		a := h.entry(m.entry)
		if a == nil || a.refused || a.gone {
			return fmt.Errorf("partition %d, offset %d: a record of entry %d, which is not stored", p, records[i].Offset, m.entry)
		}
		if a.ended == 0 {
			a.witnessed, a.ended, a.durability = true, h.seq, a.promised
		}
	}
	return nil
}

// CreateTopic makes a topic in s and notes it.
func (h *History) CreateTopic(create func(storage.TopicSpec) (storage.Topic, error), spec storage.TopicSpec) (storage.Topic, error) {
	h.mu.Lock()
	h.seq++
	a := &topicAttempt{spec: spec, begun: h.seq}
	h.topics = append(h.topics, a)
	h.write(event{NewTopic: &spec})
	h.mu.Unlock()
	t, err := create(spec)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	a.ended, a.topic, a.made, a.acked = h.seq, t, t, err == nil
	if err == nil {
		h.write(event{Topic: &t})
	}
	return t, err
}

// CreateGroup makes a group in s and notes it.
func (h *History) CreateGroup(create func(string) (storage.Group, error), name string) (storage.Group, error) {
	h.mu.Lock()
	h.seq++
	a := &groupAttempt{name: name, begun: h.seq}
	h.groups = append(h.groups, a)
	h.write(event{NewGroup: name})
	h.mu.Unlock()
	g, err := create(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	a.ended, a.group, a.acked = h.seq, g, err == nil
	if err == nil {
		h.write(event{Group: &g})
	}
	return g, err
}

func (h *History) policy(p storage.PartitionID) storage.SyncPolicy {
	for _, t := range slices.Backward(h.topics) {
		if t.acked && holds(&t.topic, p) {
			return t.topic.Strategy.Sync
		}
	}
	return storage.SyncAlways
}

// Acked counts the entries that were acknowledged.
func (h *History) Acked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, a := range h.entries {
		if a.durability > 0 && !a.gone {
			n++
		}
	}
	return n
}
