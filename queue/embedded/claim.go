package embedded

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/ledger"
	"github.com/leatmq/leat/storage"
)

// Whoever publishes claims the IDs of the messages before they are stored, and says afterwards what became of them. Who comes with an ID that is claimed waits for that;
// with one that is stored, gets the first one's place. See ids.go.

// claims is what one publish, or one commit, has of the IDs of its messages. The zero claims have none.
type claims struct {
	list   []claim
	flight *flight // nil: nothing is claimed
}

// claim is the ID of one message.
type claim struct {
	ids       *ids
	id        ledger.ID
	message   int32
	duplicate bool
	first     ledger.Entry  // of a duplicate: where the first one is
	timer     queue.TimerID // the same, of one that waits
}

// flight is the way of messages with claimed IDs to the log. Nobody waits for it any longer when ended is closed.
type flight struct {
	ended    chan struct{}
	waitsFor *flight // guarded by engine.waits
}

func newFlight() *flight { return &flight{ended: make(chan struct{})} }

// take claims the IDs of ms, for the flight of a publish that is to end before others may. It waits for others that have one of them. On an error nothing is claimed.
func (cs *claims) take(ctx context.Context, e *engine, ms []queue.Message, behind ...*flight) error {
	if err := cs.find(ctx, e, ms); err != nil {
		cs.forget()
		return err
	}
	if len(cs.list) == 0 {
		return nil
	}
	cs.flight = newFlight()
	e.waits.Lock()
	for _, f := range behind {
		if f != nil {
			f.waitsFor = cs.flight
		}
	}
	e.waits.Unlock()
	for i := range cs.list {
		c := &cs.list[i]
		if err := c.take(ctx, cs.flight); err != nil {
			cs.list = cs.list[:i]
			cs.abandon()
			return fmt.Errorf("message %d of %d, ID %q: %w", c.message+1, len(ms), ms[c.message].ID, err)
		}
	}
	return nil
}

// dedups tells whether m, which is for t, is not to be stored if t has had its ID.
func (t *topic) dedups(m *queue.Message) bool {
	return m.ID != "" && !bypasses(m) && !t.manner.Load().config.Dedup.Off
}

// find lists the messages that have an ID that counts, in the order in which all take their claims, so that no two wait for each other.
func (cs *claims) find(ctx context.Context, e *engine, ms []queue.Message) error {
	for i := range ms {
		if ms[i].ID == "" {
			continue
		}
		t, err := e.topic(ms[i].Topic)
		if err != nil {
			return err
		}
		if !t.dedups(&ms[i]) {
			continue
		}
		s, err := e.idsOf(ctx, t)
		if err != nil {
			return err
		}
		cs.list = append(cs.list, claim{ids: s, id: ledger.Of(ms[i].ID), message: int32(i)})
	}
	if len(cs.list) < 2 {
		return nil
	}
	slices.SortFunc(cs.list, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.ids.topic.First, b.ids.topic.First), bytes.Compare(a.id[:], b.id[:]))
	})
	for i := range cs.list[1:] {
		a, b := &cs.list[i], &cs.list[i+1]
		if a.ids == b.ids && a.id == b.id {
			m := &ms[a.message]
			return fmt.Errorf("%w: ID %q, topic %q", queue.ErrConflict, m.ID, m.Topic)
		}
	}
	return nil
}

