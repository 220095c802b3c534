package embedded

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatmq/leat/queue/internal/ledger"
	"github.com/leatmq/leat/storage"
)

// The index of a topic's IDs is a topic of its own, of one partition, whose records are those of package ledger. Each says up to which offsets of the partitions all IDs are in the
// index. A group that is a holder has cursors that say the same, so that cleanup by what groups have done waits for the index.
//
// An index is made before the first message with an ID is stored. So a topic without one has no such message, and reading nothing is right. The group is made before the index and
// deleted after it.

const (
	indexNames  = internalPrefix + "ids."       // of indexes; the ID of the topic's first partition follows
	holderNames = storage.HolderPrefix + "ids." // of their groups; the same follows

	indexEntries = 1 << 16 // entries of a record, of about 25 bytes
	indexMarks   = 8
	indexDead    = 16 // records without use before any is removed
	indexQuiet   = 10 // passes in which nothing but offsets are new, and not written
)

func indexName(first storage.PartitionID) string {
	return indexNames + strconv.FormatUint(uint64(first), 10)
}
func holderName(first storage.PartitionID) string {
	return holderNames + strconv.FormatUint(uint64(first), 10)
}

// index is one, as far as it is written.
type index struct {
	topic   storage.Topic
	holder  storage.GroupID
	covered []int64 // for the log of IDs that wait, and each partition (see slot): below that, all IDs are in the index; 0 behind the end
	written uint64  // the number in the table up to which all is in the index
	parts   []part
	marks   []mark
	quiet   int // passes since
}

// part is a record of the index, and the number behind its last entry.
type part struct {
	offset int64
	end    uint64
}

// mark is where partitions ended when a generation of publishes ended, too: those that began later are stored at these offsets or behind.
type mark struct {
	generation uint64
	next       []int64 // as index.covered
}

// slot is where the partition of an entry is in index.covered, so that a topic may be given more.
func slot(partition int32) int {
	if partition == partWaiting {
		return 0
	}
	return int(partition) + 1
}

// slotted is the partition whose slot i is.
func slotted(i int) int32 {
	if i == 0 {
		return partWaiting
	}
	return int32(i) - 1
}

// nextOf returns what index.covered, or a mark, has of a slot.
func nextOf(offsets []int64, slot int) int64 {
	if slot < len(offsets) {
		return offsets[slot]
	}
	return 0
}

// indexed returns the first partitions of the topics that have an index, or that began to have one, or did when they were deleted.
func (e *engine) indexed() (firsts []storage.PartitionID) {
	for _, g := range e.store.Groups() {
		if text, ok := strings.CutPrefix(g.Name, holderNames); ok {
			if first, err := strconv.ParseUint(text, 10, 32); err == nil {
				firsts = append(firsts, storage.PartitionID(first))
			}
		}
	}
	return firsts
}

