package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/ledger"
	"github.com/leatmq/leat/storage"
)

// ids knows the IDs that a topic has had, exactly. What is stored under an ID is in the log, with the ID in its headers; the table in memory is what a publish asks, and is made
// again from the log. So that this takes no reading of all that the window is about, what the table learns is written to an index every second: see index.go.
//
// Locks: turn, then mu. mu is held for no wait.
type ids struct {
	engine *engine
	topic  *topic
	ready  atomic.Bool                   // the table is what the log says
	over   bool                          // guarded by turn; nobody asks for the IDs any more
	turn   chan struct{}                 // holds a token while nobody reads or writes the index
	index  *index                        // guarded by turn; nil: the topic keeps nothing
	waits  atomic.Pointer[storage.Topic] // the log of IDs that wait; nil: nobody has asked for it

	mu         sync.Mutex
	table      *ledger.Table
	flights    map[ledger.ID]airborne // what is being published
	doubts     map[ledger.ID]doubt    // what may be stored or not
	generation uint64                 // of the publishes that begin now; see index.cover
	alive      map[uint64]int         // how many flights, doubts and changes there are of each generation
	changing   map[ledger.ID]*flight  // of delayed messages, of which something is being changed
	notes      []ledger.Entry         // in place of others, and not in the index yet
	stale      bool                   // the logs have more than load has read
	duplicates int64                  // since open
}

// airborne is a flight, and the generation in which it claimed an ID.
type airborne struct {
	*flight
	generation uint64
}

// doubt is where a message is, if it was stored.
type doubt struct {
	entry      ledger.Entry
	generation uint64
}

// idsOf returns the IDs of t, which are known then.
func (e *engine) idsOf(ctx context.Context, t *topic) (*ids, error) {
	s := e.knownIDs(t)
	if s == nil {
		return nil, fmt.Errorf("%w: topic %q, which was deleted", queue.ErrNotFound, t.Name)
	}
	if s.ready.Load() {
		return s, nil
	}
	return s, s.load(ctx)
}

// knownIDs returns the IDs of t, of which the table may be yet to be made; nil: t was deleted.
func (e *engine) knownIDs(t *topic) *ids {
	if s := t.ids.Load(); s != nil {
		return s
	}
	made := newIDs(e, t)
	if t.ids.CompareAndSwap(nil, made) {
		e.indexer.add(made)
	}
	return t.ids.Load()
}

func newIDs(e *engine, t *topic) *ids {
	d := t.manner.Load().config.Dedup
	s := &ids{
		engine:  e,
		topic:   t,
		turn:    make(chan struct{}, 1),
		table:   ledger.NewTable(d.IDs, d.Window),
		flights: map[ledger.ID]airborne{},
		doubts:  map[ledger.ID]doubt{},
		alive:   map[uint64]int{},

		changing: map[ledger.ID]*flight{},
	}
	s.turn <- struct{}{}
	return s
}

// enter waits for the turn. The caller gives it back.
func (s *ids) enter(ctx context.Context) error {
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for the IDs of topic %q: %w", queue.ErrFull, s.topic.Name, ctx.Err())
	}
}

func (s *ids) leave() { s.turn <- struct{}{} }

// load makes the table what the log says.
func (s *ids) load(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if s.ready.Load() {
		return nil
	}
	if s.over {
		s.ready.Store(true)
		return nil
	}
	if s.topic.gone.Load() {
		return fmt.Errorf("%w: topic %q, which was deleted", queue.ErrNotFound, s.topic.Name)
	}
	if err := s.makeTable(ctx); err != nil {
		return fmt.Errorf("queue: IDs of topic %q: %w", s.topic.Name, s.engine.explained(err))
	}
	s.engine.indexer.settled(s.topic.First)
	return nil
}

// makeTable reads the index and the logs, and again the logs, if something was stored meanwhile that no publish of this table adds.
func (s *ids) makeTable(ctx context.Context) (err error) {
	s.mu.Lock()
	s.stale = false // what was stored is in the logs
	s.mu.Unlock()
	if s.engine.kind == onDisk && !s.topic.volatile {
		if s.index, err = s.openIndex(ctx); err != nil {
			return err
		}
	}
	for !s.made() {
		if s.index == nil {
			continue
		}
		if err = s.readLog(ctx, s.index); err != nil {
			return err
		}
	}
	return nil
}

// made has the table count, unless the logs have more.
func (s *ids) made() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale {
		s.stale = false
		return false
	}
	s.ready.Store(true)
	return true
}

// figures returns how many duplicates there were since the open, and how many IDs are remembered.
func (s *ids) figures() (duplicates, remembered int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.duplicates, int64(s.table.Len())
}