// take claims the ID for f, or finds that it is a duplicate's.
func (c *claim) take(ctx context.Context, f *flight) (err error) {
	s := c.ids
	for {
		s.mu.Lock()
		c.first, c.duplicate = s.table.Find(c.id, int64(s.engine.now()))
		if c.duplicate {
			waits, change := c.first.Partition == partWaiting, s.changing[c.id]
			if !waits || change == nil {
				s.duplicates++
				s.mu.Unlock()
				return c.find(waits)
			}
			s.mu.Unlock()
			if err := f.await(ctx, change, &s.engine.waits); err != nil {
				return err
			}
			continue
		}
		if d, unknown := s.doubts[c.id]; unknown {
			s.mu.Unlock()
			if err := s.clear(ctx, c.id, d); err != nil {
				return err
			}
			continue
		}
		other, taken := s.flights[c.id]
		if !taken {
			s.flights[c.id] = airborne{f, s.generation}
			s.alive[s.generation]++
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		if err := f.await(ctx, other.flight, &s.engine.waits); err != nil {
			return err
		}
	}
}

// find finds the timer of the first one, if that waits.
func (c *claim) find(waits bool) (err error) {
	if waits {
		c.timer, err = c.ids.timerAt(c.first.Offset)
	}
	return c.ids.engine.explained(err)
}

// await waits until other has ended, unless that waits for f.
func (f *flight) await(ctx context.Context, other *flight, waits *sync.Mutex) error {
	waits.Lock()
	for at := other; at != nil; at = at.waitsFor {
		if at == f {
			waits.Unlock()
			return fmt.Errorf("%w: two units of work wait for each other", queue.ErrConflict)
		}
	}
	f.waitsFor = other
	waits.Unlock()
	defer func() {
		waits.Lock()
		f.waitsFor = nil
		waits.Unlock()
	}()
	select {
	case <-other.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: another publish with the ID has not ended: %w", queue.ErrIndeterminate, ctx.Err())
	}
}

// giveUp ends a claim that is no duplicate's, and that is on no list.
func (c *claim) giveUp() {
	s := c.ids
	s.mu.Lock()
	defer s.mu.Unlock()
	generation := s.flights[c.id].generation
	delete(s.flights, c.id)
	s.left(generation)
}

// dropped gives up the claims of what p stores nothing of.
func (cs *claims) dropped(p *publish) {
	cs.list = slices.DeleteFunc(cs.list, func(c claim) bool {
		gone := p.placed[c.message].dropped && !c.duplicate
		if gone {
			c.giveUp()
		}
		return gone
	})
}

// rest returns ms without the duplicates, and has the claims count them as they are then.
func (cs *claims) rest(ms []queue.Message) []queue.Message {
	moved := make([]int32, len(ms)) // how far each message moves; negative for a duplicate
	for i := range cs.list {
		if cs.list[i].duplicate {
			moved[cs.list[i].message] = -1
		}
	}
	left := ms[:0:0]
	for i := range ms {
		if moved[i] == 0 {
			moved[i] = int32(i - len(left))
			left = append(left, ms[i])
		}
	}
	for i := range cs.list {
		cs.list[i].message -= max(0, moved[cs.list[i].message])
	}
	return left
}

// abandon gives up what was claimed: nothing was stored. It does nothing if the claims have ended.
func (cs *claims) abandon() {
	cs.land(func(*claim, uint64) {})
}

// settle says what became of what was claimed, and wakes those who wait for that. err is what the store said, p has the messages, from base on.
func (cs *claims) settle(p *publish, base int, err error) {
	switch {
	case err == nil:
		cs.land(func(c *claim, _ uint64) { c.ids.add(c.entered(p, base)) })
	case errors.Is(err, storage.ErrIndeterminate):
		cs.land(func(c *claim, generation uint64) { c.ids.doubt(c.entered(p, base), generation) })
	default:
		cs.abandon()
	}
}

// land calls f for each claim that is no duplicate's, with ids.mu held, and ends it.
func (cs *claims) land(f func(c *claim, generation uint64)) {
	if cs.flight == nil {
		return
	}
	for i := range cs.list {
		c := &cs.list[i]
		if c.duplicate {
			continue
		}
		s := c.ids
		s.mu.Lock()
		generation := s.flights[c.id].generation
		delete(s.flights, c.id)
		f(c, generation)
		s.left(generation)
		s.mu.Unlock()
	}
	close(cs.flight.ended)
	cs.forget()
}

// forget keeps the memory.
func (cs *claims) forget() {
	clear(cs.list)
	cs.list, cs.flight = cs.list[:0], nil
}

// entered is what is remembered of a message that was stored.
func (c *claim) entered(p *publish, base int) ledger.Entry {
	at := &p.placed[base+int(c.message)]
	e := ledger.Entry{ID: c.id, Born: int64(c.ids.engine.now()), Partition: at.partition}
	batch, record := at.batch, at.record
	if w := p.wait(at); w != nil {
		e.Partition, batch, record = partWaiting, w.batch, w.record
	}
	e.Offset = p.entry.Batches[batch].Records[record].Offset
	return e
}

// name chooses timers for those messages of p, from base on, that are delayed: they are stored with the IDs.
func (cs *claims) name(ctx context.Context, p *publish, base int) (err error) {
	for i := range cs.list {
		c := &cs.list[i]
		if c.duplicate {
			continue
		}
		w := p.wait(&p.placed[base+int(c.message)])
		if w == nil {
			continue
		}
		if w.log, err = c.ids.makeWaitLog(ctx); err != nil {
			return err
		}
		if w.key, err = w.index.Choose(w.due); err != nil {
			return translate(err)
		}
		w.ids, w.timerID = c.ids, timerID(w.class, w.key)
	}
	return nil
}
