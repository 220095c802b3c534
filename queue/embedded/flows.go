package embedded

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// flows is what an engine has of topics that are bounded.
type flows struct {
	pool  *backpressure.Pool  // what all topics share; nil: the engine has no bound
	bound backpressure.Weight // of it
	tell  func(queue.BacklogEvent)
	begun chan struct{} // of one: there is a flow

	altering sync.Mutex    // held while a topic gets another limit; before flow.loading
	crossed  chan struct{} // of one: there is something to tell

	mu     sync.Mutex
	list   []*flow // guarded by mu
	closed error   // guarded by mu; why nobody is let in any more
}

func (fs *flows) init() {
	fs.begun, fs.crossed = make(chan struct{}, 1), make(chan struct{}, 1)
}

func (fs *flows) add(f *flow) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = append(fs.list, f)
	if fs.closed != nil {
		f.control.Close(fs.closed)
	}
	signal(fs.begun)
}

func (fs *flows) all() []*flow {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return slices.Clone(fs.list)
}

// signal wakes who waits on c, a channel of one, if it is not woken already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// inReserve tells whether w may pass beyond the engine's bound.
func (fs *flows) inReserve(w backpressure.Weight, whole bool) bool {
	if fs.pool == nil {
		return true
	}
	held, _ := fs.pool.Held()
	return inReserve(fs.bound, held, w, whole)
}

// close turns away all publishers that wait, and those that come.
func (fs *flows) close(why error) {
	fs.mu.Lock()
	fs.closed = why
	fs.mu.Unlock()
	for _, f := range fs.all() {
		f.control.Close(why)
	}
}

// forget ends the flow of a topic that was deleted.
func (fs *flows) forget(t *topic, why error) {
	f := t.flow.Load()
	if f == nil {
		return
	}
	f.control.Close(why)
	fs.mu.Lock()
	fs.list = slices.DeleteFunc(fs.list, func(other *flow) bool { return other == f })
	fs.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accounts, f.mark, f.crossed = nil, nil, nil
	f.settle()
}

// lookEvery is how often flows are looked at in which somebody found no room: what was removed before a group did it, and the group has not heard of, makes room, too.
const lookEvery = time.Second

func (fs *flows) look() {
	for _, f := range fs.all() {
		_, waiting := f.control.Held()
		if !f.pressed.Swap(false) && waiting == 0 {
			continue
		}
		f.mu.Lock()
		accounts := slices.Clone(f.accounts)
		f.mu.Unlock()
		for _, a := range accounts {
			a.group.mu.Lock()
			if a.stale() {
				a.group.account(f.topic, nil)
			}
			a.group.mu.Unlock()
		}
	}
}

// lookAt measures what groups are behind in t, of which something was removed.
func (e *engine) lookAt(t *topic) {
	if f := t.flow.Load(); f != nil {
		f.pressed.Store(true)
		e.flows.look()
	}
}

// accountOf measures the group's backlog in all topics anew, after what it reads, or from where on, has changed. It is called with g.mu held.
func (g *group) accountOf(topics ...string) {
	e := g.engine
	for _, name := range topics {
		e.mu.RLock()
		t := e.topics[name]
		e.mu.RUnlock()
		if t != nil {
			g.account(t, nil)
		}
	}
}

// close ends the accounts of a group that was deleted.
func (g *group) closeAccounts() {
	for _, f := range g.engine.flows.all() {
		g.mu.Lock()
		g.account(f.topic, nil)
		g.mu.Unlock()
	}
}

// note has it told if what is held crossed a mark. f.mu is held.
func (f *flow) note() {
	if f.mark == nil || !f.mark.Note(f.held) {
		return
	}
	f.cross(f.mark.High())
}

// cross has it told that the backlog is high, or low, if that is not what was told last. f.mu is held.
func (f *flow) cross(high bool) {
	f.crossed = &queue.BacklogEvent{Topic: f.topic.Name, High: high, Messages: f.held.Count, Bytes: f.held.Bytes}
	signal(f.engine.flows.crossed)
}

// tellAll tells what crossed a mark.
func (fs *flows) tellAll() {
	for _, f := range fs.all() {
		f.mu.Lock()
		x := f.crossed
		f.crossed = nil
		if x != nil && x.High == f.told {
			x = nil
		}
		if x != nil {
			f.told = x.High
		}
		f.mu.Unlock()
		if x != nil && fs.tell != nil {
			fs.tell(*x)
		}
	}
}

// movingStore is the store as the indexes of delayed messages see it: what they move to topics has the room that commits have.
type movingStore struct {
	storage.Store
	engine *engine
}

// Append implements storage.Store.
func (s movingStore) Append(ctx context.Context, e *storage.Entry) (storage.Durability, error) {
	var taken []use
	give := func(stored bool) {
		for _, u := range taken {
			u.flow.moved(e, u.weight, stored)
		}
	}
	for _, f := range s.engine.flows.all() {
		w := f.within(e)
		if w.Count == 0 {
			continue
		}
		if err := errors.Join(f.load(ctx), f.force(w, w.Count == 1)); err != nil {
			give(false)
			return 0, errors.Join(storage.ErrFull, err)
		}
		taken = append(taken, use{f, w})
	}
	d, err := s.Store.Append(ctx, e)
	stored := err == nil || errors.Is(err, storage.ErrIndeterminate)
	for _, f := range s.engine.flows.all() { // those of topics that have been bounded since
		if stored && f.within(e).Count > 0 && !slices.ContainsFunc(taken, func(u use) bool { return u.flow == f }) {
			taken = append(taken, use{flow: f})
		}
	}
	give(stored)
	return d, err
}

// within weighs what of e is for the topic.
func (f *flow) within(e *storage.Entry) (w backpressure.Weight) {
	for i := range e.Batches {
		b := &e.Batches[i]
		if _, ok := f.topic.index(b.Partition); ok {
			for j := range b.Records {
				w = w.Plus(backpressure.Weight{Count: 1, Bytes: int64(b.Records[j].Size())})
			}
		}
	}
	return w
}

// moved ends what e was let in with.
func (f *flow) moved(e *storage.Entry, w backpressure.Weight, stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reserved = f.reserved.Minus(w)
	for i := range e.Batches {
		b := &e.Batches[i]
		if n, ok := f.topic.index(b.Partition); stored && ok {
			for j := range b.Records {
				f.arrived(int32(n), b.Records[j].Offset, int64(b.Records[j].Size()))
			}
		}
	}
	f.settle()
}