// receipt is that of a duplicate.
func (c *claim) receipt() queue.Receipt {
	s := c.ids
	d := s.topic.manner.Load().config.Durability // also of what was stored before it was altered, which is synced then
	if s.engine.kind == inMemory {
		d = queue.Memory
	}
	if c.first.Partition == partWaiting {
		return queue.Receipt{Timer: c.timer, Durability: d, Duplicate: true}
	}
	return queue.Receipt{Position: s.topic.position(int(c.first.Partition), c.first.Offset), Durability: d, Duplicate: true}
}

// left notes that something of a generation came to its end. mu is held.
func (s *ids) left(generation uint64) {
	if s.alive[generation]--; s.alive[generation] == 0 {
		delete(s.alive, generation)
	}
}

// doubt notes that e is stored or not. mu is held.
func (s *ids) doubt(e ledger.Entry, generation uint64) {
	s.doubts[e.ID] = doubt{e, generation}
	s.alive[generation]++
}

// clear waits until it is known what became of d, which may be stored under id, and notes that.
func (s *ids) clear(ctx context.Context, id ledger.ID, d doubt) error {
	p, ok := s.log(d.entry.Partition)
	if !ok {
		return unknown(storage.ErrNotFound)
	}
	w := storage.NewWatcher()
	unwatch, err := s.engine.store.Watch(p, w)
	if err != nil {
		return unknown(err)
	}
	defer unwatch()
	for {
		decided, err := s.decide(id, d)
		if decided || err != nil {
			return unknown(err)
		}
		select {
		case <-w.C():
			w.Take(nil)
		case <-s.engine.store.Stopped():
			if decided, _ := s.decide(id, d); !decided {
				return unknown(s.engine.store.StopCause())
			}
		case <-s.engine.closed:
			return unknown(storage.ErrClosed)
		case <-ctx.Done():
			return unknown(ctx.Err())
		}
	}
}

// unknown is the error of a publish of which, before, another had the ID, and nobody knows what became of it.
func unknown(err error) error {
	if err == nil || errors.Is(err, storage.ErrNotFound) {
		return translate(err)
	}
	return fmt.Errorf("%w: an earlier publish with the ID: %w", queue.ErrIndeterminate, translate(err))
}

// decide finds out whether d is stored, if that can be known already, and notes it.
func (s *ids) decide(id ledger.ID, d doubt) (decided bool, err error) {
	p, ok := s.log(d.entry.Partition)
	if !ok {
		return false, storage.ErrNotFound
	}
	b, err := s.engine.store.Bounds(p)
	if err != nil || b.Next <= d.entry.Offset {
		return false, err
	}
	stored := b.First > d.entry.Offset // it was, and has been removed
	if !stored {
		rs, _, err := s.engine.store.Read(nil, p, d.entry.Offset, 1)
		if err != nil {
			return false, err
		}
		if len(rs) > 0 && rs[0].Offset == d.entry.Offset {
			text, ok := idOf(rs[0].Headers)
			stored = ok && ledger.Of(text) == id
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, still := s.doubts[id]; !still || now != d {
		return true, nil
	}
	delete(s.doubts, id)
	if stored {
		d.entry.Born = int64(s.engine.now())
		s.add(d.entry)
	}
	s.left(d.generation)
	return true, nil
}

// decideAll clears the doubts that can be cleared without waiting.
func (s *ids) decideAll() {
	s.mu.Lock()
	ds := make(map[ledger.ID]doubt, len(s.doubts))
	for id, d := range s.doubts {
		ds[id] = d
	}
	s.mu.Unlock()
	for id, d := range ds {
		if _, err := s.decide(id, d); errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrClosed) {
			return
		}
	}
}

// expire gives memory back.
func (s *ids) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.Expire(int64(s.engine.now()))
}

