package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/leatmq/leat/storage"
)

// change is something other than an entry that was asked for: it is durable when it is acknowledged, whatever the strategy of its topic.
type change struct {
	Trim  *trim          `json:",omitempty"`
	Drop  string         `json:",omitempty"` // the topic's name
	Alter *storage.Topic `json:",omitempty"` // with the strategy and the settings that the topic of the name is to have
	Grow  *grow          `json:",omitempty"`

	begun, ended int
	acked        bool
	refused      bool
	passing      bool // it was refused, or took effect until another change did
}

// trim moves the first offset of a partition.
type trim struct {
	Partition storage.PartitionID
	First     int64 // anyFirst: what a policy asks for
}

const anyFirst = -1

// grow gives a topic more partitions.
type grow struct {
	Name  string
	Total int
	Topic *storage.Topic `json:",omitempty"` // as it was afterwards, once that is known
}

// on has a topic be what the change has made of it, and tells whether it is about that topic.
func (c *change) on(t *storage.Topic) bool {
	switch {
	case c.Alter != nil && c.Alter.Name == t.Name:
		t.Strategy, t.Settings = c.Alter.Strategy, c.Alter.Settings
	case c.Grow != nil && c.Grow.Name == t.Name && c.Grow.Topic != nil:
		t.Partitions, t.Added = c.Grow.Topic.Partitions, c.Grow.Topic.Added
		t.Past = slices.Clone(t.Past)
		for i, life := range t.Past {
			t.Past[i].Next = append(slices.Clone(life.Next), make([]int64, max(0, t.Partitions-len(life.Next)))...)
		}
	default:
		return false
	}
	return true
}

// change notes that c is asked for, carries it out, and notes the outcome.
func (h *History) change(c *change, do func() error) error {
	h.mu.Lock()
	h.seq++
	c.begun = h.seq
	h.changes = append(h.changes, c)
	h.write(event{Change: c})
	h.mu.Unlock()
	err := do()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || !errors.Is(err, storage.ErrIndeterminate) {
		h.endChange(c, err == nil)
		e := event{Changed: &changed{Acked: err == nil}}
		if c.Grow != nil {
			e.Changed.Grown = c.Grow.Topic
		}
		h.write(e)
	}
	return err
}

// changed is the outcome of the change that was begun last. There is never more than one under way.
type changed struct {
	Acked bool
	Grown *storage.Topic `json:",omitempty"`
}

// lastChange returns the change that was begun last and can end.
func (h *History) lastChange() *change {
	for _, c := range slices.Backward(h.changes) {
		if c.Trim == nil || c.Trim.First != anyFirst {
			return c
		}
	}
	return nil
}

func (h *History) endChange(c *change, acked bool) {
	h.seq++
	c.ended, c.acked, c.refused = h.seq, acked, !acked
	if acked {
		h.carryOut(c)
	}
}

// carryOut makes what is known of topics follow a change.
func (h *History) carryOut(c *change) {
	for _, a := range h.topics {
		switch {
		case !a.acked || a.dropped:
		case c.Drop != "" && a.topic.Name == c.Drop:
			a.dropped = true
		default:
			c.on(&a.topic)
		}
	}
}

// Trim removes records from s and notes it.
func (h *History) Trim(p storage.PartitionID, first int64, do func() error) error {
	return h.change(&change{Trim: &trim{p, first}}, do)
}

// Clean applies the policies of s, which may trim any of ps, and notes it.
func (h *History) Clean(ps []storage.PartitionID, do func() error) error {
	h.mu.Lock()
	for _, p := range ps {
		h.seq++
		c := &change{Trim: &trim{p, anyFirst}, begun: h.seq}
		h.changes = append(h.changes, c)
		h.write(event{Change: c})
	}
	h.mu.Unlock()
	return do()
}

// DeleteTopic deletes a topic of s and notes it.
func (h *History) DeleteTopic(name string, do func() error) error {
	return h.change(&change{Drop: name}, do)
}

// AlterTopic gives a topic another strategy and settings and notes it.
func (h *History) AlterTopic(t storage.Topic, do func() error) error {
	return h.change(&change{Alter: &t}, do)
}

// GrowTopic gives a topic more partitions and notes it.
func (h *History) GrowTopic(name string, total int, do func(name string, total int) (storage.Topic, error)) (t storage.Topic, err error) {
	g := &grow{Name: name, Total: total}
	err = h.change(&change{Grow: g}, func() error {
		if t, err = do(name, total); err == nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			g.Topic = &t
		}
		return err
	})
	return t, err
}