// removeIndex deletes the index of a topic, if there is one.
func (e *engine) removeIndex(ctx context.Context, first storage.PartitionID) error {
	err := e.store.DeleteTopic(ctx, indexName(first))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	err = e.store.DeleteGroup(ctx, holderName(first))
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// strategy is how the index of the topic is stored. It need not be synced more often: a message whose entry in the index is lost is behind what is covered.
func (s *ids) strategy() storage.Strategy {
	m := s.topic.manner.Load()
	return storage.Strategy{
		Level: storage.DiskOnly, Sync: storage.SyncOS, Cleanup: storage.CleanupPolicy{MaxAge: m.config.Dedup.Window}, NoBackup: m.strategy.NoBackup,
	}
}

// openIndex reads the index into the table, and from the log what it does not have yet. If there is no index it is made.
func (s *ids) openIndex(ctx context.Context) (*index, error) {
	store, name, want := s.engine.store, indexName(s.topic.First), s.strategy()
	holder, err := store.CreateGroup(ctx, holderName(s.topic.First))
	if err != nil {
		return nil, err
	}
	x := &index{holder: holder.ID, covered: make([]int64, s.topic.partitions()+1)}
	t, found := store.Topic(name)
	if !found {
		if x.topic, err = store.CreateTopic(ctx, storage.TopicSpec{Name: name, Partitions: 1, Strategy: want}); err != nil {
			return nil, err
		}
		if x.covered, err = s.ends(); err != nil {
			return nil, err
		}
		if err := s.append(ctx, x, &ledger.Record{Covered: covers(nil, x.covered)}, x.covered); err != nil {
			return nil, err
		}
		return x, s.engine.catchUp(ctx, x.holder, s.topic, len(x.covered)-1)
	}
	x.topic = t
	if t.Strategy != want {
		if err := store.AlterTopic(ctx, name, want, nil); err != nil {
			return nil, err
		}
	}
	if err := s.readIndex(ctx, x); err != nil {
		return nil, err
	}
	if err := s.uncover(x); err != nil {
		return nil, err
	}
	x.written = s.next()
	return x, s.readLog(ctx, x)
}

// ends returns where the log of IDs that wait ends, and the partitions do.
func (s *ids) ends() ([]int64, error) {
	next := make([]int64, s.topic.partitions()+1)
	for i := range next {
		p, ok := s.log(slotted(i))
		if !ok {
			continue // nothing waits yet
		}
		b, err := s.engine.store.Bounds(p)
		if err != nil {
			return nil, err
		}
		next[i] = b.Next
	}
	return next, nil
}

// log returns the partition in which the records of entries of partition n are.
func (s *ids) log(n int32) (p storage.PartitionID, ok bool) {
	if n == partWaiting {
		return s.waitLog()
	}
	return s.topic.Partition(int(n)), true
}

// indexRead bounds what is read of an index or a log at a time.
const indexRead = 1 << 20

// readIndex adds what the index has to the table.
func (s *ids) readIndex(ctx context.Context, x *index) error {
	var r ledger.Record
	clock := s.clock()
	return s.read(ctx, x.topic.First, 0, -1, func(rec *storage.Record) error {
		if err := r.Decode(rec.Value); err != nil {
			return err
		}
		for _, c := range r.Covered {
			if i := slot(c.Partition); i < len(x.covered) {
				x.covered[i] = max(x.covered[i], c.Next)
			}
		}
		for i := range r.Entries {
			s.learn(r.Entries[i], clock, ofIndex)
		}
		x.parts = append(x.parts, part{rec.Offset, s.next()})
		return nil
	})
}

// readLog adds what the index does not have yet.
func (s *ids) readLog(ctx context.Context, x *index) error {
	clock := s.clock()
	all, err := s.readWaiting(ctx, nextOf(x.covered, slot(partWaiting)), clock)
	if err != nil {
		return err
	}
	for n := range s.topic.partitions() {
		p := s.topic.Partition(n)
		b, err := s.engine.store.Bounds(p)
		if err != nil {
			return err
		}
		young, err := s.engine.store.OffsetAt(p, clock.wall.Add(-s.window()))
		if err != nil {
			return err
		}
		err = s.read(ctx, p, max(nextOf(x.covered, slot(int32(n))), young), b.Next, func(r *storage.Record) error {
			if id, ok := idOf(r.Headers); ok {
				born, from := bornOf(r)
				all = append(all, found{Entry: ledger.Entry{ID: ledger.Of(id), Born: born, Offset: r.Offset, Partition: int32(n)}, from: from})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.Born, b.Born) })
	for i := range all {
		s.learn(all[i].Entry, clock, all[i].from)
	}
	return nil
}

// read calls f for the records of a partition from an offset up to another, -1 for the end.
func (s *ids) read(ctx context.Context, p storage.PartitionID, from, to int64, f func(*storage.Record) error) error {
	var rs []storage.Record
	var buf []byte
	for to < 0 || from < to {
		if err := ctx.Err(); err != nil {
			return errors.Join(storage.ErrFull, err)
		}
		var err error
		rs, from, err = s.engine.store.ReadInto(rs[:0], &buf, p, from, indexRead)
		if err != nil || len(rs) == 0 {
			return err
		}
		for i := range rs {
			if err := f(&rs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// clock is a moment by the wall clock, which is stored, and by the engine's.
type clock struct {
	wall time.Time
	mono time.Duration
}

func (s *ids) clock() clock { return clock{time.Now(), s.engine.now()} }

func (s *ids) window() time.Duration { return s.topic.manner.Load().config.Dedup.Window }

// learn adds an entry that was stored, and is of the wall clock, unless it is too old or one with its ID came before; see merge. What lies in the future, since the clock was
// set back, is taken for new.
func (s *ids) learn(e ledger.Entry, c clock, from origin) {
	if e.Partition >= partNoted {
		e.Partition -= partNoted
		from = ofNote
	}
	age := max(0, c.wall.UnixNano()-e.Born)
	e.Born = int64(c.mono) - age
	s.mu.Lock()
	defer s.mu.Unlock()
	switch have, known := s.table.Find(e.ID, int64(c.mono)); {
	case e.Partition == partEnded:
		if known && have.Partition == partWaiting && have.Offset == e.Offset {
			s.table.Drop(e.ID, int64(c.mono))
		}
	case from == ofIndex && age < int64(s.window()) && (have.Partition != e.Partition || have.Offset != e.Offset):
		s.table.Add(e) // one before it with its ID was forgotten when it came
	case known || age < int64(s.window()):
		s.merge(e, from)
	}
}

// next is the number of the entry that the table gets next.
func (s *ids) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.Next()
}

// write brings the index up to date. Last says that nothing is left for another time.
func (s *ids) write(ctx context.Context, last bool) error {
	if !s.ready.Load() {
		return nil
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	x := s.index
	if x == nil || s.topic.gone.Load() {
		return nil
	}
	next, err := s.ends()
	if err != nil {
		return err
	}
	cover, end, notes := s.cover(x, next)
	new := x.written < end || notes > 0
	if !new && slices.Equal(cover, x.covered) {
		return nil
	}
	if x.quiet++; !new && !last && x.quiet < indexQuiet {
		return nil
	}
	x.quiet = 0
	for {
		entries, upTo, noted := s.pending(x.written, end, notes)
		whole := upTo >= end && noted == notes
		r, to := ledger.Record{Entries: entries}, x.covered
		if whole {
			r.Covered, to = covers(x.covered, cover), cover
		}
		err := s.append(ctx, x, &r, to)
		if errors.Is(err, storage.ErrNoSpace) {
			return errors.Join(err, s.release(ctx, x, cover))
		}
		if err != nil {
			return err
		}
		x.written = upTo
		x.parts[len(x.parts)-1].end = upTo
		s.forgetNotes(noted)
		if notes -= noted; whole {
			return s.trim(ctx, x)
		}
	}
}

// covers lists where after is ahead of before.
func covers(before, after []int64) (cs []ledger.Cover) {
	for i := range after {
		if i >= len(before) || after[i] > before[i] {
			cs = append(cs, ledger.Cover{Partition: slotted(i), Next: after[i]})
		}
	}
	return cs
}

// cover returns offsets of the partitions below which all IDs are known, up to which number they are known then, and how many notes there are; next is where the partitions end now,
// or ended a moment ago.
//
// A message may be in the log before its publish has come back to say so. But a publish that began after a mark was made is behind the mark. So a mark counts
// as soon as those that began before have ended.
func (s *ids) cover(x *index, next []int64) (cover []int64, end uint64, notes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(x.marks) == indexMarks {
		x.marks = x.marks[:indexMarks-1] // one that is never looked at costs nothing but that less is covered
	}
	x.marks = append(x.marks, mark{s.generation, next})
	s.generation++
	oldest := s.generation
	for g := range s.alive {
		oldest = min(oldest, g)
	}
	cover = x.covered
	for len(x.marks) > 0 && x.marks[0].generation < oldest {
		cover = x.marks[0].next
		x.marks = x.marks[1:]
	}
	if len(cover) > len(x.covered) {
		x.covered = append(x.covered, make([]int64, len(cover)-len(x.covered))...)
	}
	return cover, s.table.Next(), len(s.notes)
}

// pending returns entries from a number on, and then some of the notes, with Born by the wall clock; the number behind the entries, and how many notes.
func (s *ids) pending(from, end uint64, notes int) (entries []ledger.Entry, upTo uint64, noted int) {
	c := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	from = max(from, s.table.First()) // those before are forgotten already
	upTo = min(end, from+indexEntries)
	for n := from; n < upTo; n++ {
		if e := *s.table.At(n); !e.Dropped() {
			entries = append(entries, e)
		}
	}
	if upTo == end {
		noted = min(notes, indexEntries-len(entries))
		entries = append(entries, s.notes[:noted]...)
	}
	for i := range entries {
		entries[i].Born += c.wall.UnixNano() - int64(c.mono)
	}
	return entries, max(upTo, from), noted
}

// forgetNotes forgets the first n notes, which are written.
func (s *ids) forgetNotes(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notes = s.notes[n:]; len(s.notes) == 0 {
		s.notes = nil
	}
}

// append writes r, which covers all up to the offsets of to.
func (s *ids) append(ctx context.Context, x *index, r *ledger.Record, to []int64) error {
	rs := []storage.Record{{Value: r.Append(nil)}}
	e := storage.Entry{Batches: []storage.Batch{{Partition: x.topic.First, Records: rs}}, Cursors: s.cursors(x, to)}
	if _, err := s.engine.store.Append(ctx, &e); err != nil {
		return err
	}
	x.covered = slices.Clone(to)
	x.parts = append(x.parts, part{offset: rs[0].Offset})
	return nil
}

// release has cleanup go on though the disk has no room for the index: else what was done stays, and there never is any. Of messages that are removed by that, the IDs are
// forgotten if the process ends before there is room again; those that are not are found in the log.
func (s *ids) release(ctx context.Context, x *index, to []int64) error {
	cs := s.cursors(x, to)
	if len(cs) == 0 {
		return nil
	}
	_, err := s.engine.store.Append(ctx, &storage.Entry{Cursors: cs})
	return err
}

// cursors returns the holder's, as far as they are behind.
func (s *ids) cursors(x *index, to []int64) (cs []storage.Cursor) {
	for n := range s.topic.partitions() {
		p, floor := s.topic.Partition(n), nextOf(to, slot(int32(n)))
		if c, ok := s.engine.store.Cursor(x.holder, p); ok && c.Floor >= floor {
			continue
		}
		passed, err := s.engine.store.Ordinal(p, floor)
		if err != nil {
			continue // the topic is being deleted
		}
		cs = append(cs, storage.Cursor{Group: x.holder, Partition: p, Floor: floor, Passed: passed})
	}
	return cs
}

// trim removes what is forgotten from the front of the index, if that is worth while.
func (s *ids) trim(ctx context.Context, x *index) error {
	s.mu.Lock()
	first := s.table.First()
	s.mu.Unlock()
	dead := 0
	for dead < len(x.parts)-1 && x.parts[dead].end <= first { // the newest stays: it says what is covered
		dead++
	}
	if dead < indexDead || 2*dead < len(x.parts) {
		return nil
	}
	if err := s.engine.store.Trim(ctx, x.topic.First, x.parts[dead].offset); err != nil {
		return err
	}
	x.parts = slices.Clone(x.parts[dead:])
	return nil
}
