package embedded

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// lettersGroup is the group whose cursors say which dead letters were dealt with. It has no members, and no windows: what is left over may lie far apart, for long.
const lettersGroup = internalPrefix + "dead"

// letters is what is known of its cursors. One at a time writes them, since they are absolute.
type letters struct {
	turn chan struct{} // holds a token while nobody writes
	id   atomic.Uint64 // of the group, plus one; 0: there is none yet

	mu    sync.RWMutex
	dealt map[storage.PartitionID]dealt // guarded by mu; of the partitions that somebody looked at. Slices are replaced, never changed
}

// dealt is what of a partition is settled.
type dealt struct {
	floor, passed int64
	done          []storage.Range
}

func (l *letters) init(groups []storage.Group) {
	for _, g := range groups {
		if g.Name == lettersGroup {
			l.id.Store(uint64(g.ID) + 1)
		}
	}
	l.turn = make(chan struct{}, 1)
	l.turn <- struct{}{}
	l.dealt = map[storage.PartitionID]dealt{}
}

// lettersGroup finds or makes the group.
func (e *engine) lettersGroup(ctx context.Context) (storage.GroupID, error) {
	if id := e.letters.id.Load(); id > 0 {
		return storage.GroupID(id - 1), nil
	}
	g, err := e.store.CreateGroup(ctx, lettersGroup)
	if err != nil {
		return 0, translate(err)
	}
	e.letters.id.Store(uint64(g.ID) + 1)
	return g.ID, nil
}

// has tells whether the letter at offset is settled.
func (d *dealt) has(offset int64) bool {
	if offset < d.floor {
		return true
	}
	n, found := d.find(offset)
	return found || n > 0 && offset < d.done[n-1].To
}

// find returns the first range that begins at offset or later, and whether it begins there.
func (d *dealt) find(offset int64) (int, bool) {
	return slices.BinarySearchFunc(d.done, offset, func(r storage.Range, o int64) int { return int(min(1, max(-1, r.From-o))) })
}

// with returns d with the letter at offset settled, which it was not.
func (d dealt) with(offset int64) dealt {
	n, _ := d.find(offset)
	done := slices.Insert(slices.Clone(d.done), n, storage.Range{From: offset, To: offset + 1})
	if n+1 < len(done) && done[n+1].From == offset+1 {
		done[n].To = done[n+1].To
		done = slices.Delete(done, n+1, n+2)
	}
	if n > 0 && done[n-1].To == offset {
		done[n-1].To = done[n].To
		done = slices.Delete(done, n, n+1)
	}
	return dealt{floor: d.floor, passed: d.passed + 1, done: done}
}

// raise moves the floor up to the first letter that is not settled.
func (d dealt) raise(s storage.Store, id storage.PartitionID) (dealt, error) {
	for len(d.done) > 0 {
		if d.done[0].From > d.floor {
			rs, _, err := s.Read(nil, id, d.floor, 1)
			if err != nil || len(rs) == 0 || rs[0].Offset < d.done[0].From {
				return d, err
			}
		}
		d.floor, d.done = d.done[0].To, d.done[1:]
	}
	return d, nil
}

// dealtWith returns what of a partition is settled. What is not there any more is.
func (e *engine) dealtWith(id storage.PartitionID) (dealt, error) {
	e.letters.mu.RLock()
	d, known := e.letters.dealt[id]
	e.letters.mu.RUnlock()
	if !known {
		if g := e.letters.id.Load(); g > 0 {
			c, _ := e.store.Cursor(storage.GroupID(g-1), id)
			d = dealt{c.Floor, c.Passed, c.Done}
		}
	}
	b, err := e.store.Bounds(id)
	if err != nil || b.First <= d.floor {
		return d, err
	}
	d.floor = b.First
	d.done = slices.DeleteFunc(slices.Clone(d.done), func(r storage.Range) bool { return r.To <= d.floor })
	if len(d.done) > 0 && d.done[0].From <= d.floor {
		d.floor, d.done = d.done[0].To, d.done[1:]
	}
	d.passed, err = e.below(id, d.floor, ranges(d.done))
	return d, err
}

// KeepLetters implements queue.EngineLetters.
func (e *engine) KeepLetters(ctx context.Context, topic string) error {
	t, err := e.topic(topic)
	if err != nil {
		return err
	}
	g, err := e.lettersGroup(ctx)
	if err != nil {
		return err
	}
	return e.letters.inTurn(ctx, func() error {
		var first storage.Entry
		had := t.partitions()
		for n := range had {
			id := t.Partition(n)
			if _, ok := e.store.Cursor(g, id); ok {
				continue
			}
			d, err := e.dealtWith(id)
			if err != nil {
				return translate(err)
			}
			first.Cursors = append(first.Cursors, d.cursor(g, id))
		}
		if first.Cursors == nil {
			return nil
		}
		_, err := e.store.Append(ctx, &first)
		if err == nil {
			err = e.catchUp(ctx, g, t, had)
		}
		return translate(err)
	})
}