// cutOf tells what the first offset of a partition may be: at least what was acknowledged, and otherwise only what was asked for.
func (h *History) cutOf(p storage.PartitionID) (least int64, asked map[int64]bool, any bool) {
	asked = map[int64]bool{0: true}
	for _, c := range h.changes {
		switch {
		case c.Trim == nil || c.Trim.Partition != p || c.refused:
		case c.Trim.First == anyFirst:
			any = true
		default:
			asked[c.Trim.First] = true
			if c.acked {
				least = max(least, c.Trim.First)
			}
		}
	}
	return least, asked, any
}

// first checks the first offset of a partition, and takes it for the truth.
func (c *check) first(p storage.PartitionID, b storage.Bounds) {
	least, asked, any := c.h.cutOf(p)
	switch {
	case b.First < least:
		c.bad(&c.Lost, "partition %d begins at %d, and was trimmed up to %d", p, b.First, least)
	case !asked[b.First] && !any:
		c.bad(&c.Ghosts, "partition %d begins at %d, which nobody asked for", p, b.First)
	}
	c.h.seq++
	c.h.changes = append(c.h.changes, &change{Trim: &trim{p, b.First}, begun: c.h.seq, ended: c.h.seq, acked: true})
}

// trimmedOff counts for each entry the records that were trimmed off a partition, and all of them together.
func (c *check) trimmedOff(p storage.PartitionID, first int64) (total int64) {
	for _, s := range c.h.seen.within(p, math.MinInt64, first) {
		if a := c.h.entry(s.mark.entry); a != nil && !a.gone && !a.refused {
			c.removed[s.mark.entry]++
			total++
		}
	}
	return total
}

// removedWith counts for each entry the records that went with a dropped topic.
func (c *check) removedWith(t *storage.Topic) {
	for _, a := range c.h.entries {
		for _, b := range a.Plan.Batches {
			if holds(t, b.Partition) {
				c.dropped[a.Number] += uint32(len(b.Sizes))
			}
		}
	}
}

func holds(t *storage.Topic, p storage.PartitionID) bool {
	_, ok := t.Index(p)
	return ok
}

// dropped tells whether the partition's topic was deleted.
func (h *History) dropped(p storage.PartitionID) bool {
	for _, a := range h.topics {
		if a.dropped && holds(&a.topic, p) {
			return true
		}
	}
	return false
}

// resolve finds out which changes of a topic that nobody acknowledged took place all the same. there is nil if the topic is missing.
func (c *check) resolve(a *topicAttempt, there *storage.Topic) {
	for _, ch := range c.h.changes {
		switch {
		case ch.acked || ch.refused || !a.acked || a.dropped:
		case ch.Drop != "" && ch.Drop == a.topic.Name && there == nil:
			ch.acked, ch.ended, a.dropped = true, c.h.seq, true
		case there == nil:
			ch.on(&a.topic) // if the topic was dropped, what came before has happened
		case ch.took(there):
			ch.acked, ch.ended = true, c.h.seq
			ch.on(&a.topic)
		}
	}
}

// appeared finds out whether a topic is one that nobody was told of, and which changes of it took place.
func (c *check) appeared(a *topicAttempt, there *storage.Topic) {
	made := storage.Topic{TopicSpec: a.spec}
	same := func() bool { return reflect.DeepEqual(normal(made).TopicSpec, normal(*there).TopicSpec) }
	known := same()
	var took []*change
	for _, ch := range c.h.changes {
		if known {
			break
		}
		if !ch.refused && ch.on(&made) {
			took, known = append(took, ch), same()
		}
	}
	if !known {
		return
	}
	a.topic, a.made, a.acked = *there, *there, true
	a.made.TopicSpec, a.made.Added = a.spec, nil
	for _, ch := range took {
		ch.acked, ch.ended = true, c.h.seq
	}
}

// took tells whether a topic is what the change, of which nobody knows, would have made of it.
func (c *change) took(there *storage.Topic) bool {
	switch {
	case c.Alter != nil:
		return c.Alter.Name == there.Name && c.Alter.Strategy == there.Strategy && bytes.Equal(c.Alter.Settings, there.Settings)
	case c.Grow != nil && c.Grow.Name == there.Name && c.Grow.Total <= there.Partitions:
		if c.Grow.Topic == nil { // whoever made it died of it, so there is none behind it
			c.Grow.Topic = there
		}
		return c.Grow.Total == c.Grow.Topic.Partitions
	}
	return false
}

