package embedded

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/storage"
)

// Messages that are past their Expires are removed from the front of their partitions, up to the first that is not: the store removes what is oldest, whole, and does not know what a header means. Only topics are
// looked at in which this process has met a message that expires: all others cost nothing.

// How often partitions are looked at, and how much of one at a time is read.
const (
	sweepEvery = 10 * time.Second
	sweepBytes = 16 << 20
	sweepAgain = time.Second // after a look that did not come to an end
)

// maxSpans bounds what is remembered of a partition: what is removed one after the other is one span.
const maxSpans = 16

// sweeper removes what has expired.
type sweeper struct {
	engine *engine
	begun  chan struct{} // of one: there is a topic

	// Of its goroutine.
	heads   map[storage.PartitionID]head
	records []storage.Record
	buf     []byte

	mu     sync.Mutex
	topics []*topic                       // guarded by mu; that have, or had, messages that expire
	spans  map[storage.PartitionID][]span // guarded by mu; what was removed since the open, in order
}

// head is the first message of a partition, as it was at the last look.
type head struct {
	offset  int64
	expires time.Time // zero: never
}

// span is messages that were removed: their offsets, and as how many they were counted before.
type span struct {
	from, to           int64
	fromCount, toCount int64
}

func (s *sweeper) init(e *engine) {
	s.engine = e
	s.begun = make(chan struct{}, 1)
	s.heads, s.spans = map[storage.PartitionID]head{}, map[storage.PartitionID][]span{}
}

// watch has t be looked at from now on: it has, or is about to have, a message that expires.
func (s *sweeper) watch(t *topic) {
	if t.expiring.Load() || s.engine.kind == readOnly || t.expiring.Swap(true) {
		return
	}
	s.mu.Lock()
	s.topics = append(s.topics, t)
	s.mu.Unlock()
	signal(s.begun)
}

// run is the engine's goroutine for it.
func (s *sweeper) run() {
	e := s.engine
	select {
	case <-s.begun:
	case <-e.closed:
		return
	}
	look := time.NewTimer(sweepEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			next := sweepEvery
			if s.pass(e.flusher.ctx) {
				next = sweepAgain
			}
			look.Reset(next)
		case <-e.closed:
			return
		case <-e.store.Stopped():
			return
		}
	}
}

// pass looks at all topics once. It is true if there is more to do. What fails is tried again at the next pass.
func (s *sweeper) pass(ctx context.Context) (more bool) {
	if s.engine.roster.load() != nil { // else it is not known what groups want
		return false
	}
	s.mu.Lock()
	s.topics = slices.DeleteFunc(s.topics, func(t *topic) bool {
		if t.gone.Load() {
			s.forget(t)
		}
		return t.gone.Load()
	})
	topics := slices.Clone(s.topics)
	s.mu.Unlock()
	for _, t := range topics {
		for n := range t.partitions() {
			again, err := s.look(ctx, t, t.Partition(n))
			more = more || again && err == nil
		}
	}
	return more
}

// forget drops what is known of a topic that is deleted. It is called with s.mu held.
func (s *sweeper) forget(t *topic) {
	for n := range t.partitions() {
		delete(s.heads, t.Partition(n))
		delete(s.spans, t.Partition(n))
	}
}

// look removes what has expired at the front of a partition of t. It is true if it did not come to the end of that.
func (s *sweeper) look(ctx context.Context, t *topic, id storage.PartitionID) (more bool, err error) {
	e := s.engine
	b, err := e.store.Bounds(id)
	if err != nil || b.First == b.Next {
		return false, err
	}
	if h, known := s.heads[id]; known && h.offset == b.First && !e.hasExpired(h.expires) {
		return false, nil
	}
	limit := min(b.Next, s.held(t, id))
	if limit <= b.First {
		return false, nil
	}
	f, err := s.expired(id, b.First, limit)
	if err != nil { // what is behind damage waits until that is mended or given up
		return false, err
	}
	if f.next > b.First && f.records > 0 {
		if err := s.remove(ctx, t, id, b.First, &f); err != nil {
			return false, err
		}
	}
	delete(s.heads, id)
	if f.head != (head{}) {
		s.heads[id] = f.head
	}
	return f.more, nil
}