func (d *dealt) cursor(g storage.GroupID, id storage.PartitionID) storage.Cursor {
	return storage.Cursor{Group: g, Partition: id, Floor: d.floor, Passed: d.passed, Done: d.done}
}

// inTurn runs f while nobody else writes the cursors.
func (l *letters) inTurn(ctx context.Context, f func() error) error {
	select {
	case <-l.turn:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", queue.ErrFull, ctx.Err())
	}
	defer func() { l.turn <- struct{}{} }()
	return f()
}

// Letters implements queue.EngineLetters.
func (e *engine) Letters(ctx context.Context, topic string) iter.Seq2[*queue.Record, error] {
	return func(yield func(*queue.Record, error) bool) {
		t, err := e.topic(topic)
		var floors []queue.Position
		for n := 0; err == nil && n < t.partitions(); n++ {
			var d dealt
			d, err = e.dealtWith(t.Partition(n))
			floors = append(floors, t.position(n, d.floor))
		}
		if err != nil {
			yield(nil, translate(err))
			return
		}
		for r, err := range e.Read(ctx, queue.Range{Topic: topic, From: queue.From(floors...)}) {
			if err == nil {
				var d dealt
				if d, err = e.dealtWith(t.Partition(r.Position.Partition())); err == nil {
					if offset, _ := r.Position.Offset(); d.has(offset) {
						continue
					}
				}
			}
			if !yield(r, translate(err)) || err != nil {
				return
			}
		}
	}
}

// SettleLetters implements queue.EngineLetters.
func (e *engine) SettleLetters(ctx context.Context, ls []queue.LetterSettlement) {
	g, err := e.lettersGroup(ctx)
	if err == nil {
		err = e.letters.inTurn(ctx, func() error { return e.settleLetters(ctx, g, ls) })
	}
	for i := range ls {
		if ls[i].Err = nil; !ls[i].Before {
			ls[i].Err = err
		}
	}
}

// settleLetters stores one entry: what the letters publish that are not settled yet, and that they are.
func (e *engine) settleLetters(ctx context.Context, g storage.GroupID, ls []queue.LetterSettlement) error {
	p := &publish{batchOf: map[storage.PartitionID]int32{}}
	var ms []queue.Message
	after := map[storage.PartitionID]dealt{}
	for i := range ls {
		before, err := e.settleLetter(after, ls[i].At)
		if err != nil {
			return err
		}
		if ls[i].Before = before; !before {
			ms = append(ms, ls[i].Publish...)
		}
	}
	if len(after) == 0 {
		return nil
	}
	if err := e.place(ctx, p, ms); err != nil {
		return err
	}
	p.fill(ms)
	for i := range p.placed {
		if f := p.placed[i].topic.flow.Load(); f != nil {
			if err := f.load(ctx); err != nil {
				return err
			}
		}
	}
	if err := p.force(); err != nil {
		return err
	}
	for id, d := range after {
		p.entry.Cursors = append(p.entry.Cursors, d.cursor(g, id))
	}
	_, err := e.store.Append(ctx, &p.entry)
	p.left(translate(err))
	if err == nil || errors.Is(err, storage.ErrIndeterminate) {
		// Not knowing it is for the caller. What is written next has to build on this entry, which comes before, if it comes at all.
		e.letters.learn(after)
	}
	if err != nil {
		return fmt.Errorf("queue: settling dead letters: %w", translate(err))
	}
	p.count(ms)
	e.changes.notify()
	return nil
}

// settleLetter adds to after what is settled when the letter at a position is. It is true if that is so already, or the letter is gone.
func (e *engine) settleLetter(after map[storage.PartitionID]dealt, at queue.Position) (before bool, err error) {
	t, err := e.topic(at.Topic())
	if err != nil {
		return false, err
	}
	if t.has(at) != nil {
		return true, nil
	}
	id := t.Partition(at.Partition())
	d, ok := after[id]
	if !ok {
		if d, err = e.dealtWith(id); err != nil {
			return false, translate(err)
		}
	}
	offset, _ := at.Offset()
	if d.has(offset) {
		return true, nil
	}
	if d, err = d.with(offset).raise(e.store, id); err != nil {
		return false, translate(err)
	}
	after[id] = d
	return false, nil
}

func (l *letters) learn(after map[storage.PartitionID]dealt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, d := range after {
		l.dealt[id] = d
	}
}

// forget drops what is known of a topic that is deleted.
func (l *letters) forget(t *topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range t.partitions() {
		delete(l.dealt, t.Partition(n))
	}
}
