package timers

import (
	"context"
	"errors"
	"slices"

	"github.com/leatmq/leat/storage"
)

var (
	// ErrGone: there is no timer of that ID. It became due, or was cancelled or moved, or is of another store.
	ErrGone = errors.New("timers: no such timer")
	// ErrNotTaken: the context ended, or the index, before anything was done.
	ErrNotTaken = errors.New("timers: not taken")
)

// request is a Cancel or Move that waits.
type request struct {
	id     ID
	move   bool
	due    int64
	moved  ID
	result chan error // of one
}

// Cancel removes a timer, durable on return as the inbox is. Either this or the timer's message takes effect, never both. Errors: ErrGone; ErrNotTaken joined with the
// cause; storage.ErrIndeterminate joined with ctx's error when ctx ended too late; those of storage.Store.Append.
func (x *Index) Cancel(ctx context.Context, id ID) error {
	return x.ask(ctx, &request{id: id, result: make(chan error, 1)})
}

// Move gives a timer another due time, and returns the ID that it has from then on. That depends on nothing but the arguments: a call that is made again, since nobody
// knows what became of the first, returns the same. Errors are those of Cancel.
func (x *Index) Move(ctx context.Context, id ID, due int64) (ID, error) {
	r := &request{id: id, move: true, due: due, result: make(chan error, 1)}
	err := x.ask(ctx, r)
	if err != nil {
		return ID{}, err
	}
	return r.moved, nil
}

func (x *Index) ask(ctx context.Context, r *request) error {
	select {
	case x.requests <- r:
	case <-ctx.Done():
		return errors.Join(ErrNotTaken, ctx.Err())
	case <-x.ended:
		return errors.Join(ErrNotTaken, x.why())
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-r.result:
		return err
	default:
		return errors.Join(storage.ErrIndeterminate, ctx.Err())
	}
}

// why tells why the index ended.
func (x *Index) why() error {
	if err := x.store.StopCause(); err != nil {
		return err
	}
	return storage.ErrClosed
}

// maxRequests bounds those that share an entry, and maxRequestBytes the messages that are moved in it.
const (
	maxRequests     = 128
	maxRequestBytes = 1 << 20
)

// round is the requests that share an entry, and what is stored with them.
type round struct {
	entry  storage.Entry
	taken  map[Key]bool // keys that are not, or not any more, when the entry is stored
	served []*request
	asides []aside
	bytes  int
}

// aside is where an Aside stands in the entry.
type aside struct {
	*Aside
	batch, record int
}

// maxRounds is how often the same requests are served, if what an Aside is for was deleted meanwhile.
const maxRounds = 4

// serve answers a request, and those that wait with it, by one entry.
func (x *Index) serve(first *request) {
	if err := x.catchUp(); err != nil {
		first.result <- err
		return
	}
	o := x.newRound()
	for r := first; r != nil; r = x.another(len(o.served), o.bytes) {
		x.admit(r, o)
	}
	err := x.storeRound(o)
	for n := 1; n < maxRounds && len(o.asides) > 0 && errors.Is(err, storage.ErrNotFound); n++ {
		again := x.newRound()
		for _, r := range o.served {
			x.admit(r, again)
		}
		o, err = again, x.storeRound(again)
	}
	for _, r := range o.served {
		r.result <- err
	}
}

func (x *Index) newRound() *round {
	return &round{entry: storage.Entry{Batches: []storage.Batch{{Partition: x.inboxID}}}, taken: map[Key]bool{}}
}

// admit adds to o what r needs, or answers it.
func (x *Index) admit(r *request, o *round) {
	n := len(o.entry.Batches[0].Records)
	if err := x.answer(r, o); err != nil || len(o.entry.Batches[0].Records) == n {
		r.result <- err // nothing is stored for it
		return
	}
	for _, rec := range o.entry.Batches[0].Records[n:] {
		o.bytes += rec.Size()
	}
	o.served = append(o.served, r)
}

