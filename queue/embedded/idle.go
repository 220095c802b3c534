package embedded

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// changes tells those that wait for idle groups when to look again.
type changes struct {
	waiting atomic.Int32 // how many wait

	mu   sync.Mutex
	next chan struct{} // guarded by mu; closed at the next change; nil: nobody asked
}

// notify says that a group may have become idle.
func (c *changes) notify() {
	if c.waiting.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}

// wait returns a channel that is closed at the next change.
func (c *changes) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

// lookAgain is how often WaitIdle looks at what nobody tells of: records that were removed before a group without members got them.
const lookAgain = time.Second

// WaitIdle implements queue.EngineWaiter.
func (e *engine) WaitIdle(ctx context.Context, names ...string) error {
	e.changes.waiting.Add(1)
	defer e.changes.waiting.Add(-1)
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		changed := e.changes.wait()
		busy := e.busy(names)
		if busy == "" {
			return nil
		}
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			if busy = e.busy(names); busy == "" { // what it was may be long ago
				return nil
			}
			return fmt.Errorf("queue: not idle: %s: %w", busy, ctx.Err())
		case <-e.store.Stopped():
			return fmt.Errorf("queue: not idle: %s: %w", busy, e.Err())
		case <-e.closed:
			return fmt.Errorf("queue: not idle: %s: %w", busy, queue.ErrClosed)
		}
	}
}

// busy names a group that is not idle, and says why; "" if at one moment all were.
func (e *engine) busy(names []string) string {
	if err := e.roster.load(); err != nil {
		return err.Error()
	}
	if e.delays.overdue() { // before groups are looked at: what is moved meanwhile is seen there
		return "delayed messages that are due wait to be moved to their topics"
	}
	groups := make([]*group, 0, len(names))
	for _, name := range names {
		g := e.existing(name)
		if g == nil || internal(name) {
			return fmt.Sprintf("group %q does not exist", name)
		}
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *group) int { return int(a.id) - int(b.id) })
	groups = slices.Compact(groups)
	// All are locked together: what one of them does, another may have to do next.
	for _, g := range groups {
		g.mu.Lock()
		defer g.mu.Unlock()
	}
	for _, g := range groups {
		if !g.made() {
			return fmt.Sprintf("group %q does not exist", g.name)
		}
		b := g.backlog()
		if b.lag == 0 && g.out == 0 && !g.resuming() {
			continue
		}
		why := g.idleReason(b)
		if why == "" {
			why = fmt.Sprintf("%d in flight, %d ready", b.inFlight, b.ready)
		}
		return fmt.Sprintf("group %q: %s", g.name, why)
	}
	return ""
}

// backlog is what a group is not done with.
type backlog struct{ lag, ready, inFlight, waiting, parked int64 }

// backlog counts records: subtracting offsets would count gaps. It is called with g.mu held.
func (g *group) backlog() backlog {
	var b backlog
	if g.known == nil {
		for _, c := range g.before() {
			parked := g.parkedOf(c.Partition)
			b.lag += g.engine.lag(c.Partition, c.Floor, c.Passed, 0, ranges(c.Done)) + parked
			b.parked += parked
		}
	}
	for _, p := range g.active {
		b.lag += p.lag() + p.parked()
		b.parked += p.parked()
	}
	b.inFlight = int64(g.out)
	if g.set != nil {
		b.waiting = int64(g.set.Waiting() + len(g.parked))
	}
	b.ready = max(0, b.lag-(b.inFlight-int64(g.claimed))-b.waiting)
	return b
}

// lag counts what the group is not done with.
func (p *partition) lag() int64 {
	w := &p.window
	return p.group.engine.lag(p.id, w.Next(), w.Passed(), w.Open(), w.Ahead())
}

// forgetBefore has before look again.
func (g *group) forgetBefore() { g.dormant, g.dormantParked, g.asked = nil, nil, false }

// before returns the cursors of a group that nobody joined in this process, on the topics that it reads, as far as that is known.
func (g *group) before() []storage.Cursor {
	if g.asked {
		return g.dormant
	}
	g.asked = true
	g.dormantParked = g.parkedBefore()
	for _, t := range g.engine.userTopics() {
		if g.topics != nil && !slices.Contains(g.topics, t.Name) { // it has a cursor there of when it read the topic
			continue
		}
		for n := range t.Partitions {
			if c, ok := g.engine.store.Cursor(g.id, t.Partition(n)); ok {
				g.dormant = append(g.dormant, c)
			}
		}
	}
	return g.dormant
}

// idleReason says why nothing runs; "" if something does, or could.
func (g *group) idleReason(b backlog) string {
	switch {
	case g.err != nil:
		return "stopped: " + g.err.Error()
	case g.paused() && b.ready+b.waiting > 0:
		return "paused"
	case len(g.members) == 0:
		return "no members"
	case g.resuming():
		return "resuming"
	case b.inFlight == 0 && g.broken() != nil && !g.runnable():
		return "damaged: " + g.broken().Error()
	case b.inFlight > 0 && b.ready > 0 && g.allFull():
		return "in flight full"
	case b.inFlight > 0:
		return ""
	case b.waiting > 0 && b.ready == 0:
		return "waiting for a retry"
	case b.waiting > 0:
		return g.behindRetry()
	}
	return ""
}

// runnable tells whether something could be handed out now.
func (g *group) runnable() (could bool) {
	g.feeds(func(f *feed) { could = could || f.turns.Lanes() > 0 || f.work() > 0 && g.mayRead() })
	return could
}

// resuming tells whether a member has yet to say, by Group.Resume, where a partition goes on: that may be behind what is done.
func (g *group) resuming() bool {
	return slices.ContainsFunc(g.members, func(m *member) bool { return m.adopting || m.mustAdopt() })
}

// allFull tells whether no member takes more before it settles something.
func (g *group) allFull() bool {
	return !slices.ContainsFunc(g.members, func(m *member) bool { return !m.full() })
}

// behindRetry says what keeps ready messages from running while others wait for a retry; "" if nothing does.
func (g *group) behindRetry() string {
	for _, p := range g.active {
		if p.unread && (p.window.Len() >= windowRecords || p.window.Bytes() >= windowBytes) {
			return fmt.Sprintf("window full: %s/%d holds %d records, %d bytes from offset %d on, which waits for a retry%s",
				p.topic.Name, p.number, p.window.Len(), p.window.Bytes(), p.window.Floor(), g.parkTrouble())
		}
	}
	if !g.mayRead() {
		queued := g.set.Queued()
		return fmt.Sprintf("full: %d records, %d bytes wait behind retries%s", queued.Items+g.toPark.items, queued.Bytes+g.toPark.bytes, g.parkTrouble())
	}
	runnable := 0
	g.feeds(func(f *feed) { runnable += f.work() })
	if runnable == 0 {
		return "waiting for a retry"
	}
	return ""
}

// parkTrouble says why what waits is not parked, if that is so.
func (g *group) parkTrouble() string {
	switch {
	case g.parkFull:
		return "; no room to park it: too much is parked"
	case g.parkAgain > 0:
		return "; parking it failed, and is tried again"
	}
	return ""
}

// parkedOf counts what a group that nobody joined in this process has parked of a partition.
func (g *group) parkedOf(id storage.PartitionID) (n int64) {
	for i := range g.dormantParked {
		if at := &g.dormantParked[i]; at.partition == id {
			n += at.lag(g.engine)
		}
	}
	return n
}
