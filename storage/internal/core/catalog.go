package core

import (
	"slices"
	"strings"
	"sync"

	"github.com/leatmq/leat/storage"
)

// Catalog is the topics, partitions and groups of a store.
type Catalog struct {
	mu         sync.RWMutex
	topics     []storage.Topic // guarded by mu, as all below; in the order of creation
	byName     map[string]int  // index in topics
	partitions []*Partition    // by ID
	groups     []storage.Group // in the order of creation
	groupName  map[string]int  // index in groups
	groupIDs   map[storage.GroupID]struct{}
	pending    map[string]chan struct{} // names of topics and groups being made, with a prefix; closed when known

	nextPartition storage.PartitionID
	nextGroup     storage.GroupID
}

func (c *Catalog) init() {
	c.byName, c.groupName, c.pending = map[string]int{}, map[string]int{}, map[string]chan struct{}{}
	c.groupIDs = map[storage.GroupID]struct{}{}
}

// Partition returns nil if there is none of the ID.
func (c *Catalog) Partition(id storage.PartitionID) *Partition {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if int(id) >= len(c.partitions) {
		return nil
	}
	return c.partitions[id]
}

// Partitions returns all partitions, by ID; where there is none it has nil.
func (c *Catalog) Partitions() []*Partition {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.partitions)
}

// Topic is storage.Store's.
func (c *Catalog) Topic(name string) (storage.Topic, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, ok := c.byName[name]
	if !ok {
		return storage.Topic{}, false
	}
	return c.topics[i], true
}

// Topics is storage.Store's.
func (c *Catalog) Topics() []storage.Topic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.topics)
}

// Sharers counts the topics that have something in memory and may keep it there.
func (c *Catalog) Sharers() (n int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range c.topics {
		if p := c.partitions[c.topics[i].First]; p.Cached() && p.share.Bytes() > 0 {
			n++
		}
	}
	return n
}

// TopicsWith returns the topics whose strategy is so.
func (c *Catalog) TopicsWith(so func(*storage.Strategy) bool) (ts []storage.Topic) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range c.topics {
		if so(&c.topics[i].Strategy) {
			ts = append(ts, c.topics[i])
		}
	}
	return ts
}

// Groups is storage.Store's.
func (c *Catalog) Groups() []storage.Group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.groups)
}

func (c *Catalog) group(name string) (storage.Group, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, ok := c.groupName[name]
	if !ok {
		return storage.Group{}, false
	}
	return c.groups[i], true
}

func (c *Catalog) hasGroup(id storage.GroupID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.groupIDs[id]
	return ok
}

// holders returns the groups that hold records, and read none.
func (c *Catalog) holders() map[storage.GroupID]bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var ids map[storage.GroupID]bool
	for _, g := range c.groups {
		if strings.HasPrefix(g.Name, storage.HolderPrefix) {
			if ids == nil {
				ids = map[storage.GroupID]bool{}
			}
			ids[g.ID] = true
		}
	}
	return ids
}

// AddTopic makes a committed topic known. It does nothing if it is.
func (c *Catalog) AddTopic(t storage.Topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle("topic " + t.Name)
	if _, again := c.byName[t.Name]; again {
		return
	}
	c.byName[t.Name] = len(c.topics)
	c.topics = append(c.topics, t)
	c.addPartitions(&t, 0, &Share{})
}

// addPartitions makes the partitions of a topic from from on. mu is held.
func (c *Catalog) addPartitions(t *storage.Topic, from int, share *Share) {
	end := End(t)
	if n := int(end) - len(c.partitions); n > 0 {
		c.partitions = append(c.partitions, make([]*Partition, n)...)
	}
	strategy, made := t.Strategy, make([]Partition, t.Partitions-from)
	for i := range made {
		p := &made[i]
		p.ID, p.share = t.Partition(from+i), share
		p.strategy.Store(&strategy)
		c.partitions[p.ID] = p
	}
	share.add(made)
	c.nextPartition = max(c.nextPartition, end)
}

// Renew gives every topic in memory another incarnation, since its records are gone and its offsets begin again. Before the store serves.
func (c *Catalog) Renew() {
	for i := range c.topics {
		if t := &c.topics[i]; t.Strategy.Level == storage.MemoryOnly {
			t.Incarnation, t.Past = incarnation(), nil
		}
	}
}

// Alter gives the topic that begins with the partition t.First t's strategy and settings, and the partitions that t has more. It does nothing if there is no
// such topic.
func (c *Catalog) Alter(t storage.Topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle("topic " + t.Name)
	i, ok := c.byName[t.Name]
	if !ok || c.topics[i].First != t.First {
		return
	}
	have := &c.topics[i]
	have.Strategy, have.Settings = t.Strategy, t.Settings
	strategy := t.Strategy
	for _, p := range c.of(have) {
		p.strategy.Store(&strategy)
	}
	if had := have.Partitions; had < t.Partitions {
		Extend(have, &t)
		c.addPartitions(have, had, c.partitions[have.First].share)
	}
}