// front is what was found at the front of a partition.
type front struct {
	next    int64 // below that all has expired
	records int64 // so many
	head    head  // what is first then; zero: it is not known
	more    bool  // not all was read
}

// expired finds what has expired from an offset on, up to a limit.
func (s *sweeper) expired(id storage.PartitionID, from, limit int64) (f front, err error) {
	f.next = from
	for read := 0; f.next < limit; {
		if read >= sweepBytes {
			f.more = true
			return f, nil
		}
		var next int64
		s.records, next, err = s.engine.store.ReadInto(s.records[:0], &s.buf, id, f.next, readBytes)
		if err != nil || len(s.records) == 0 {
			return f, err
		}
		for i := range s.records {
			r := &s.records[i]
			if r.Offset >= limit {
				f.next = limit
				return f, nil
			}
			at := expiryOf(r.Headers)
			if !s.engine.hasExpired(at) {
				f.next, f.head = r.Offset, head{r.Offset, at}
				return f, nil
			}
			read += r.Size()
			f.records++
		}
		f.next = min(next, limit)
	}
	return f, nil
}

// held returns below which offset no group keeps expired messages: one that is to have them among its dead letters does, and where the topic waits for groups, all do.
func (s *sweeper) held(t *topic, id storage.PartitionID) int64 {
	limit := int64(math.MaxInt64)
	for _, g := range s.engine.allGroups() {
		g.mu.Lock()
		holds := g.buries || t.manner.Load().strategy.Cleanup.HoldForGroups
		g.mu.Unlock()
		if !holds {
			continue
		}
		if c, ok := s.engine.store.Cursor(g.id, id); ok { // what survives a crash, and no more
			limit = min(limit, c.Floor)
		}
	}
	return limit
}

// remove removes what was found of a partition that begins at first.
func (s *sweeper) remove(ctx context.Context, t *topic, id storage.PartitionID, first int64, f *front) error {
	e := s.engine
	before, err := e.store.Ordinal(id, first)
	if err != nil {
		return err
	}
	after, err := e.store.Ordinal(id, f.next)
	if err != nil {
		return err
	}
	s.note(id, span{first, f.next, before, after}) // before others find it gone
	if err := e.trim(ctx, t, id, f.next); err != nil {
		return err
	}
	t.swept.Add(f.records)
	return nil
}

// note remembers what is about to be removed. That it is not, in the end, is no matter: it has expired, whatever else removes it.
func (s *sweeper) note(id storage.PartitionID, x span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spans := s.spans[id]
	if n := len(spans); n > 0 && spans[n-1].to >= x.from {
		spans[n-1].to, spans[n-1].toCount = x.to, x.toCount
		return
	}
	if len(spans) == maxSpans {
		spans = slices.Delete(spans, 0, 1)
	}
	s.spans[id] = append(spans, x)
}

// took counts those of n messages that were removed here. They are the last ones that were counted below an offset, but for what was done among them.
func (s *sweeper) took(id storage.PartitionID, below, n int64) (taken int64) {
	s.mu.Lock()
	spans := slices.Clone(s.spans[id])
	s.mu.Unlock()
	if len(spans) == 0 || n == 0 {
		return 0
	}
	end, err := s.engine.store.Ordinal(id, below)
	if err != nil {
		return 0
	}
	for _, x := range spans {
		taken += max(0, min(end, x.toCount)-max(end-n, x.fromCount))
	}
	return min(taken, n)
}

// tookAt tells whether the message at an offset was removed here.
func (s *sweeper) tookAt(id storage.PartitionID, offset int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.spans[id], func(x span) bool { return x.from <= offset && offset < x.to })
}
