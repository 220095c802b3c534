package core

import (
	"cmp"
	"math"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// KeepLatest applies the policy LatestByKey to partitions that have nothing older than what is in memory, in blocks of their own from pool: of each key the newest record
// stays. Unless all is set, it leaves alone those of which less than half was not compacted yet.
func (c *Core) KeepLatest(pool *Pool, all bool) error {
	topics := c.Catalog.TopicsWith(func(s *storage.Strategy) bool { return s.Cleanup.LatestByKey })
	if len(topics) == 0 {
		return nil
	}
	floors := c.Floors()
	for _, t := range topics {
		for _, p := range c.Catalog.PartitionsOf(&t) {
			k := &keeping{pool: pool, hold: math.MaxInt64, now: unixNano(c.Clock.Now())}
			if floor, ok := floors[p.ID]; ok {
				k.hold = floor.Offset
			}
			if err := p.keepLatest(k, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// keeping is the compaction of a partition.
type keeping struct {
	pool *Pool
	hold int64         // nothing from there on goes, if the topic holds for groups
	age  time.Duration // of tombstones that go
	now  time.Time

	latest map[string]int64 // offset of each key's newest record
	frames []tailFrame      // what is left
	block  *Block           // where it lies
	buf    []storage.Record
	body   []byte
}

// compaction is what a partition remembers of its last one.
type compaction struct {
	records int64     // that there were
	stored  int64     // of these, left
	due     time.Time // when the oldest tombstone that is left goes; zero: there is none
}

func (p *Partition) keepLatest(k *keeping, all bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	rules := &p.Strategy().Cleanup // now: what was appended since the topic was altered to keep everything stays
	if !rules.LatestByKey {
		return nil
	}
	k.age = cmp.Or(rules.TombstoneAge, storage.DefaultTombstoneAge)
	if !rules.HoldForGroups {
		k.hold = math.MaxInt64
	}
	was := &p.compacted
	fresh, due := p.records-was.records, !was.due.IsZero() && k.now.After(was.due)
	if !due && !all && fresh < was.stored || p.tail.len() == 0 {
		return nil
	}
	k.latest = map[string]int64{}
	for i := range p.tail.len() {
		if err := k.note(p.tail.at(i)); err != nil {
			return err
		}
	}
	next := compaction{records: p.records}
	i := 0
	for ; i < p.tail.len() && p.tail.at(i).next() <= k.hold; i++ {
		if err := k.keep(p.tail.at(i), &next); err != nil {
			return err
		}
	}
	p.replace(k, i)
	p.compacted = next
	return nil
}

func (k *keeping) note(f *tailFrame) (err error) {
	h := f.header()
	if k.buf, err = frame.DecodeRecords(k.buf[:0], &h, f.bytes(), 0); err != nil {
		return err
	}
	for i := range k.buf {
		if r := &k.buf[i]; r.Key != nil {
			k.latest[string(r.Key)] = r.Offset
		}
	}
	return nil
}

// keep takes over what is left of a frame.
func (k *keeping) keep(f *tailFrame, done *compaction) (err error) {
	h := f.header()
	if k.buf, err = frame.DecodeRecords(k.buf[:0], &h, f.bytes(), 0); err != nil {
		return err
	}
	k.body = k.body[:0]
	left, at := *f, f.base
	left.count = 0
	for i := range k.buf {
		r := &k.buf[i]
		tombstone := r.Key != nil && len(r.Value) == 0
		goes := r.Appended.Add(k.age)
		if r.Key != nil && k.latest[string(r.Key)] != r.Offset || tombstone && !k.now.Before(goes) {
			continue
		}
		if tombstone && (done.due.IsZero() || goes.Before(done.due)) {
			done.due = goes
		}
		k.body = frame.AppendRecordBehind(k.body, r, uint64(r.Offset-at))
		left.count++
		at = r.Offset + 1
	}
	if left.count == 0 {
		return nil
	}
	done.stored += int64(left.count)
	if k.block == nil || !k.block.Room(len(k.body)) {
		k.block = k.pool.GetSmall(max(len(k.body), k.pool.Usual()/4))
	}
	left.block, left.body, left.bodyLen = k.block, uint32(k.block.Put(k.body)), uint32(len(k.body))
	k.frames = append(k.frames, left)
	return nil
}

// replace puts what is left in the place of the first n frames of the tail. All frames of a block stay neighbours. p is locked.
func (p *Partition) replace(k *keeping, n int) {
	var bytes int64
	for i := range k.frames {
		bytes += k.frames[i].size()
	}
	for i := range n {
		f := p.tail.at(i)
		bytes -= f.size()
		if i+1 == p.tail.len() || p.tail.at(i+1).block != f.block {
			f.block.Release()
		}
	}
	kept := append(k.frames, p.tail.copied(n, p.tail.len())...)
	p.tail.pop(p.tail.len())
	for _, f := range kept {
		p.tail.push(f)
	}
	p.share.bytes.Add(bytes)
}
