package embedded

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// Groups implements queue.EngineGroups.
func (e *engine) Groups(ctx context.Context) ([]queue.GroupInfo, error) {
	var infos []queue.GroupInfo
	if err := e.roster.load(); err != nil {
		return nil, err
	}
	for _, g := range e.allGroups() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if info, ok := g.info(); ok && !internal(g.name) {
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b queue.GroupInfo) int { return cmp.Compare(a.Name, b.Name) })
	return infos, nil
}

// Group implements queue.EngineGroups.
func (e *engine) Group(_ context.Context, name string) (queue.GroupInfo, error) {
	if err := e.roster.load(); err != nil {
		return queue.GroupInfo{}, err
	}
	if g := e.existing(name); g != nil && !internal(name) {
		if info, ok := g.info(); ok {
			return info, nil
		}
	}
	return queue.GroupInfo{}, noGroup(name)
}

func noGroup(name string) error { return fmt.Errorf("%w: group %q", queue.ErrNotFound, name) }

// info describes the group. It is false for one that is being made: nobody knows yet where it begins.
func (g *group) info() (queue.GroupInfo, bool) {
	g.mu.Lock()
	if !g.made() {
		g.mu.Unlock()
		return queue.GroupInfo{}, false
	}
	b := g.backlog()
	info := queue.GroupInfo{
		Group: queue.Group{
			Name: g.name, Topics: slices.Clone(g.read()), Order: g.order, Guarantee: g.guarantee, Exclusive: g.exclusive, ExpireAfter: g.expireAfter, Uncounted: g.uncounted,
		},
		Paused: g.paused(),
		Ready:  b.ready, InFlight: b.inFlight, Waiting: b.waiting, Parked: b.parked, Members: len(g.members),
	}
	if b.lag > 0 {
		info.Idle = g.idleReason(b)
	}
	views := g.views()
	g.mu.Unlock()

	now := time.Now()
	for i := range views {
		v := &views[i]
		at, ok := v.oldest, !v.oldest.IsZero()
		if !ok && v.unread > 0 {
			at, ok = g.engine.oldestUnread(v, now)
		}
		if ok {
			v.OldestReady = max(0, now.Sub(at))
		}
		info.OldestReady = max(info.OldestReady, v.OldestReady)
		info.Partitions = append(info.Partitions, v.GroupPartition)
	}
	return info, true
}

// made tells whether it is known where the group goes on. It is called with g.mu held.
func (g *group) made() bool { return g.known != nil || g.kept != nil || len(g.before()) > 0 }

// view is a partition of a group at one moment, and what is needed to find its oldest message without the group's lock.
type view struct {
	queue.GroupPartition
	id      storage.PartitionID
	oldest  time.Time // of the messages read and ready; zero: there is none
	unread  int64     // messages
	next    int64     // where they begin
	done    []frontier.Range
	failed  []frontier.Failure
	inOrder bool // what is behind a message that waits waits, too
}

// views describes the partitions of the group, sorted. It is called with g.mu held.
func (g *group) views() []view {
	var vs []view
	if g.known == nil {
		for _, c := range g.before() {
			if v, ok := g.asleep(&c); ok {
				vs = append(vs, v)
			}
		}
	}
	for _, p := range g.active {
		vs = append(vs, p.view())
	}
	slices.SortFunc(vs, func(a, b view) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return vs
}

// asleep is the view of a partition that no member of this process ever had.
func (g *group) asleep(c *storage.Cursor) (view, bool) {
	t, n, ok := g.engine.partitionOf(c.Partition)
	if !ok {
		return view{}, false
	}
	v := view{id: c.Partition, next: c.Floor, done: ranges(c.Done)}
	for _, f := range c.Failed {
		v.failed = append(v.failed, frontier.Failure(f))
	}
	v.unread = g.engine.lag(c.Partition, c.Floor, c.Passed, 0, v.done)
	v.GroupPartition = queue.GroupPartition{Topic: t.Name, Partition: n, Floor: t.position(n, c.Floor), Ready: v.unread}
	v.Parked = g.parkedOf(c.Partition)
	v.Ready += v.Parked
	return v, true
}

// partitionOf finds the topic of a partition.
func (e *engine) partitionOf(id storage.PartitionID) (t *topic, n int, ok bool) {
	for _, stored := range e.userTopics() {
		if n, ok := stored.Index(id); ok {
			t, err := e.topic(stored.Name)
			return t, n, err == nil && t.First == stored.First
		}
	}
	return nil, 0, false
}

func (p *partition) view() view {
	lag := p.lag()
	v := view{id: p.id, next: p.window.Next(), unread: lag - p.window.Open(), inOrder: p.group.order == queue.ByPartition}
	v.GroupPartition = queue.GroupPartition{
		Topic: p.topic.Name, Partition: p.number, Floor: p.topic.position(p.number, p.window.Floor()),
		InFlight: int64(p.lanes.Out()), Waiting: int64(p.lanes.Waiting()), Parked: p.parked(),
	}
	if p.park != nil {
		v.Waiting += int64(p.park.waits)
		v.Floor = p.topic.position(p.number, min(p.window.Floor(), p.park.floor()))
	}
	v.Ready = max(0, lag+v.Parked-v.InFlight-v.Waiting)
	if p.broken != nil {
		v.Damaged = p.broken.Error()
	}
	if p.park != nil {
		v.oldest = p.park.oldest()
	}
	if it := p.lanes.Oldest(); it != nil && (v.oldest.IsZero() || it.Value.record.Appended.Before(v.oldest)) {
		v.oldest = it.Value.record.Appended
	}
	if !v.oldest.IsZero() {
		return v
	}
	if v.inOrder && v.Waiting > 0 {
		v.unread = 0
		return v
	}
	if v.unread > 0 {
		var s frontier.State
		p.window.State(&s)
		v.done, v.failed = s.Done, s.Failed
	}
	return v
}

// oldestUnread returns when the first message of v was stored that is unread, and neither done nor waiting for its next attempt. It is
// false if there is none, or it cannot be read.
func (e *engine) oldestUnread(v *view, now time.Time) (time.Time, bool) {
	waits := map[int64]bool{}
	for _, f := range v.failed {
		waits[f.Offset] = f.Due > now.UnixNano()
	}
	for from := v.next; ; {
		done := v.done
		for len(done) > 0 && done[0].To <= from {
			done = done[1:]
		}
		if len(done) > 0 && done[0].From <= from {
			from = done[0].To
			continue
		}
		rs, next, err := e.store.Read(nil, v.id, from, 1)
		if err != nil || len(rs) == 0 {
			return time.Time{}, false
		}
		for i := range rs {
			for len(done) > 0 && done[0].To <= rs[i].Offset {
				done = done[1:]
			}
			switch {
			case len(done) > 0 && done[0].From <= rs[i].Offset:
			case !waits[rs[i].Offset]:
				return rs[i].Appended, true
			case v.inOrder:
				return time.Time{}, false
			}
		}
		from = next
	}
}
