package timers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
)

// The numbers of partitions: of a topic for what is published and the ledger, and of one for runs.
const (
	inboxNumber     = 0
	LedgerPartition = 1 // what is delivered hangs on its newest record
	maxRuns         = 64
)

// RunsSuffix makes the name of the topic of runs from that of the inbox.
const RunsSuffix = ".runs"

// Options of an Index. Store, Name, Place and Told are required.
type Options struct {
	Store storage.Store
	// Name is that of the topic with the inbox. It and the topic of runs are made if they are not there.
	Name     string
	Strategy storage.Strategy // of both; runs are not synced by themselves, since the ledger is
	// Place says where a message that is due goes: to a partition, or, with a Fate other than Deliver in m, nowhere. It is called again for a message that could not be
	// stored there.
	Place func(m *Message) storage.PartitionID
	// Count is called, in the index's goroutine, with messages that left it, when that is durable. They are not to be kept. Stats waits for it, so it must not ask for
	// them. nil: nothing is counted.
	Count func(ms []Message)
	// Told is called after Count, with the same, when Stats says so.
	Told func(ms []Message)
	// Leave is called with messages that are about to leave the index in one entry, and what it returns when it is known what came of that, before anything else is done: nil, and
	// then their records have offsets, or the store's error. They are not to be kept. nil: nobody wants to know.
	Leave func(ms []Message) func(error)
	// Alter is called when a message that was published with a chosen key is about to be cancelled, or moved to another ID; to is zero if it is cancelled. It says what is to be stored
	// in the same entry; nil: nothing. m is not to be kept. nil: never anything.
	Alter func(m *Message, to ID) *Aside
	Now   func() time.Time // the wall clock; nil: time.Now
	// References is how many messages are kept in memory by some bytes each before a run is written; twice as many at most. 0: 32,768.
	References int

	ledgers int // of a test, which wants to see things sooner; 0: tidyLedgers
}

// Aside is what is stored together with the end or the move of a timer.
type Aside struct {
	Partition storage.PartitionID
	Record    storage.Record
	Done      func(offset int64, err error) // is called when it is known what came of it: with the record's offset, or the store's error
}

// Message is a message that is due.
type Message struct {
	Envelope
	ID     ID
	Record storage.Record // Offset and Appended once it was delivered
	To     storage.PartitionID
	Fate   Fate
}

// Fate is what becomes of a message that is due.
type Fate uint8

// Deliver is the zero Fate. The others are the business of Options.Place.
const Deliver Fate = 0

// Index keeps messages until they are due. Its methods may be called at the same time. It has one goroutine, which changes everything, and some that write runs.
type Index struct {
	o        Options
	store    storage.Store
	topic    storage.Topic // of inbox and ledger
	runTopic storage.Topic
	inboxID  storage.PartitionID
	ledgerID storage.PartitionID
	watcher  *storage.Watcher
	unwatch  func()
	requests chan *request
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup
	ended    chan struct{} // closed when nothing is served any more
	ready    chan struct{} // closed when what was there at the open is counted, or cannot be
	chosen   atomic.Int64  // the Seq of the newest chosen key

	mu      sync.Mutex
	pending map[storage.PartitionID]int64 // guarded by mu; messages, by the first partition of their topic
	next    int64                         // guarded by mu; the least due time; 0: none
	waiting int64                         // guarded by mu; the same of what is not held up by a target that is full
	figures Figures                       // guarded by mu
	err     error                         // guarded by mu; what goes wrong at present
	begun   int64                         // guarded by mu; steps
	counted int64                         // guarded by mu; steps that were stored and counted, or refused
	changed chan struct{}                 // guarded by mu; closed when a look may be over; nil: nobody looks

	// Of the goroutine alone.
	ledger  ledger
	inbox   inbox
	runs    []*run
	jobs    []*job
	done    chan *job
	loading bool // nothing is moved before all that was there at the open is known
	until   int64
	must    int64                         // up to here the inbox has tombstones: nothing is moved before they are known
	held    map[storage.PartitionID]*hold // topics that are full
	heldAll time.Time                     // nothing is moved before
	careful int                           // so many steps move one message only, since a target may be full
	again   time.Time                     // no job begins before
	failed  error                         // why
	unsaved int                           // offsets that were done and are not in the stored ledger
	stored  int                           // ledgers stored since the last trim
	freed   int64                         // bytes moved since the last trim
	newest  int64                         // offset of the stored ledger
	firm    int64                         // its floor
	buf     []byte
	records []storage.Record
	gatherer
}

// Open returns an index that moves what is due from then on, and finds again what was there. It has to be closed before the store is.
func Open(ctx context.Context, o Options) (*Index, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.References == 0 {
		o.References = 1 << 15
	}
	if o.ledgers == 0 {
		o.ledgers = tidyLedgers
	}
	x := &Index{
		o: o, store: o.Store,
		watcher:  storage.NewWatcher(),
		requests: make(chan *request),
		ended:    make(chan struct{}),
		ready:    make(chan struct{}),
		done:     make(chan *job, maxJobs+1), // one of them writes what is in memory
		pending:  map[storage.PartitionID]int64{},
		held:     map[storage.PartitionID]*hold{},
	}
	var err error
	if x.topic, err = ensure(ctx, o.Store, storage.TopicSpec{Name: o.Name, Partitions: 2, Strategy: o.Strategy}); err != nil {
		return nil, err
	}
	unsynced := o.Strategy
	if unsynced.Level != storage.MemoryOnly {
		unsynced.Sync = storage.SyncOS
	}
	if x.runTopic, err = ensure(ctx, o.Store, storage.TopicSpec{Name: o.Name + RunsSuffix, Partitions: maxRuns, Strategy: unsynced}); err != nil {
		return nil, err
	}
	x.inboxID, x.ledgerID = x.topic.Partition(inboxNumber), x.topic.Partition(LedgerPartition)
	if x.unwatch, err = o.Store.Watch(x.inboxID, x.watcher); err != nil {
		return nil, err
	}
	x.ctx, x.stop = context.WithCancel(context.Background())
	x.running.Go(x.run)
	return x, nil
}