// storeRound stores a round.
func (x *Index) storeRound(o *round) error {
	if len(o.served) == 0 {
		return nil
	}
	_, err := x.store.Append(x.ctx, &o.entry)
	if err == nil {
		inbox := o.entry.Batches[0].Records
		x.must = inbox[len(inbox)-1].Offset + 1
	}
	for _, a := range o.asides {
		a.Done(o.entry.Batches[a.batch].Records[a.record].Offset, err)
	}
	return err
}

// beside adds what is to be stored with the end or the move of it.
func (x *Index) beside(it *item, to ID, o *round) {
	if x.o.Alter == nil || it.Nonce == 0 {
		return
	}
	a := x.o.Alter(&Message{Envelope: it.Envelope, ID: x.name(it.Key), Record: it.record}, to)
	if a == nil {
		return
	}
	n := slices.IndexFunc(o.entry.Batches, func(b storage.Batch) bool { return b.Partition == a.Partition })
	if n < 0 {
		n = len(o.entry.Batches)
		o.entry.Batches = append(o.entry.Batches, storage.Batch{Partition: a.Partition})
	}
	b := &o.entry.Batches[n]
	o.asides = append(o.asides, aside{a, n, len(b.Records)})
	b.Records = append(b.Records, a.Record)
}

// another returns a request that waits, if the entry has room for it.
func (x *Index) another(n, bytes int) *request {
	if n >= maxRequests || bytes >= maxRequestBytes {
		return nil
	}
	select {
	case r := <-x.requests:
		return r
	default:
		return nil
	}
}

// catchUp takes in all that was in the inbox when it was called.
func (x *Index) catchUp() error {
	b, err := x.store.Bounds(x.inboxID)
	for err == nil && x.inbox.next < b.Next {
		before := x.inbox.next
		if _, err = x.intake(); err != nil || x.inbox.next > before {
			continue
		}
		if err = x.begin(); err != nil {
			break
		}
		if len(x.jobs) == 0 {
			return errors.Join(storage.ErrFull, errFull)
		}
		select {
		case j := <-x.done:
			x.adopt(j)
		case <-x.ctx.Done():
			err = storage.ErrClosed
		}
	}
	return err
}

var errFull = errors.New("timers: there are more messages than fit memory, and no run can be written")

// answer adds to o what a request needs, or nothing if a move was made before.
func (x *Index) answer(r *request, o *round) error {
	if !x.names(r.id) {
		return ErrGone
	}
	it, err := x.lookUp(r.id.Key, r.move || r.id.Nonce != 0, o.taken)
	if err != nil {
		return err
	}
	to := r.id.Key
	to.Due, to.Version = r.due, to.Version+1
	r.moved = ID{to, r.id.Incarnation}
	if it == nil {
		if r.move {
			if it, err = x.lookUp(to, false, o.taken); it != nil || err != nil {
				return err // it was moved before
			}
		}
		return ErrGone
	}
	o.taken[r.id.Key] = true
	grave := envelope{Envelope: Envelope{Due: it.Due, First: it.First, Pin: -1}, grave: true}
	grave.keyedAs(it.Key)
	b := &o.entry.Batches[0]
	b.Records = append(b.Records, storage.Record{Headers: appendEnvelope(nil, &grave)})
	if !r.move {
		x.beside(it, ID{}, o)
		return nil
	}
	x.beside(it, r.moved, o)
	it.Key, it.envelope.Due = to, to.Due
	b = &o.entry.Batches[0]
	b.Records = append(b.Records, it.keyedRecord())
	return nil
}

// lookUp finds a message that is not due or cancelled; nil if there is none. whole: with its record.
func (x *Index) lookUp(k Key, whole bool, taken map[Key]bool) (*item, error) {
	if taken[k] || x.inbox.graves[k] != nil {
		return nil, nil
	}
	if r := x.inbox.byKey[k]; r != nil {
		items := []item{r.item()}
		items[0].ref = r
		if !whole {
			return &items[0], nil
		}
		if err := x.gatherer.gather(x, items); err != nil || items[0].skipped {
			return nil, err
		}
		return &items[0], nil
	}
	it, grave, err := x.find(k)
	if grave {
		return nil, err
	}
	return it, err
}
