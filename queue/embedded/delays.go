package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/timers"
	"github.com/leatmq/leat/storage"
)

// Messages that are not due yet are in an index for each class of topics: those that are equally durable, so that a message is as safe while it waits as it is
// afterwards. The topics that an index has are made when the first message of its class is delayed.

// delayedTopics begins the names of the topics of indexes; the class follows.
const delayedTopics = internalPrefix + "delayed."

// What becomes of a message that is due and is not delivered.
const (
	expiredFate = timers.Deliver + 1 + iota // its time is over
	orphanFate                              // its topic was deleted
)

// delays is the indexes of an engine.
type delays struct {
	engine     *engine
	references int // as timers.Options says
	orphans    atomic.Int64

	mu      sync.RWMutex
	indexes map[string]*timers.Index // guarded by mu; by class
	closed  bool                     // guarded by mu
}

// classOf names the class of a topic of that strategy, and says how what waits for it is stored.
func classOf(s *storage.Strategy) (string, storage.Strategy) {
	if s.Level == storage.MemoryOnly {
		return "memory", storage.Strategy{Level: storage.MemoryOnly, NoBackup: s.NoBackup}
	}
	class, kept := "synced", storage.Strategy{Level: storage.DiskOnly, Sync: s.Sync, NoBackup: s.NoBackup}
	switch d := s.Sync.Interval(); {
	case s.Sync == storage.SyncOS:
		class = "os"
	case d > 0:
		class = fmt.Sprintf("%dus", d.Microseconds())
		kept.Sync = storage.SyncInterval(d.Truncate(time.Microsecond))
	}
	if s.NoBackup {
		class += ".nobackup"
	}
	return class, kept
}

// open opens the indexes that there are.
func (d *delays) open() error {
	for _, t := range d.engine.store.Topics() {
		class, ok := strings.CutPrefix(t.Name, delayedTopics)
		if !ok || strings.HasSuffix(class, timers.RunsSuffix) {
			continue
		}
		if _, err := d.of(context.Background(), class, t.Strategy); err != nil {
			return fmt.Errorf("queue: delayed messages: %w", err)
		}
	}
	return nil
}

// of returns the index of a class, which is made if there is none.
func (d *delays) of(ctx context.Context, class string, s storage.Strategy) (*timers.Index, error) {
	if x := d.existing(class); x != nil {
		return x, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, queue.ErrClosed
	}
	if x := d.indexes[class]; x != nil {
		return x, nil
	}
	x, err := timers.Open(ctx, timers.Options{Store: movingStore{d.engine.store, d.engine}, Name: delayedTopics + class, Strategy: s, References: d.references, Place: d.place, Count: d.count, Told: d.told, Now: func() time.Time { return d.engine.wall() },
		Leave: d.leave, Alter: func(m *timers.Message, to timers.ID) *timers.Aside { return d.alter(class, m, to) }})
	if err != nil {
		return nil, translate(err)
	}
	d.indexes[class] = x
	return x, nil
}

func (d *delays) existing(class string) *timers.Index {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.indexes[class]
}

func (d *delays) all() []*timers.Index {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var xs []*timers.Index
	for _, x := range d.indexes {
		xs = append(xs, x)
	}
	return xs
}

func (d *delays) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	for _, x := range d.all() {
		x.Close()
	}
}

// isDelayed tells whether m is not due yet.
func (e *engine) isDelayed(m *queue.Message) bool {
	return !m.NotBefore.IsZero() && m.NotBefore.After(e.wall())
}

// wait is what a publish has of a delayed message.
type wait struct {
	index *timers.Index
	topic *topic
	class string // of index
	due   int64  // in nanoseconds of Unix time

	// Of one with an ID that its topic is to know: where else it is noted.
	ids           *ids          // nil: of no other one
	key           timers.ID     // chosen before it is stored
	timerID       queue.TimerID // of that
	log           storage.PartitionID
	batch, record int32
}

// wait returns what p has of a message that is delayed; nil: it is not.
func (p *publish) wait(at *place) *wait {
	if at.wait == 0 {
		return nil
	}
	return &p.waits[at.wait-1]
}

// timer names the timer of the message, which is stored at that offset.
func (w *wait) timer(offset int64) queue.TimerID {
	if w.ids != nil {
		return w.timerID
	}
	return timerID(w.class, w.index.ID(w.due, offset))
}

// envelope is what is kept of a delayed message beside itself.
func (w *wait) envelope(m *queue.Message) *timers.Envelope {
	e := &timers.Envelope{Due: w.due, First: w.topic.First, Pin: -1, Topic: w.topic.Name}
	if n, ok := m.Partition.N(); ok {
		e.Pin = n
	}
	return e
}

// delay finds the index for a message of t that is not due yet.
func (d *delays) delay(ctx context.Context, t *topic, m *queue.Message) (wait, error) {
	class, s := classOf(&t.manner.Load().strategy)
	x, err := d.of(ctx, class, s)
	return wait{index: x, topic: t, class: class, due: nanos(m.NotBefore)}, err
}

