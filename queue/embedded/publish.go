package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// publish is one call of Publish, kept to be used again.
type publish struct {
	entry   storage.Entry
	placed  []place
	waits   []wait // of those that are delayed
	batchOf map[storage.PartitionID]int32
	headers []byte    // of all messages, encoded
	filled  time.Time // when the entry was made; zero: nobody had to know
	claims  claims
	uses    []use // of the flows of bounded topics
}

// place is where a message stands in the entry.
type place struct {
	topic         *topic
	partition     int32
	batch, record int32
	duplicate     bool  // it is left out
	dropped       bool  // the same, since its topic is full
	wait          int32 // it is delayed: the number in waits, from 1; 0: it is not
}

// Publish implements queue.Engine.
func (e *engine) Publish(ctx context.Context, ms []queue.Message, rs []queue.Receipt) error {
	p := e.publishes.Get().(*publish)
	defer p.giveBack(e)
	if err := e.place(ctx, p, ms); err != nil {
		return err
	}
	if err := p.claims.take(ctx, e, ms); err != nil {
		return err
	}
	p.leaveOut()
	if err := p.make(ctx, ms); err != nil {
		p.claims.abandon()
		return err
	}
	var reached storage.Durability
	var err error
	if len(p.entry.Batches) > 0 {
		reached, err = e.store.Append(ctx, &p.entry)
	}
	if err == nil {
		p.receipts(ms, rs, reached)
	}
	p.claims.settle(p, 0, err)
	err = translate(err)
	p.left(err)
	return err
}

// make makes the entry of ms, and waits for room for it. On an error nothing is taken.
func (p *publish) make(ctx context.Context, ms []queue.Message) error {
	if err := p.claims.name(ctx, p, 0); err != nil {
		return err
	}
	p.fill(ms)
	if err := p.enter(ctx, ms); err != nil {
		return err
	}
	if len(p.uses) == 0 { // nothing was waited for
		p.entry.Now = p.filled
	}
	return nil
}

// leaveOut has no duplicates stored.
func (p *publish) leaveOut() {
	for i := range p.claims.list {
		if c := &p.claims.list[i]; c.duplicate {
			p.placed[c.message].duplicate = true
		}
	}
}

// place finds where ms go, behind what p has already, and refuses what cannot be in one entry.
func (e *engine) place(ctx context.Context, p *publish, ms []queue.Message) error {
	var t *topic
	for i := range ms {
		at := place{}
		next, err := e.admit(&ms[i], t)
		if err == nil && t != nil && t != next {
			err = t.goesWith(next)
		}
		if err == nil && e.isDelayed(&ms[i]) {
			var w wait
			w, err = e.delays.delay(ctx, next, &ms[i])
			p.waits = append(p.waits, w)
			at.wait = int32(len(p.waits))
		}
		if err != nil {
			if len(ms) > 1 {
				err = fmt.Errorf("message %d of %d: %w", i+1, len(ms), err)
			}
			return err
		}
		t = next
		at.topic = t
		if !ms[i].Expires.IsZero() {
			e.sweeper.watch(t)
		}
		p.placed = append(p.placed, at)
	}
	return nil
}

// admit finds the topic of m, which often is that of the message before, and refuses what it does not take.
func (e *engine) admit(m *queue.Message, before *topic) (t *topic, err error) {
	if t = before; t == nil || t.Name != m.Topic {
		if t, err = e.topic(m.Topic); err != nil {
			return nil, err
		}
	}
	if size, most := m.Size(), t.manner.Load().config.MaxBytes; size > most && size-m.LibraryBytes() > most {
		return nil, fmt.Errorf("%w: a message of %d bytes, topic %q allows %d", queue.ErrTooLarge, size, m.Topic, most)
	}
	if n, ok := m.Partition.N(); ok && (n < 0 || n >= t.partitions()) {
		return nil, fmt.Errorf("%w: partition %d of topic %q, which has %d", queue.ErrNotFound, n, m.Topic, t.partitions())
	}
	return t, nil
}

// goesWith refuses to have messages of both topics in one batch, if only one of them outlives the process.
func (t *topic) goesWith(other *topic) error {
	if t.volatile == other.volatile {
		return nil
	}
	if t.volatile {
		t, other = other, t
	}
	return fmt.Errorf("%w: topic %q is in memory, topic %q is not", queue.ErrMixedDurability, other.Name, t.Name)
}

// fill makes the entry of ms, a batch for each partition.
func (p *publish) fill(ms []queue.Message) {
	var now time.Time
	for i := range ms {
		m, at := &ms[i], &p.placed[i]
		if at.duplicate {
			continue
		}
		w := p.wait(at)
		if w != nil {
			at.batch = p.batch(w.index.Inbox())
		} else {
			at.partition = int32(at.topic.choose(m))
			at.batch = p.batch(at.topic.Partition(int(at.partition)))
		}
		if now.IsZero() && (m.Timestamp.IsZero() || w != nil) {
			now = time.Now()
		}
		r := storage.Record{Timestamp: m.Timestamp, Key: m.Key, Value: m.Value, Headers: p.encode(m, w, now)}
		if r.Timestamp.IsZero() {
			r.Timestamp = now
		}
		at.record = p.add(at.batch, r)
		if w != nil && w.ids != nil {
			w.batch = p.batch(w.log)
			w.record = p.add(w.batch, p.waitRecord(m.ID, now, w.timerID))
		}
	}
	p.filled = now
}