// reconfigureIDs takes over what was altered of t.
func (e *engine) reconfigureIDs(ctx context.Context, t *topic) error {
	d := t.manner.Load().config.Dedup
	if d.Off {
		return e.forgetIDs(ctx, t)
	}
	s := t.ids.Load()
	if s == nil {
		return nil // as soon as they are loaded
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	s.mu.Lock()
	s.table.Limit(d.IDs, d.Window, int64(e.now()))
	s.mu.Unlock()
	if s.index == nil || s.over {
		return nil
	}
	return translate(e.store.AlterTopic(ctx, indexName(t.First), s.strategy(), nil))
}

// forgetIDs forgets the IDs of t, and removes their index.
func (e *engine) forgetIDs(ctx context.Context, t *topic) error {
	if s := t.ids.Load(); s != nil {
		if err := s.enter(ctx); err != nil {
			return err
		}
		s.over, s.index = true, nil
		s.leave()
		t.ids.CompareAndSwap(s, nil)
		e.indexer.remove(s)
	}
	if e.kind != onDisk || t.volatile {
		return nil
	}
	return translate(e.indexer.discard(ctx, t.First))
}

// indexIDs has the index of t know all IDs that are in the log, of which something is about to be removed. A disk without room does not keep that from being
// done: it is how there is room again.
func (e *engine) indexIDs(ctx context.Context, t *topic) error {
	s := t.ids.Load()
	if s == nil || !s.ready.Load() {
		if !e.indexer.sleeps(t.First) {
			return nil
		}
		var err error
		if s, err = e.idsOf(ctx, t); err != nil {
			return err
		}
	}
	if err := s.write(ctx, true); !errors.Is(err, storage.ErrNoSpace) {
		return translate(err)
	}
	return nil
}

// indexer has the topics' IDs written to their indexes from time to time, and forgotten when they are too old.
type indexer struct {
	engine *engine
	begun  chan struct{} // of one: all is not idle any more

	mu      sync.Mutex
	all     []*ids                // guarded by mu
	dormant []storage.PartitionID // guarded by mu; the first ones of topics that have an index, and were not asked for their IDs since the open
}

// indexEvery is how often IDs are written. After a crash the log is read from there on.
const indexEvery = time.Second

func (x *indexer) init(e *engine) {
	x.engine = e
	x.begun = make(chan struct{}, 1)
	if e.kind == onDisk {
		x.dormant = e.indexed()
	}
	if len(x.dormant) > 0 {
		x.begun <- struct{}{}
	}
}

func (x *indexer) add(s *ids) {
	x.mu.Lock()
	x.all = append(x.all, s)
	x.mu.Unlock()
	signal(x.begun)
}

// settled notes that nothing has to be done for a topic as it was before the open.
func (x *indexer) settled(first storage.PartitionID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dormant = slices.DeleteFunc(x.dormant, func(other storage.PartitionID) bool { return other == first })
}

func (x *indexer) sleeps(first storage.PartitionID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Contains(x.dormant, first)
}

func (x *indexer) remove(s *ids) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = slices.DeleteFunc(x.all, func(other *ids) bool { return other == s })
}

func (x *indexer) list() ([]*ids, []storage.PartitionID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.all), slices.Clone(x.dormant)
}

// run is the engine's goroutine for it.
func (x *indexer) run() {
	e := x.engine
	select {
	case <-x.begun:
	case <-e.closed:
		return
	}
	tick := time.NewTicker(indexEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			x.pass(e.flusher.ctx, false)
		case <-e.closed:
			return
		case <-e.store.Stopped():
			return
		}
	}
}

// pass writes what is new. Errors are left for the next pass: what is not in the index is read from the log.
func (x *indexer) pass(ctx context.Context, last bool) error {
	all, dormant := x.list()
	var errs error
	for _, s := range all {
		s.decideAll()
		s.expire()
		errs = errors.Join(errs, s.write(ctx, last))
	}
	if len(dormant) > 0 && !last {
		errs = errors.Join(errs, x.rouse(ctx, dormant))
	}
	return errs
}

// rouse sees to topics that have an index, and of which nobody publishes IDs. If there are messages that the index does not know, the IDs are loaded, so that it goes on
// and holds no messages. An index that is nobody's any more is removed.
func (x *indexer) rouse(ctx context.Context, dormant []storage.PartitionID) (errs error) {
	by := map[storage.PartitionID]storage.Topic{}
	for _, t := range x.engine.store.Topics() {
		by[t.First] = t
	}
	groups := map[string]storage.GroupID{}
	for _, g := range x.engine.store.Groups() {
		groups[g.Name] = g.ID
	}
	for _, first := range dormant {
		t, there := by[first]
		_, whole := x.engine.store.Topic(indexName(first))
		holder, held := groups[holderName(first)]
		switch {
		case !there || !whole || !held:
			errs = errors.Join(errs, x.discard(ctx, first))
		case x.engine.behind(&t, holder):
			errs = errors.Join(errs, x.wake(ctx, &t))
		}
	}
	return errs
}

func (x *indexer) discard(ctx context.Context, first storage.PartitionID) error {
	err := x.engine.removeIndex(ctx, first)
	if err == nil {
		x.settled(first)
	}
	return err
}

// behind tells whether there are messages that a holder has not done.
func (e *engine) behind(t *storage.Topic, holder storage.GroupID) bool {
	for n := range t.Partitions {
		b, err := e.store.Bounds(t.Partition(n))
		c, ok := e.store.Cursor(holder, t.Partition(n))
		if err == nil && (!ok && b.Next > 0 || c.Floor < b.Next) {
			return true
		}
	}
	return false
}

func (x *indexer) wake(ctx context.Context, stored *storage.Topic) error {
	t, err := x.engine.lookup(stored.Name)
	if err != nil || t.First != stored.First {
		return err
	}
	if t.manner.Load().config.Dedup.Off {
		return x.discard(ctx, t.First)
	}
	_, err = x.engine.idsOf(ctx, t)
	return err
}