// place says where a message goes that is due. Its ID was looked at when it was published, and is not again.
func (d *delays) place(m *timers.Message) storage.PartitionID {
	t, err := d.engine.topic(m.Topic)
	switch {
	case errors.Is(err, queue.ErrNotFound) || err == nil && t.First != m.First:
		m.Fate = orphanFate
		return 0
	case err != nil:
		return d.pinned(m)
	}
	if expires := expiryOf(m.Record.Headers); !expires.IsZero() {
		if d.engine.hasExpired(expires) {
			m.Fate = expiredFate
			return 0
		}
		d.engine.sweeper.watch(t)
	}
	n := m.Pin
	if n < 0 || n >= t.partitions() {
		n = t.spread(m.Record.Key, m.Record.Size())
	}
	return t.Partition(n)
}

// pinned says where a message goes of a topic whose settings cannot be read: to the partition that it names, or the first.
func (d *delays) pinned(m *timers.Message) storage.PartitionID {
	if t, ok := d.engine.store.Topic(m.Topic); ok && t.First == m.First && m.Pin > 0 && m.Pin < t.Partitions {
		return t.Partition(m.Pin)
	}
	return m.First
}

// count counts what left an index.
func (d *delays) count(ms []timers.Message) {
	var count published
	for i := range ms {
		m := &ms[i]
		if m.Fate == orphanFate {
			d.orphans.Add(1)
			continue
		}
		t, err := d.engine.topic(m.Topic)
		switch {
		case err != nil: // it was deleted meanwhile
		case m.Fate == expiredFate:
			t.expired.Add(1)
		default:
			count.add(t, m.Record.Size())
		}
	}
	if count.topic != nil {
		count.add(nil, 0)
	}
}

// told tells of what left an index.
func (d *delays) told(ms []timers.Message) {
	for i := range ms {
		if m := &ms[i]; m.Fate == expiredFate {
			d.engine.tellExpired(queue.ExpiredEvent{Topic: m.Topic, Expires: expiryOf(m.Record.Headers)})
		}
	}
	d.engine.changes.notify()
}

// tellExpired tells Events.Expired.
func (e *engine) tellExpired(x queue.ExpiredEvent) {
	if e.expired != nil {
		e.expired(x)
	}
}

// overdue tells whether there is what is due and is not in its topic yet.
func (d *delays) overdue() bool {
	for _, x := range d.all() {
		if x.Overdue() {
			return true
		}
	}
	return false
}

// figures adds up what waits: the counts by the first partition of their topic.
func (d *delays) figures() (pending map[storage.PartitionID]int64, next time.Time, err error) {
	pending = map[storage.PartitionID]int64{}
	for _, x := range d.all() {
		s := x.Stats()
		for first, n := range s.Pending {
			pending[first] += n
		}
		if at := time.Unix(0, s.Next); s.Next != 0 && (next.IsZero() || at.Before(next)) {
			next = at
		}
		err = errors.Join(err, s.Err)
	}
	return pending, next, err
}

// timerID is the text of a timer: its class, a slash, and what the index calls it.
func timerID(class string, id timers.ID) queue.TimerID {
	var room [64 + timers.MaxID]byte
	return queue.TimerID(id.Append(append(append(room[:0], class...), '/')))
}

// parseTimer takes a TimerID apart.
func parseTimer(t queue.TimerID) (class string, id timers.ID, ok bool) {
	class, text, _ := strings.Cut(string(t), "/")
	id, ok = timers.ParseID(text)
	return class, id, ok
}

// timer finds what a TimerID names.
func (d *delays) timer(t queue.TimerID) (x *timers.Index, class string, id timers.ID, err error) {
	class, id, ok := parseTimer(t)
	if x = d.existing(class); !ok || x == nil {
		return nil, "", id, fmt.Errorf("%w: timer %.300q", queue.ErrNotFound, string(t))
	}
	return x, class, id, nil
}

// Cancel implements queue.EngineScheduler.
func (e *engine) Cancel(ctx context.Context, t queue.TimerID) error {
	x, _, id, err := e.delays.timer(t)
	if err == nil {
		err = e.timerError(t, x.Cancel(ctx, id))
	}
	return err
}

// Reschedule implements queue.EngineScheduler.
func (e *engine) Reschedule(ctx context.Context, t queue.TimerID, at time.Time) (queue.TimerID, error) {
	x, class, id, err := e.delays.timer(t)
	if err != nil {
		return "", err
	}
	moved, err := x.Move(ctx, id, nanos(at))
	if err != nil {
		return "", e.timerError(t, err)
	}
	return timerID(class, moved), nil
}

func (e *engine) timerError(t queue.TimerID, err error) error {
	switch {
	case errors.Is(err, timers.ErrGone):
		return fmt.Errorf("%w: timer %q: it became due, or was cancelled or moved", queue.ErrNotFound, string(t))
	case errors.Is(err, timers.ErrNotTaken) && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return fmt.Errorf("%w: %w", queue.ErrFull, err)
	}
	return e.explained(err)
}
