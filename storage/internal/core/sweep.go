package core

import (
	"errors"
	"slices"
	"time"

	"github.com/leatmq/leat/storage"
)

// Holding is a part of a partition that is removed as one when its space is to be given back: a file, or a frame in memory.
type Holding struct {
	Base, Next       int64 // offsets, half-open, without gaps
	Ordinal, Records int64 // records of the partition before it; and in it, those removed since included
	Bytes            int64
	Newest           int64 // the newest append time
}

// Sweep decides what the cleanup policies ask to be removed. It is used by one goroutine at a time. The zero Sweep is ready.
type Sweep struct {
	due map[*Partition]ageDue
}

// ageDue is a moment before which a rule of age cannot apply to a partition.
type ageDue struct {
	at   time.Time
	rule time.Duration
}

// Plan returns the cuts of all partitions. holdings describes the files of a partition, oldest first; what is behind them is in memory. Where one partition cannot
// be read, the others are cleaned all the same.
func (s *Sweep) Plan(c *Core, holdings func(*Partition) []Holding) (cuts []Cut, err error) {
	topics := c.Catalog.TopicsWith(func(s *storage.Strategy) bool { return trims(&s.Cleanup) })
	if len(topics) == 0 {
		s.due = nil
		return nil, nil
	}
	floors := c.Floors()
	due := s.due
	s.due = map[*Partition]ageDue{}
	for _, t := range topics {
		for _, p := range c.Catalog.PartitionsOf(&t) {
			if at, ok := due[p]; ok {
				s.due[p] = at
			}
			first, e := s.first(c, p, p.allHoldings(holdings), floors)
			err = errors.Join(err, e)
			if first > p.bounds().First {
				cuts = append(cuts, Cut{p, first})
			}
		}
	}
	return cuts, err
}

func trims(p *storage.CleanupPolicy) bool {
	return p.MaxAge > 0 || p.MaxBytes > 0 || p.MaxRecords > 0 || p.WhenDone
}

// first returns the first offset that a partition is to keep: of what it held before it was asked what its topic wants, so that what is appended after the topic
// was altered stays.
func (s *Sweep) first(c *Core, p *Partition, hs []Holding, floors map[storage.PartitionID]Floor) (int64, error) {
	b := p.bounds()
	policy := &p.Strategy().Cleanup
	floor, grouped := floors[p.ID]
	first := b.First
	if policy.MaxBytes > 0 {
		first = max(first, byBytes(hs, policy.MaxBytes))
	}
	if policy.MaxRecords > 0 {
		first = max(first, byRecords(hs, b.Records-policy.MaxRecords))
	}
	if policy.WhenDone && floor.Read {
		first = max(first, floor.Offset)
	}
	var err error
	if policy.MaxAge > 0 {
		var young int64
		young, err = s.byAge(c, p, hs, policy.MaxAge)
		first = max(first, young)
	}
	if policy.HoldForGroups && grouped {
		first = min(first, floor.Offset)
	}
	return min(first, b.Next), err
}

// byBytes returns where the newest holdings of together at most so many bytes begin. The newest one is always kept.
func byBytes(hs []Holding, most int64) int64 {
	total := int64(0)
	for i := len(hs) - 1; i >= 0; i-- {
		total += hs[i].Bytes
		if total > most && i < len(hs)-1 {
			return hs[i].Next
		}
	}
	return 0
}

// byRecords returns the offset of the first record that has at least n records of the partition before it.
func byRecords(hs []Holding, n int64) int64 {
	first := int64(0)
	for _, h := range hs {
		switch {
		case h.Ordinal+h.Records <= n:
			first = h.Next
		case h.Ordinal < n:
			return h.Base + n - h.Ordinal
		default:
			return first
		}
	}
	return first
}

// byAge returns the offset of the first record that is not older than most. It reads a partition only when something in it may have become too old.
func (s *Sweep) byAge(c *Core, p *Partition, hs []Holding, most time.Duration) (int64, error) {
	first := int64(0)
	for len(hs) > 0 && c.Clock.Age(hs[0].Newest) > most {
		first, hs = hs[0].Next, hs[1:]
	}
	if len(hs) == 0 || s.due[p].rule == most && time.Now().Before(s.due[p].at) {
		return first, nil
	}
	rs, _, err := c.Read(nil, p.ID, max(first, p.bounds().First), 1)
	if len(rs) == 0 {
		return first, err
	}
	oldest := c.Clock.Age(rs[0].Appended.UnixNano())
	if oldest > most { // a part of the holding has become too old, and perhaps a part of what follows
		if first, err = s.within(c, p, &hs[0], first, most); err != nil {
			return first, err
		}
		oldest = most
	}
	s.due[p] = ageDue{time.Now().Add(max(most-oldest, most/128)), most}
	return first, nil
}

// within finds the first record of a holding that is not older than most.
func (s *Sweep) within(c *Core, p *Partition, h *Holding, first int64, most time.Duration) (int64, error) {
	at, err := c.OffsetAt(p.ID, c.Clock.Horizon(most))
	if err != nil {
		return first, err
	}
	return max(first, min(at, h.Next)), nil
}

// pieces bounds into how many holdings the records in memory are divided, about.
const pieces = 128

// allHoldings describes all of p. What moves from memory to a file meanwhile might be seen in neither, so it looks again until nothing has.
func (p *Partition) allHoldings(files func(*Partition) []Holding) []Holding {
	if files == nil {
		return p.holdings(nil)
	}
	for hs := files(p); ; {
		all, now := p.holdings(slices.Clip(hs)), files(p)
		if endOf(now) == endOf(hs) {
			return all
		}
		hs = now
	}
}

func endOf(hs []Holding) int64 {
	if len(hs) == 0 {
		return 0
	}
	return hs[len(hs)-1].Next
}

// holdings appends to what is in files what is in memory only, in pieces.
func (p *Partition) holdings(files []Holding) []Holding {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := p.first
	if n := len(files); n > 0 {
		from = max(from, files[n-1].Next)
	}
	at, total := p.tail.find(from), int64(0)
	for i := at; i < p.tail.len(); i++ {
		total += int64(p.tail.at(i).bodyLen)
	}
	inFiles := len(files)
	for i := at; i < p.tail.len(); i++ {
		f := p.tail.at(i)
		if f.base >= p.end {
			break
		}
		if n := len(files); n > inFiles && files[n-1].Next == f.base && files[n-1].Bytes+int64(f.bodyLen) <= total/pieces {
			h := &files[n-1]
			h.Next, h.Records, h.Bytes, h.Newest = f.next(), h.Records+int64(f.span), h.Bytes+int64(f.bodyLen), f.time
			continue
		}
		files = append(files, Holding{
			Base: f.base, Next: f.next(), Ordinal: f.ordinal, Records: int64(f.span), Bytes: int64(f.bodyLen), Newest: f.time,
		})
	}
	return files
}