// settleChanges takes what was not found for gone: it never happens later.
func (h *History) settleChanges() {
	last := map[string]bool{} // topics of which a later alteration took effect
	for _, c := range slices.Backward(h.changes) {
		switch {
		case c.Alter == nil:
		case c.acked:
			last[c.Alter.Name] = true
		case !c.refused:
			c.passing = last[c.Alter.Name]
		}
		c.refused = c.refused || !c.acked
	}
}

func (w *Workload) trim() error {
	p := w.partition()
	b, err := w.Store.Bounds(p)
	if err != nil {
		return err
	}
	first := b.First + w.rng.Int64N(b.Next-b.First+1)
	if w.rng.IntN(4) == 0 {
		first = b.Next
	}
	return w.History.Trim(p, first, func() error { return w.Store.Trim(w.ctx, p, first) })
}

func (w *Workload) drop() error {
	i := w.rng.IntN(len(w.topics))
	t := w.topics[i]
	err := w.History.DeleteTopic(t.Name, func() error { return w.Store.DeleteTopic(w.ctx, t.Name) })
	if err == nil {
		w.topics = append(w.topics[:i:i], w.topics[i+1:]...)
	}
	return err
}

func (w *Workload) alter() error {
	i := w.rng.IntN(len(w.topics))
	t := w.topics[i]
	t.Strategy = w.strategy()
	t.Settings = fmt.Append(nil, w.rng.Uint32())
	err := w.History.AlterTopic(t, func() error { return w.Store.AlterTopic(w.ctx, t.Name, t.Strategy, t.Settings) })
	if err == nil {
		w.topics[i] = t
	}
	return err
}

func (w *Workload) grow() error {
	i := w.rng.IntN(len(w.topics))
	t, total := &w.topics[i], w.topics[i].Partitions+1+w.rng.IntN(3)
	grown, err := w.History.GrowTopic(t.Name, total, func(name string, total int) (storage.Topic, error) { return w.Store.GrowTopic(w.ctx, name, total) })
	if err != nil {
		return err
	}
	if grown.Partitions != total || grown.First != t.First || len(grown.Added) < len(t.Added) {
		return violated(fmt.Errorf("%+v, given %d partitions, is %+v", *t, total, grown))
	}
	*t = grown
	return nil
}

// strategy draws one whose cleanup says by itself what it removes.
func (w *Workload) strategy() storage.Strategy {
	s := storage.Strategy{
		Sync:  w.Policies[w.rng.IntN(len(w.Policies))],
		Level: []storage.Level{storage.MemoryAndDisk, storage.DiskOnly, storage.Compressed}[w.rng.IntN(3)],
	}
	switch w.rng.IntN(5) {
	case 0:
		s.Cleanup.MaxRecords = 1 + w.rng.Int64N(60)
	case 1:
		s.Cleanup.MaxBytes = 1 + w.rng.Int64N(64<<10)
	case 2:
		s.Cleanup.WhenDone = true
	case 3:
		s.Cleanup.LatestByKey = true
	}
	s.Cleanup.HoldForGroups = w.rng.IntN(2) == 0
	return s
}

func (w *Workload) clean() error {
	var ps []storage.PartitionID
	for _, t := range w.topics {
		if c := t.Strategy.Cleanup; c.MaxRecords > 0 || c.MaxBytes > 0 || c.WhenDone {
			for i := range t.Partitions {
				ps = append(ps, t.Partition(i))
			}
		}
	}
	return w.History.Clean(ps, func() error { return w.Store.Clean(w.ctx) })
}

// forkChanges takes over changes as they were known at a moment.
func (h *History) forkChanges(changes []*change, mark int) {
	for _, t := range h.topics {
		t.dropped = false
	}
	for _, c := range changes {
		f := *c
		if f.ended > mark {
			f.ended, f.acked, f.refused = 0, false, false
		}
		if c.Grow != nil {
			g := *c.Grow
			f.Grow = &g
		}
		h.changes = append(h.changes, &f)
	}
	for _, a := range h.topics {
		a.rewind(h.changes)
	}
}

// rewind has a topic be what the changes that were acknowledged have made of it.
func (a *topicAttempt) rewind(changes []*change) {
	a.topic = a.made
	for _, c := range changes {
		switch {
		case !c.acked:
		case c.Drop == a.topic.Name && c.Drop != "":
			a.dropped = true
		default:
			c.on(&a.topic)
		}
	}
}