// add adds a record to a batch, and returns its number there.
func (p *publish) add(batch int32, r storage.Record) int32 {
	b := &p.entry.Batches[batch]
	b.Records = append(b.Records, r)
	return int32(len(b.Records) - 1)
}

func (t *topic) choose(m *queue.Message) int {
	if n, ok := m.Partition.N(); ok {
		return n
	}
	return t.spread(m.Key, m.Size())
}

// spread chooses the partition of a message that names none.
func (t *topic) spread(key []byte, size int) int {
	switch n := t.partitions(); {
	case n == 1:
		return 0
	case key != nil:
		return keyed(key, n)
	default:
		return sticky(&t.turn, size, n)
	}
}

// batch returns the index of the batch of a partition.
func (p *publish) batch(id storage.PartitionID) int32 {
	bs := p.entry.Batches
	n := len(bs)
	if n <= fewBatches {
		for i := n - 1; i >= 0; i-- {
			if bs[i].Partition == id {
				return int32(i)
			}
		}
	} else if i, ok := p.batchOf[id]; ok {
		return i
	}
	if n < cap(bs) {
		bs = bs[:n+1] // with the room for records that it had
	} else {
		bs = append(bs, storage.Batch{})
	}
	bs[n].Partition = id
	p.entry.Batches = bs
	switch {
	case n == fewBatches:
		for i := range bs {
			p.batchOf[bs[i].Partition] = int32(i)
		}
	case n > fewBatches:
		p.batchOf[id] = int32(n)
	}
	return int32(n)
}

// fewBatches is how many batches are looked through one by one, which costs less than a map.
const fewBatches = 8

func (p *publish) receipts(ms []queue.Message, rs []queue.Receipt, reached storage.Durability) {
	for i := range ms {
		at := &p.placed[i]
		if at.duplicate {
			rs[i].Dropped = at.dropped
			continue
		}
		r := &p.entry.Batches[at.batch].Records[at.record]
		rs[i] = queue.Receipt{Durability: at.topic.reached(reached)}
		if w := p.wait(at); w != nil {
			rs[i].Timer = w.timer(r.Offset)
			continue
		}
		rs[i].Position = at.topic.position(int(at.partition), r.Offset)
	}
	for i := range p.claims.list {
		if c := &p.claims.list[i]; c.duplicate {
			rs[c.message] = c.receipt()
		}
	}
	p.count(ms)
}

// count counts ms, which are stored. What is delayed is counted when it comes to its topic.
func (p *publish) count(ms []queue.Message) {
	count := published{}
	for i := range ms {
		if at := &p.placed[i]; !at.duplicate && at.wait == 0 {
			count.add(p.placed[i].topic, ms[i].Size())
		}
	}
	count.add(nil, 0)
}

// published counts messages of one topic after another, since atomic counters are not for each message.
type published struct {
	topic          *topic
	records, bytes int64
}

func (c *published) add(t *topic, bytes int) {
	if c.topic != t && c.topic != nil {
		c.topic.published.Add(c.records)
		c.topic.publishedBytes.Add(c.bytes)
		c.records, c.bytes = 0, 0
	}
	c.topic = t
	c.records++
	c.bytes += int64(bytes)
}

func (t *topic) position(partition int, offset int64) queue.Position {
	return queue.NewPosition(t.Name, partition, t.shape.Load().stored.IncarnationOf(partition, offset), offset)
}

// reached says what the topic's messages have when the store reached d.
func (t *topic) reached(d storage.Durability) queue.Durability {
	switch {
	case d == storage.InMemory:
		return queue.Memory
	case d == storage.Synced:
		return queue.Synced
	case t.manner.Load().config.Durability == queue.Interval:
		return queue.Interval
	}
	return queue.OS
}

// maxKept bounds what a publish keeps to be used again, in messages and in bytes of headers.
const maxKept = 4096

// giveBack forgets the caller's slices.
func (p *publish) giveBack(e *engine) {
	if len(p.placed) > maxKept || cap(p.headers) > 64*maxKept {
		return
	}
	p.reset()
	e.publishes.Put(p)
}

// reset forgets what p is made of, and keeps the memory.
func (p *publish) reset() {
	p.empty()
	clear(p.placed)
	p.placed = p.placed[:0]
	clear(p.waits)
	p.waits = p.waits[:0]
	clear(p.uses)
	p.uses = p.uses[:0]
	p.entry.Cursors = p.entry.Cursors[:0]
	p.entry.Now = time.Time{}
}

// empty forgets what fill made.
func (p *publish) empty() {
	for i := range p.entry.Batches {
		b := &p.entry.Batches[i]
		clear(b.Records)
		b.Records = b.Records[:0]
	}
	p.entry.Batches = p.entry.Batches[:0]
	if len(p.batchOf) > 0 {
		clear(p.batchOf)
	}
	p.headers = p.headers[:0]
}