// ensure makes a topic, or finds it.
func ensure(ctx context.Context, s storage.Store, spec storage.TopicSpec) (storage.Topic, error) {
	t, ok := s.Topic(spec.Name)
	if ok {
		return t, nil
	}
	t, err := s.CreateTopic(ctx, spec)
	if errors.Is(err, storage.ErrExists) {
		t, _ = s.Topic(spec.Name)
		err = nil
	}
	return t, err
}

// Close ends what the index does, within one append.
func (x *Index) Close() {
	x.stop()
	x.running.Wait()
	x.unwatch()
}

// Inbox is where delayed messages are appended to, with AppendHeaders.
func (x *Index) Inbox() storage.PartitionID { return x.inboxID }

// ID names the timer of a message that was stored in the inbox.
func (x *Index) ID(due, offset int64) ID { return x.name(Key{Due: due, Seq: offset}) }

// Choose chooses a key for a message that is about to be stored in the inbox, for whoever has to know it before: it is the message's ID. It stands where the offset would have it stand, or
// close by. No other message has it, of a copy of the store neither.
func (x *Index) Choose(due int64) (ID, error) {
	b, err := x.store.Bounds(x.inboxID)
	if err != nil {
		return ID{}, err
	}
	for {
		last := x.chosen.Load()
		if seq := max(last+1, b.Next); x.chosen.CompareAndSwap(last, seq) {
			return ID{Key: Key{Due: due, Seq: seq, Nonce: 1 + rand.Uint32N(1<<32-1)}}, nil
		}
	}
}

func (x *Index) name(k Key) ID {
	if k.Nonce != 0 {
		return ID{Key: k}
	}
	return ID{k, x.topic.IncarnationOf(inboxNumber, k.Seq)}
}

// names tells whether id can be that of a message of this index.
func (x *Index) names(id ID) bool {
	return id.Nonce != 0 || x.topic.Holds(id.Incarnation, inboxNumber, id.Seq)
}

func (x *Index) now() int64 { return x.o.Now().UnixNano() }

// over tells whether err ends the index: the store was closed or stopped, or the index is being closed.
func (x *Index) over(err error) bool {
	var stopped *storage.StoppedError
	return x.ctx.Err() != nil || errors.Is(err, storage.ErrClosed) || errors.As(err, &stopped) || errors.Is(err, storage.ErrIndeterminate)
}

// lookAgain is how often the wall clock is looked at, so that one that was set ahead is noticed.
const lookAgain = time.Second

// run is the index's goroutine.
func (x *Index) run() {
	counted := sync.OnceFunc(func() { close(x.ready) })
	defer close(x.ended)
	defer counted()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for loaded := false; !loaded; {
		err := x.load()
		if loaded = err == nil; loaded {
			break
		}
		x.report(err)
		counted()
		timer.Reset(lookAgain)
		select {
		case r := <-x.requests:
			r.result <- err
		case <-timer.C:
		case <-x.ctx.Done():
			return
		case <-x.store.Stopped():
			return
		}
	}
	for {
		more, err := x.work()
		if err != nil && x.over(err) {
			x.stop() // jobs end with it
			return
		}
		if x.report(err); err == nil && time.Now().Before(x.again) {
			x.report(x.failed)
		}
		timer.Reset(x.sleep(more, err))
		if !x.loading || err != nil {
			counted()
		}
		select {
		case r := <-x.requests:
			x.serve(r)
		case <-x.watcher.C():
			x.watcher.Take(nil)
		case j := <-x.done:
			x.adopt(j)
		case <-timer.C:
		case <-x.ctx.Done():
			return
		}
	}
}

// sleep says how long there is nothing to do unless something happens.
func (x *Index) sleep(more bool, err error) time.Duration {
	next, free := x.show()
	wait := lookAgain
	switch {
	case err != nil:
		return retryAfter
	case more:
		return 0
	case next == 0:
		wait = idleFor
	}
	if free != 0 {
		wait = min(wait, time.Duration(free-x.now()))
	}
	for _, h := range x.held {
		wait = min(wait, time.Until(h.until))
	}
	if rest := time.Until(x.again); rest > 0 {
		wait = min(wait, rest)
	}
	if rest := time.Until(x.heldAll); rest > 0 {
		wait = rest
	}
	return max(wait, 0)
}

const (
	retryAfter = 200 * time.Millisecond // after something could not be done
	idleFor    = time.Hour
)

// load takes up what the store has.
func (x *Index) load() error {
	if err := x.readLedger(); err != nil {
		return err
	}
	b, err := x.store.Bounds(x.inboxID)
	if err != nil {
		return err
	}
	x.inbox = newInbox(x.ledger.floor)
	x.runs = nil
	for _, s := range x.ledger.runs {
		x.runs = append(x.runs, &run{index: x, span: s, next: s.at})
	}
	x.firm = x.ledger.floor
	for first, n := range x.ledger.ran {
		x.tally(first, n)
	}
	x.loading, x.until = true, b.Next
	return x.clear()
}

// work does some of what there is to do. It is true if there is more.
func (x *Index) work() (more bool, err error) {
	more, err = x.intake()
	if x.loading && x.inbox.next >= x.until {
		x.loading = false
	}
	if err == nil {
		err = x.begin()
	}
	moved := false
	if err == nil {
		moved, err = x.promote()
	}
	if err == nil {
		err = x.tidy()
	}
	return more || moved, err
}
