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

	mu            sync.Mutex
	err           error                                           // guarded by mu; why nothing is handed out any more
	members       []*member                                       // guarded by mu
	topics        []string                                        // guarded by mu; sorted; of the members, or of the last that there were
	order         queue.Order                                     // guarded by mu; the same
	guarantee     queue.Guarantee                                 // guarded by mu; the same
	known         map[storage.PartitionID]*partition              // guarded by mu; all that were ever joined
	active        []*partition                                    // guarded by mu; of topics: the first of each topic, the second of each, ...
	set           *lanes.Set[message]                             // guarded by mu
	shared        feed                                            // guarded by mu; of all members, if Unordered
	ahead         lanes.Count                                     // guarded by mu; how far ByPartition reads ahead in a partition
	spare         []*receiver                                     // guarded by mu; to be used again
	buffers       [][]storage.Record                              // guarded by mu; the same
	slabs         []*slab                                         // guarded by mu; with room for another read
	dirty         []*track                                        // guarded by mu; with cursors to be written
	revoked       []revocation                                    // guarded by mu; to be told
	dormant       []storage.Cursor                                // guarded by mu; what the store had before the first Join, once somebody asked
	dormantParked []parkedAt                                      // guarded by mu; the same, of what is parked
	deleted       bool                                            // guarded by mu; nobody joins any more
	asked         bool                                            // guarded by mu; dormant is filled
	out           int                                             // guarded by mu; messages in flight
	claimed       int                                             // guarded by mu; of these, done for the cursor
	suspects      int                                             // guarded by mu; of these, suspects: one at most, but for members with whom nothing comes of it
	launched      []*track                                        // guarded by mu; those with something in flight, as launch left it
	unmarked      int                                             // guarded by mu; hand-overs that waited for their start marks; -1: they do so no more
	carefulUntil  time.Duration                                   // guarded by mu; how long they do so at least, once unmarked is not 0
	committing    int                                             // guarded by mu; of these, being committed
	committed     chan struct{}                                   // guarded by mu; closed when committing is 0, if somebody waits for that
	counts        struct{ delivered, done, failed, missed int64 } // guarded by mu

	parked    parkedUnits   // guarded by mu; what waits in parking
	toPark    tally         // guarded by mu; what is to be parked
	unparking int           // guarded by mu; receivers that read what is parked
	parkFull  bool          // guarded by mu; something of it finds no room
	parkAgain time.Duration // guarded by mu; nothing is parked before, since that failed; 0: it did not

	uncounted   bool          // guarded by mu; as exclusive
	buries      bool          // guarded by mu; a member has Failure.BuryExpired, or had one since there were none
	exclusive   bool          // guarded by mu; as topics: of the members, or of the last that there were
	expireAfter time.Duration // guarded by mu; the same
	vacant      time.Duration // guarded by mu; since when, on the engine's clock, it has no members, if it has none
	seeking     bool          // guarded by mu; it is being moved to another place, and hands out nothing meanwhile
	kept        *standing     // guarded by mu, and changed with setup held; what the roster has of it; nil: nothing. It is replaced, never changed

	watcher *storage.Watcher
	news    []storage.PartitionID // guarded by mu; for notice
	leases  leases                // guarded by mu; what is in flight with a lease
	timer   *time.Timer           // guarded by mu; rings when the next lane is due, or the next lease over
	lapsed  int64                 // guarded by mu; messages that had expired when they were to be handed out, or were removed since they had
	armed   time.Duration         // guarded by mu; when that is; 0: never
}

func newGroup(e *engine, g storage.Group) *group {
	made := &group{engine: e, id: g.ID, name: g.Name, setup: make(chan struct{}, 1), vacant: e.now()}
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
	if g.exclusive != want.Exclusive {
		faults = append(faults, queue.Fault{
			Field: "Exclusive", Have: fmt.Sprint(g.exclusive), Want: fmt.Sprint(want.Exclusive), Rule: rule,
		})
	}
	if g.expireAfter != want.ExpireAfter {
		faults = append(faults, queue.Fault{
			Field: "ExpireAfter", Have: g.expireAfter.String(), Want: want.ExpireAfter.String(), Rule: rule,
		})
	}
	if g.uncounted != want.Uncounted {
		faults = append(faults, queue.Fault{
			Field: "Uncounted", Have: fmt.Sprint(g.uncounted), Want: fmt.Sprint(want.Uncounted), Rule: rule,
		})
	}
	if g.guarantee != want.Guarantee {
		faults = append(faults, queue.Fault{Field: "Guarantee", Have: g.guarantee.String(), Want: want.Guarantee.String(), Rule: rule})
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
