package embedded

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/lanes"
	"github.com/leatmq/leat/storage"
)

// group is a durable reader and its dispatcher. What it knows of cursors is the truth from the first Join on; the store has what was true
// at the last flush.
type group struct {
	engine *engine
	id     storage.GroupID
	name   string
	setup  chan struct{} // holds a token while nobody joins

	mu      sync.Mutex
	err     error                                           // guarded by mu; why nothing is handed out any more
	members []*member                                       // guarded by mu
	topics  []string                                        // guarded by mu; sorted; of the members, or of the last that there were
	order   queue.Order                                     // guarded by mu; the same
	known   map[storage.PartitionID]*partition              // guarded by mu; all that were ever joined
	active  []*partition                                    // guarded by mu; of topics: the first of each topic, the second of each, ...
	set     *lanes.Set[message]                             // guarded by mu
	shared  feed                                            // guarded by mu; of all members, if Unordered
	ahead   lanes.Count                                     // guarded by mu; how far ByPartition reads ahead in a partition
	spare   []*receiver                                     // guarded by mu; to be used again
	buffers [][]storage.Record                              // guarded by mu; the same
	dirty   []*partition                                    // guarded by mu; with cursors to be written
	revoked []revocation                                    // guarded by mu; to be told
	dormant []storage.Cursor                                // guarded by mu; what the store had before the first Join, once somebody asked
	deleted bool                                            // guarded by mu; nobody joins any more
	asked   bool                                            // guarded by mu; dormant is filled
	out     int                                             // guarded by mu; messages in flight
	counts  struct{ delivered, done, failed, missed int64 } // guarded by mu

	watcher *storage.Watcher
	news    []storage.PartitionID // guarded by mu; for notice
	timer   *time.Timer           // guarded by mu; rings when the next lane is due
	armed   time.Duration         // guarded by mu; when that is; 0: never
}

func newGroup(e *engine, g storage.Group) *group {
	made := &group{engine: e, id: g.ID, name: g.Name, setup: make(chan struct{}, 1)}
	made.setup <- struct{}{}
	return made
}

// group finds or makes a group.
func (e *engine) group(ctx context.Context, name string) (*group, error) {
	if g := e.existing(name); g != nil {
		return g, nil
	}
	stored, err := e.store.CreateGroup(ctx, name)
	if err != nil {
		return nil, translate(err)
	}
	e.mu.Lock()
	g := e.groups[name]
	if g == nil {
		g = newGroup(e, stored)
		e.groups[name] = g
	}
	e.mu.Unlock()
	e.changes.notify()
	return g, nil
}

func (e *engine) existing(name string) *group {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.groups[name]
}

// fail ends the group: all that receive get err.
func (g *group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop(err)
}

// stop is fail, with g.mu held.
func (g *group) stop(err error) {
	if g.err == nil {
		g.err = err
	}
	g.disarm()
	for _, m := range g.members {
		m.feed.wakeAll()
		m.blocked.wakeAll()
	}
}

// agree refuses a newcomer whose shared settings are not those of the members. It is called with g.mu held.
func (g *group) agree(want *queue.Group) error {
	if len(g.members) == 0 {
		return nil
	}
	var faults []queue.Fault
	const rule = "a group's live members share it"
	if topics := sortedTopics(want); !slices.Equal(g.topics, topics) {
		faults = append(faults, queue.Fault{Field: "Topics", Have: strings.Join(g.topics, ", "), Want: strings.Join(topics, ", "), Rule: rule})
	}
	if g.order != want.Order {
		faults = append(faults, queue.Fault{Field: "Order", Have: g.order.String(), Want: want.Order.String(), Rule: rule})
	}
	if faults == nil {
		return nil
	}
	return &queue.ConfigError{Subject: fmt.Sprintf("group %q", g.name), Faults: faults}
}

func sortedTopics(g *queue.Group) []string { return slices.Sorted(slices.Values(g.Topics)) }

// feeds calls f for each feed of the group.
func (g *group) feeds(f func(*feed)) {
	if g.order == queue.Unordered {
		f(&g.shared)
		return
	}
	for _, m := range g.members {
		f(m.feed)
	}
}

// wakeAll wakes receivers for all that there is to do.
func (g *group) wakeAll() {
	g.feeds(func(f *feed) { f.wake(0) })
	for _, m := range g.members {
		m.unblock()
	}
}
