package embedded

import (
	"context"
	"fmt"
	"iter"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// Read implements queue.EngineReader.
func (e *engine) Read(ctx context.Context, r queue.Range) iter.Seq2[*queue.Record, error] {
	return func(yield func(*queue.Record, error) bool) {
		rd, err := e.reader(r)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rd.close()
		for {
			enough, err := rd.drain(ctx, yield)
			if enough || err == nil && !r.Follow {
				return
			}
			if err == nil {
				err = rd.wait(ctx)
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// reader is a Read in progress.
type reader struct {
	engine  *engine
	topic   *topic
	follow  bool
	parts   map[storage.PartitionID]*readerPart
	unread  []*readerPart // in turn
	watcher *storage.Watcher
	grown   <-chan struct{} // closed when the topic has more partitions; nil: they do not matter
	news    []storage.PartitionID
	unwatch []func()
	records []storage.Record
	buf     *[]byte      // what records are part of, if they are borrowed
	record  queue.Record // the one that is lent
}

type readerPart struct {
	number    int
	next, end int64 // from where, and up to where unless it follows
	listed    bool  // in unread
}

func (rd *reader) list(p *readerPart) {
	if !p.listed {
		p.listed = true
		rd.unread = append(rd.unread, p)
	}
}

func (e *engine) reader(r queue.Range) (*reader, error) {
	t, err := e.topic(r.Topic)
	if err != nil {
		return nil, err
	}
	if err := e.checkStart(r.From); err != nil {
		return nil, err
	}
	rd := &reader{engine: e, topic: t, follow: r.Follow, watcher: storage.NewWatcher()}
	numbers := r.Partitions
	if numbers == nil {
		s := t.shape.Load()
		for n := range s.partitions {
			numbers = append(numbers, n)
		}
		rd.grown = s.replaced
	}
	if r.Borrowed {
		rd.buf = new([]byte)
	}
	rd.parts = make(map[storage.PartitionID]*readerPart, len(numbers))
	for _, n := range numbers {
		if err := rd.open(n, r.From); err != nil {
			rd.close()
			return nil, err
		}
	}
	return rd, nil
}

func (rd *reader) open(n int, from queue.Start) error {
	e, t := rd.engine, rd.topic
	if n < 0 || n >= t.partitions() {
		return fmt.Errorf("%w: partition %d of topic %q, which has %d", queue.ErrNotFound, n, t.Name, t.partitions())
	}
	s, err := e.begin(t, n, from)
	if err != nil {
		return err
	}
	b, err := e.store.Bounds(t.Partition(n))
	if err != nil {
		return translate(err)
	}
	p := &readerPart{number: n, next: s.Floor, end: b.Next}
	rd.parts[t.Partition(n)] = p
	rd.list(p)
	if !rd.follow {
		return nil
	}
	unwatch, err := e.store.Watch(t.Partition(n), rd.watcher)
	if err != nil {
		return translate(err)
	}
	rd.unwatch = append(rd.unwatch, unwatch)
	return nil
}

func (rd *reader) close() {
	for _, unwatch := range rd.unwatch {
		unwatch()
	}
}

// drain reads a piece of each partition that has something, in turn, until none has. It ends early when the caller had enough.
func (rd *reader) drain(ctx context.Context, yield func(*queue.Record, error) bool) (enough bool, err error) {
	for len(rd.unread) > 0 {
		p := rd.unread[0]
		rd.unread = rd.unread[1:]
		p.listed = false
		if err := ctx.Err(); err != nil {
			return false, err
		}
		rs, next, err := rd.read(p)
		if err != nil {
			return false, fmt.Errorf("queue: reading %s/%d: %w", rd.topic.Name, p.number, translate(err))
		}
		p.next = next
		if len(rs) > 0 && (rd.follow || next < p.end) {
			rd.list(p)
		}
		if !rd.yield(p, rs, yield) {
			return true, nil
		}
		clear(rs)
		rd.records = rs[:0]
	}
	return false, nil
}

// read reads what follows in p.
func (rd *reader) read(p *readerPart) ([]storage.Record, int64, error) {
	s, id := rd.engine.store, rd.topic.Partition(p.number)
	if rd.buf != nil {
		return s.ReadInto(rd.records[:0], rd.buf, id, p.next, replayBytes)
	}
	return s.Read(rd.records[:0], id, p.next, replayBytes)
}

// yield hands over what was read of p. Records that are the caller's are made some at a time.
func (rd *reader) yield(p *readerPart, rs []storage.Record, yield func(*queue.Record, error) bool) bool {
	var records []queue.Record
	for i := range rs {
		if !rd.follow && rs[i].Offset >= p.end {
			return true
		}
		r := &rd.record
		if rd.buf == nil {
			if i%recordsAtOnce == 0 {
				records = make([]queue.Record, min(len(rs)-i, recordsAtOnce))
			}
			r = &records[i%recordsAtOnce]
		}
		rd.fill(r, p, &rs[i])
		if !yield(r, nil) {
			return false
		}
	}
	return true
}

// recordsAtOnce is how many records are made in one piece: none of them is given up while the caller keeps another.
const recordsAtOnce = 64

func (rd *reader) fill(r *queue.Record, p *readerPart, from *storage.Record) {
	r.Topic, r.Key, r.Value, r.Timestamp = rd.topic.Name, from.Key, from.Value, from.Timestamp
	decode(&r.Message, from.Headers)
	if !r.Expires.IsZero() {
		rd.engine.sweeper.watch(rd.topic)
	}
	r.Partition = queue.Pin{}
	r.Position, r.Appended = rd.topic.position(p.number, from.Offset), from.Appended
}

// wait waits for news.
func (rd *reader) wait(ctx context.Context) error {
	select {
	case <-rd.watcher.C():
	case <-rd.grown:
		return rd.grow()
	case <-ctx.Done():
		return ctx.Err()
	case <-rd.engine.closed:
		return queue.ErrClosed
	}
	rd.news = rd.watcher.Take(rd.news[:0])
	for _, id := range rd.news {
		rd.list(rd.parts[id])
	}
	return nil
}

// grow has what the topic was given be read, too, from its beginning.
func (rd *reader) grow() error {
	s := rd.topic.shape.Load()
	rd.grown = s.replaced
	for n := range s.partitions {
		if rd.parts[s.stored.Partition(n)] != nil {
			continue
		}
		if err := rd.open(n, queue.Earliest()); err != nil {
			return err
		}
	}
	return nil
}
