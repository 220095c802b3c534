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
	batchOf map[storage.PartitionID]int32
	headers []byte // of all messages, encoded
}

// place is where a message stands in the entry.
type place struct {
	topic         *topic
	partition     int32
	batch, record int32
}

// Publish implements queue.Engine.
func (e *engine) Publish(ctx context.Context, ms []queue.Message, rs []queue.Receipt) error {
	p := e.publishes.Get().(*publish)
	defer p.giveBack(e)
	var t *topic
	for i := range ms {
		next, err := e.admit(&ms[i], t)
		if err == nil && t != nil && t != next {
			err = t.goesWith(next)
		}
		if err != nil {
			if len(ms) > 1 {
				err = fmt.Errorf("message %d of %d: %w", i+1, len(ms), err)
			}
			return err
		}
		t = next
		p.placed = append(p.placed, place{topic: t})
	}
	p.fill(ms)
	reached, err := e.store.Append(ctx, &p.entry)
	if err != nil {
		return translate(err)
	}
	p.receipts(ms, rs, reached)
	return nil
}

// admit finds the topic of m, which often is that of the message before, and refuses what it does not take.
func (e *engine) admit(m *queue.Message, before *topic) (t *topic, err error) {
	if t = before; t == nil || t.Name != m.Topic {
		if t, err = e.topic(m.Topic); err != nil {
			return nil, err
		}
	}
	if size, most := m.Size(), t.manner.Load().config.MaxBytes; size > most {
		return nil, fmt.Errorf("%w: a message of %d bytes, topic %q allows %d", queue.ErrTooLarge, size, m.Topic, most)
	}
	if n, ok := m.Partition.N(); ok && (n < 0 || n >= t.Partitions) {
		return nil, fmt.Errorf("%w: partition %d of topic %q, which has %d", queue.ErrNotFound, n, m.Topic, t.Partitions)
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
		at.partition = int32(at.topic.choose(m))
		at.batch = p.batch(at.topic.Partition(int(at.partition)))
		b := &p.entry.Batches[at.batch]
		at.record = int32(len(b.Records))
		r := storage.Record{Timestamp: m.Timestamp, Key: m.Key, Value: m.Value, Headers: p.encode(m.Headers)}
		if r.Timestamp.IsZero() {
			if now.IsZero() {
				now = time.Now()
			}
			r.Timestamp = now
		}
		b.Records = append(b.Records, r)
	}
}

func (t *topic) choose(m *queue.Message) int {
	if n, ok := m.Partition.N(); ok {
		return n
	}
	switch {
	case t.Partitions == 1:
		return 0
	case m.Key != nil:
		return keyed(m.Key, t.Partitions)
	}
	return sticky(&t.turn, m.Size(), t.Partitions)
}

// batch returns the index of the batch of a partition.
func (p *publish) batch(id storage.PartitionID) int32 {
	bs := p.entry.Batches
	last := len(bs) - 1
	if last >= 0 && bs[last].Partition == id {
		return int32(last)
	}
	if n, ok := p.batchOf[id]; ok {
		return n
	}
	n := last + 1
	if n < cap(bs) {
		bs = bs[:n+1] // with the room for records that it had
	} else {
		bs = append(bs, storage.Batch{})
	}
	bs[n].Partition = id
	p.entry.Batches = bs
	p.batchOf[id] = int32(n)
	return int32(n)
}

func (p *publish) encode(hs queue.Headers) storage.Headers {
	if len(hs) == 0 {
		return nil
	}
	from := len(p.headers)
	for i := range hs {
		p.headers = storage.AppendHeader(p.headers, hs[i].Key, hs[i].Value)
	}
	return p.headers[from:len(p.headers):len(p.headers)]
}

func (p *publish) receipts(ms []queue.Message, rs []queue.Receipt, reached storage.Durability) {
	count := published{}
	for i := range p.placed {
		at := &p.placed[i]
		r := &p.entry.Batches[at.batch].Records[at.record]
		rs[i] = queue.Receipt{
			Position:   at.topic.position(int(at.partition), r.Offset),
			Durability: at.topic.reached(reached),
		}
		count.add(at.topic, ms[i].Size())
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
	return queue.NewPosition(t.Name, partition, t.IncarnationOf(partition, offset), offset)
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
	for i := range p.entry.Batches {
		b := &p.entry.Batches[i]
		clear(b.Records)
		b.Records = b.Records[:0]
	}
	p.entry.Batches = p.entry.Batches[:0]
	clear(p.placed)
	p.placed = p.placed[:0]
	clear(p.batchOf)
	p.headers = p.headers[:0]
	e.publishes.Put(p)
}
