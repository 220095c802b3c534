package core

import (
	"slices"
	"sync"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Entry is an entry under way: its frames, encoded but for what only their place in the order tells.
type Entry struct {
	Frames []Frame
	Bytes  int  // of all frames, with headers and padding
	Sync   bool // the strictest topic wants a sync before the entry counts
	Always bool // it has records of a SyncAlways topic
	// Interval is the shortest that a topic wants a sync within; 0: none.
	Interval int64
	Group    *Group // the backend's: what it commits with
	Number   uint64 // the backend's

	MakesRoom bool  // see storage.Entry
	At        int64 // by the wall clock, in nanoseconds of Unix time

	volatile bool     // all of it is in memory only
	placed   []placed // cursors that are in memory only
	deletes  func()   // makes what the entry deletes unknown to entries that are staged later
	core     *Core
	about    int          // bytes of the frames
	buf      []byte       // the frames, one behind the other
	parts    []*Partition // of the batches, ascending by ID: to be locked
}

// Frame is a frame of an entry under way.
type Frame struct {
	Header frame.Header
	Part   *Partition // of a batch

	at      int              // where it begins in buf
	records []storage.Record // of a batch that is committed in place, which buf does not have
	block   *Block           // the same: where they are, at body, retained
	body    int
	topic   *storage.Topic
	group   *storage.Group
	cursor  CursorKey
	owner   *Partition // that a frame without records is about, nil if none
	effect  func()     // what the frame changes when it commits, of kinds that have no field of their own

	watches []*storage.Watcher // of Part, of a frame that was committed in place
}

// Raw returns the frame's bytes: room for a header, the body, padding.
func (e *Entry) Raw(f *Frame) []byte {
	return e.buf[f.at : f.at+f.Header.Size()]
}

// Body returns the frame's body.
func (e *Entry) Body(f *Frame) []byte {
	return e.buf[f.at+frame.HeaderSize : f.at+frame.HeaderSize+int(f.Header.BodyLen)]
}

// Seal writes the frame's header into its bytes and returns them.
func (e *Entry) Seal(f *Frame) []byte {
	raw := e.Raw(f)
	f.Header.Put(raw, e.core.seed)
	return raw
}

// Push adds the frame, a batch, to its partition's tail. Its body lies in b at body.
func (f *Frame) Push(b *Block, body int) {
	if !f.Part.Volatile() { // else it was claimed
		f.Part.share.bytes.Add(int64(f.Header.Size()))
	}
	f.Part.push(&f.Header, b, body)
}

func (e *Entry) reset() {
	clear(e.Frames)
	clear(e.parts)
	clear(e.placed)
	core, buf := e.core, e.buf[:0]
	if cap(buf) > 256<<10 {
		buf = nil
	}
	*e = Entry{Frames: e.Frames[:0], core: core, buf: buf, parts: e.parts[:0], placed: e.placed[:0]}
}

// begin makes room for a header and returns where it is.
func (e *Entry) begin() int {
	at := len(e.buf)
	if at == 0 {
		e.buf = slices.Grow(e.buf, e.about)
	}
	var header [frame.HeaderSize]byte
	e.buf = append(e.buf, header[:]...)
	return at
}

// finish pads the body that was appended since begin and adds the frame.
func (e *Entry) finish(at int, f Frame) {
	body := e.buf[at+frame.HeaderSize:]
	f.at = at
	f.Header.BodyLen = uint32(len(body))
	if e.core.sums(f.Part) {
		f.Header.BodySum = e.core.seed.Sum(body)
	}
	var zeros [8]byte
	e.buf = append(e.buf, zeros[:f.Header.Size()-frame.HeaderSize-len(body)]...)
	e.add(f)
}

func (e *Entry) add(f Frame) {
	e.Frames = append(e.Frames, f)
	e.Bytes += f.Header.Size()
}

func (e *Entry) addBatch(p *Partition, b *storage.Batch) {
	n := uint32(len(b.Records))
	f := Frame{Part: p, Header: frame.Header{Kind: frame.Batch, Partition: uint32(p.ID), Span: n, Count: n, Time: e.At}}
	if e.core.inPlace(p) {
		f.records = b.Records
		for i := range f.records {
			f.Header.BodyLen += uint32(frame.EncodedSize(&f.records[i]))
		}
		e.add(f)
	} else {
		at := e.begin()
		for i := range b.Records {
			e.buf = frame.AppendRecord(e.buf, &b.Records[i])
		}
		e.finish(at, f)
	}
	e.parts = append(e.parts, p)
	policy := p.Strategy().Sync
	e.demand(policy)
	e.Always = e.Always || policy == storage.SyncAlways
}

func (e *Entry) addCursor(p *Partition, c *storage.Cursor) {
	at := e.begin()
	e.buf = frame.AppendCursor(e.buf, c)
	e.finish(at, Frame{cursor: CursorKey{c.Group, c.Partition}, owner: p, Header: frame.Header{
		Kind: frame.Cursor, Partition: uint32(c.Partition),
	}})
	e.demand(p.Strategy().Sync)
}

// AddState adds a frame that is neither records nor a cursor. It is synced, and effect runs when it has committed: in the order of all
// entries, with no lock held. p is the partition that it is about; nil if it is about none.
func (e *Entry) AddState(kind frame.Kind, p *Partition, base int64, body []byte, effect func()) {
	at := e.begin()
	e.buf = append(e.buf, body...)
	h := frame.Header{Kind: kind, Base: base}
	if p != nil {
		h.Partition = uint32(p.ID)
	}
	e.finish(at, Frame{owner: p, effect: effect, Header: h})
	e.Sync = true
}

func (e *Entry) addTopic(t *storage.Topic) {
	at := e.begin()
	e.buf = frame.AppendTopic(e.buf, t)
	e.finish(at, Frame{topic: t, Header: frame.Header{Kind: frame.Topic}})
	e.Sync = true
}

func (e *Entry) addGroup(g *storage.Group) {
	at := e.begin()
	e.buf = frame.AppendGroup(e.buf, g)
	e.finish(at, Frame{group: g, Header: frame.Header{Kind: frame.Group}})
	e.Sync = true
}

func (e *Entry) demand(p storage.SyncPolicy) {
	if p == storage.SyncAlways {
		e.Sync = true
	}
	if d := int64(p.Interval()); d > 0 && (e.Interval == 0 || d < e.Interval) {
		e.Interval = d
	}
}

// order sorts the partitions to be locked; it returns false if one is there twice.
func (e *Entry) order() bool {
	if len(e.parts) < 2 {
		return true
	}
	slices.SortFunc(e.parts, func(a, b *Partition) int { return int(a.ID) - int(b.ID) })
	for i, p := range e.parts[1:] {
		if p == e.parts[i] {
			return false
		}
	}
	return true
}

// lock keeps others from appending to the partitions of e.
func (e *Entry) lock() {
	for _, p := range e.parts {
		p.appender(e.core).Lock()
	}
}

func (e *Entry) unlock() {
	for _, p := range e.parts {
		p.appender(e.core).Unlock()
	}
}

// appender is the lock of who appends to p. What is committed in place is copied under it, and readers wait for none of that.
func (p *Partition) appender(c *Core) *sync.Mutex {
	if c.inPlace(p) {
		return &p.appending
	}
	return &p.mu
}

// number gives the batches their offsets. Their partitions are locked.
func (e *Entry) number() {
	for i := range e.Frames {
		if f := &e.Frames[i]; f.Part != nil {
			f.Header.Base = f.Part.next
			f.Header.Time = e.core.Clock.Stamp(f.Header.Time, f.Part.time)
		}
	}
	if n := len(e.Frames); n > 0 {
		e.Frames[n-1].Header.Flags |= frame.End
	}
}

// Parts is how many partitions e has records of.
func (e *Entry) Parts() int { return len(e.parts) }

// Small tells that e has no records: only state, which takes the place of older state.
func (e *Entry) Small() bool { return len(e.parts) == 0 }