// of returns the partitions of a topic, in their order. mu is held.
func (c *Catalog) of(t *storage.Topic) []*Partition {
	ps := make([]*Partition, t.Partitions)
	for n := range ps {
		ps[n] = c.partitions[t.Partition(n)]
	}
	return ps
}

// PartitionsOf returns the partitions of a topic, in their order; nil if it is gone.
func (c *Catalog) PartitionsOf(t *storage.Topic) []*Partition {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, ok := c.byName[t.Name]
	if !ok || c.topics[i].First != t.First {
		return nil
	}
	return c.of(&c.topics[i])
}

// Drop removes the topic that begins with the partition first, and returns the partitions that it had.
func (c *Catalog) Drop(first storage.PartitionID) []*Partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.topics, func(t storage.Topic) bool { return t.First == first })
	if i < 0 {
		return nil
	}
	t := c.topics[i]
	c.settle("topic " + t.Name)
	gone := c.of(&t)
	for _, p := range gone {
		c.partitions[p.ID] = nil
	}
	c.topics = slices.Delete(slices.Clone(c.topics), i, i+1)
	clear(c.byName)
	for i := range c.topics {
		c.byName[c.topics[i].Name] = i
	}
	for _, p := range gone {
		p.leaving.Store(true)
		p.dropped.Store(true)
	}
	return gone
}

// DropGroup removes a group.
func (c *Catalog) DropGroup(id storage.GroupID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.groupIDs, id)
	i := slices.IndexFunc(c.groups, func(g storage.Group) bool { return g.ID == id })
	if i < 0 {
		return
	}
	c.settle("group " + c.groups[i].Name)
	c.groups = slices.Delete(slices.Clone(c.groups), i, i+1)
	clear(c.groupName)
	for i := range c.groups {
		c.groupName[c.groups[i].Name] = i
	}
}

// disown makes hasGroup false for a group whose deletion is being staged.
func (c *Catalog) disown(id storage.GroupID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.groupIDs, id)
}

// AddGroup makes a committed group known. It does nothing if it is.
func (c *Catalog) AddGroup(g storage.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle("group " + g.Name)
	if _, again := c.groupName[g.Name]; again {
		return
	}
	c.groupName[g.Name] = len(c.groups)
	c.groups = append(c.groups, g)
	c.groupIDs[g.ID] = struct{}{}
	c.nextGroup = max(c.nextGroup, g.ID+1)
}

// NextIDs returns the first partition and group ID that were never given away.
func (c *Catalog) NextIDs() (storage.PartitionID, storage.GroupID) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.nextPartition, c.nextGroup
}

// ReserveIDs makes sure that IDs below these are not given away. Before the store serves.
func (c *Catalog) ReserveIDs(p storage.PartitionID, g storage.GroupID) {
	c.nextPartition, c.nextGroup = max(c.nextPartition, p), max(c.nextGroup, g)
}

// claim reserves a name for its maker. If another is making it, claim returns a channel that is closed when that has ended.
func (c *Catalog) claim(name string) (wait <-chan struct{}, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, busy := c.pending[name]; busy {
		return ch, false
	}
	c.pending[name] = make(chan struct{})
	return nil, true
}

// abandon gives a claimed name back.
func (c *Catalog) abandon(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(name)
}

func (c *Catalog) settle(name string) {
	if ch, ok := c.pending[name]; ok {
		close(ch)
		delete(c.pending, name)
	}
}

func (c *Catalog) takePartitions(n int) storage.PartitionID {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.nextPartition
	c.nextPartition += storage.PartitionID(n)
	return first
}

func (c *Catalog) takeGroup() storage.GroupID {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextGroup++
	return c.nextGroup - 1
}

func (c *Catalog) stats() storage.Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := storage.Stats{Topics: len(c.topics), Groups: len(c.groups)}
	for i := range c.topics {
		s.Partitions += c.topics[i].Partitions
	}
	return s
}

// Reincarnate gives all topics new incarnations, and has them remember the ones they had. Before the store serves.
func (c *Catalog) Reincarnate() {
	for i := range c.topics {
		t := &c.topics[i]
		if t.Strategy.Level == storage.MemoryOnly { // it begins anew with each open
			continue
		}
		life := storage.Life{Incarnation: t.Incarnation, Next: make([]int64, t.Partitions)}
		for n := range life.Next {
			life.Next[n] = c.partitions[t.Partition(n)].Marks().Next
		}
		t.Past = append(slices.Clone(t.Past[max(0, len(t.Past)+1-storage.MaxPast):]), life)
		t.Incarnation = incarnation()
	}
}
