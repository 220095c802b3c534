package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/leatmq/leat/storage"
)

// What a group has parked of a topic lies in a topic of its own, with the same partitions, or fewer until it needs more, stored as the topic is. It is made when something is to be parked for the first time,
// and goes with the group or the topic. What is done of it is removed.

const parkNames = internalPrefix + "park." // the number of the group follows, and behind a dot the ID of the topic's first partition

func parkName(g storage.GroupID, first storage.PartitionID) string {
	return parkNames + strconv.FormatUint(uint64(g), 10) + "." + strconv.FormatUint(uint64(first), 10)
}

// parkTopic is one, and whose.
type parkTopic struct {
	storage.Topic
	group storage.GroupID
	first storage.PartitionID // of the topic that is parked
}

// parkTopics lists those that there are.
func (e *engine) parkTopics() (ts []parkTopic) {
	for _, t := range e.store.Topics() {
		rest, ok := strings.CutPrefix(t.Name, parkNames)
		if !ok {
			continue
		}
		group, first, _ := strings.Cut(rest, ".")
		g, err := strconv.ParseUint(group, 10, 32)
		f, wrong := strconv.ParseUint(first, 10, 32)
		if err == nil && wrong == nil {
			ts = append(ts, parkTopic{t, storage.GroupID(g), storage.PartitionID(f)})
		}
	}
	return ts
}

// topicOfFirst finds a topic by the ID of its first partition.
func (e *engine) topicOfFirst(first storage.PartitionID) (storage.Topic, bool) {
	ts := e.store.Topics()
	i := slices.IndexFunc(ts, func(t storage.Topic) bool { return t.First == first })
	if i < 0 {
		return storage.Topic{}, false
	}
	return ts[i], true
}

// strategyToPark is how what is parked of t is stored.
func (t *topic) strategyToPark() storage.Strategy {
	s := t.manner.Load().strategy
	s.Cleanup = storage.CleanupPolicy{WhenDone: true}
	return s
}

// parkTopic finds or makes where g parks what it has of t.
func (e *engine) parkTopic(ctx context.Context, g *group, t *topic) (storage.Topic, error) {
	name, s := parkName(g.id, t.First), t.strategyToPark()
	n := t.partitions()
	made, err := e.store.CreateTopic(ctx, storage.TopicSpec{Name: name, Partitions: n, Strategy: s})
	if errors.Is(err, storage.ErrExists) {
		there, ok := e.store.Topic(name)
		if ok && there.Partitions < n { // the topic was given more since
			there, err = e.store.GrowTopic(ctx, name, n)
		}
		if ok && (err == nil || errors.Is(err, storage.ErrExists)) {
			return there, nil
		}
	}
	if err != nil {
		return made, fmt.Errorf("queue: parking messages: %w", translate(err))
	}
	e.cleaned(&s)
	return made, nil
}

// unparkTopics deletes what is parked of the topics and groups that are gone.
func (e *engine) unparkTopics(ctx context.Context) error {
	ts := e.parkTopics()
	if len(ts) == 0 {
		return nil
	}
	groups, firsts := map[storage.GroupID]bool{}, map[storage.PartitionID]bool{}
	for _, g := range e.store.Groups() {
		groups[g.ID] = true
	}
	for _, t := range e.store.Topics() {
		firsts[t.First] = true
	}
	var all error
	for _, t := range ts {
		if groups[t.group] && firsts[t.first] {
			continue
		}
		if err := e.store.DeleteTopic(ctx, t.Name); err != nil && !errors.Is(err, storage.ErrNotFound) {
			all = errors.Join(all, translate(err))
		}
	}
	return all
}

// alterParkTopics has what is parked of t be stored as t is.
func (e *engine) alterParkTopics(ctx context.Context, t *topic) error {
	for _, park := range e.parkTopics() {
		if park.first != t.First {
			continue
		}
		if err := e.store.AlterTopic(ctx, park.Name, t.strategyToPark(), nil); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return translate(err)
		}
	}
	return nil
}

// purgeParked removes what groups have parked of t. They have missed it.
func (e *engine) purgeParked(ctx context.Context, t *topic) error {
	for _, park := range e.parkTopics() {
		if park.first != t.First {
			continue
		}
		for n := range park.Partitions {
			b, err := e.store.Bounds(park.Partition(n))
			if err != nil {
				continue // it was deleted meanwhile
			}
			if err := e.store.Trim(ctx, park.Partition(n), b.Next); err != nil && !errors.Is(err, storage.ErrNotFound) {
				return translate(err)
			}
			for _, g := range e.allGroups() {
				if g.id == park.group {
					g.purge(t.Partition(n), b.Next)
				}
			}
		}
	}
	e.changes.notify()
	return nil
}

// purge gives up what is parked below an offset, and is not in the hands of members.
func (g *group) purge(id storage.PartitionID, next int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.known[id]
	if p == nil || p.park == nil {
		return
	}
	k := p.park
	gone := func(r ref) bool {
		if r.offset >= next {
			return false
		}
		k.finished(r.slot)
		k.touch()
		g.counts.missed++
		return true
	}
	k.asleep = deleteRefs(k.asleep, gone)
	for u := range k.all {
		u.refs = append(u.refs[:u.loaded:u.loaded], deleteRefs(u.refs[u.loaded:], gone)...)
		u.place()
	}
	g.roomToPark()
}

func deleteRefs(refs []ref, gone func(ref) bool) (left []ref) {
	for _, r := range refs {
		if !gone(r) {
			left = append(left, r)
		}
	}
	return left
}

// parkedAt tells that a group that nobody joined in this process has something parked of a partition, with the cursor that it has there.
type parkedAt struct {
	partition storage.PartitionID // of the topic
	cursor    storage.Cursor
}

// parkedBefore lists what a group that nobody joined in this process has parked.
func (g *group) parkedBefore() (at []parkedAt) {
	for _, park := range g.engine.parkTopics() {
		of, ok := g.engine.topicOfFirst(park.first)
		if park.group != g.id || !ok {
			continue
		}
		for n := range park.Partitions {
			c, ok := g.engine.store.Cursor(g.id, park.Partition(n))
			if !ok {
				c = storage.Cursor{Group: g.id, Partition: park.Partition(n)}
			}
			at = append(at, parkedAt{of.Partition(n), c})
		}
	}
	return at
}

// lag counts what is parked there.
func (a *parkedAt) lag(e *engine) int64 {
	return e.lag(a.cursor.Partition, a.cursor.Floor, a.cursor.Passed, 0, ranges(a.cursor.Done))
}
