package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// rosterTopic keeps what is set of groups and is not a cursor: of each group the latest record counts. Its key is the number of the group in decimal, which is
// never used again, so that what was said of a group that is gone holds for no other of its name; its value is a standing in JSON. It is made when
// it is first needed, which for groups that are only consumed is never.
const rosterTopic = internalPrefix + "groups"

// standing is what the roster has of a group.
type standing struct {
	Version     int             `json:"version"`
	Topics      []string        `json:"topics,omitempty"` // sorted; of the members, or of the last that there were
	Order       queue.Order     `json:"order,omitempty"`
	Guarantee   queue.Guarantee `json:"guarantee,omitempty"`
	Exclusive   bool            `json:"exclusive,omitempty"`
	ExpireAfter time.Duration   `json:"expireAfter,omitempty"`
	Unused      time.Duration   `json:"unused,omitempty"` // without members while the store was open, before the process that reads it
	Paused      bool            `json:"paused,omitempty"`
	Uncounted   bool            `json:"uncounted,omitempty"`
	BuryExpired bool            `json:"buryExpired,omitempty"`
}

const standingVersion = 1

// roster reads and writes the topic.
type roster struct {
	engine *engine
	ready  atomic.Bool // what the store had when it was opened is with the groups

	mu    sync.Mutex          // held while it is read or made; taken before group.mu
	topic storage.PartitionID // guarded by mu; the only partition
	made  bool                // guarded by mu; there is the topic
}

// load gives the groups what the store has of them. It is to be called before anything of that is looked at; the first call reads.
func (r *roster) load() error {
	if r.ready.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready.Load() {
		return nil
	}
	t, ok := r.engine.store.Topic(rosterTopic)
	if ok {
		all, err := r.read(t.First)
		if err != nil {
			return fmt.Errorf("queue: reading what is set of groups: %w", r.engine.explained(err))
		}
		r.spread(all)
		r.topic, r.made = t.First, true
	}
	r.ready.Store(true)
	return nil
}

// read returns the latest standings.
func (r *roster) read(p storage.PartitionID) (map[storage.GroupID]*standing, error) {
	all := map[storage.GroupID]*standing{}
	for from := int64(0); ; {
		rs, next, err := r.engine.store.Read(nil, p, from, readBytes)
		if err != nil || len(rs) == 0 {
			return all, err
		}
		for i := range rs {
			id, err := strconv.ParseUint(string(rs[i].Key), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("offset %d: %w", rs[i].Offset, err)
			}
			if len(rs[i].Value) == 0 {
				delete(all, storage.GroupID(id))
				continue
			}
			s, err := decodeStanding(rs[i].Value)
			if err != nil {
				return nil, fmt.Errorf("offset %d: group %d: %w", rs[i].Offset, id, err)
			}
			all[storage.GroupID(id)] = s
		}
		from = next
	}
}

func decodeStanding(value []byte) (*standing, error) {
	s := &standing{}
	if err := json.Unmarshal(value, s); err != nil {
		return nil, err
	}
	if s.Version != standingVersion {
		return nil, fmt.Errorf("version %d: made by a newer version", s.Version)
	}
	return s, nil
}

// spread gives each group what is its own. None has members yet.
func (r *roster) spread(all map[storage.GroupID]*standing) {
	for _, g := range r.engine.allGroups() {
		s := all[g.id]
		if s == nil {
			continue
		}
		g.mu.Lock()
		g.kept = s
		g.take(s)
		g.vacant = r.engine.now()
		g.mu.Unlock()
	}
}

// take makes s the group's settings. It is called with g.mu held.
func (g *group) take(s *standing) {
	g.topics, g.order, g.guarantee, g.exclusive, g.uncounted, g.buries = s.Topics, s.Order, s.Guarantee, s.Exclusive, s.Uncounted, s.BuryExpired
	g.expires(s.ExpireAfter)
}

// enrol adds to e what is to be known of g from then on.
func (r *roster) enrol(ctx context.Context, e *storage.Entry, g *group, s *standing) error {
	p, err := r.partition(ctx)
	if err != nil {
		return err
	}
	record := storage.Record{Key: strconv.AppendUint(nil, uint64(g.id), 10)}
	if s != nil { // else it is forgotten
		s.Version = standingVersion
		if record.Value, err = json.Marshal(s); err != nil {
			return err
		}
	}
	if len(e.Batches) == 0 {
		e.Batches = []storage.Batch{{Partition: p}}
	}
	e.Batches[0].Records = append(e.Batches[0].Records, record)
	return nil
}

// partition returns the topic's partition, and makes the topic if it is not there.
func (r *roster) partition(ctx context.Context) (storage.PartitionID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made {
		return r.topic, nil
	}
	s := storage.Strategy{Cleanup: storage.CleanupPolicy{LatestByKey: true}}
	t, err := r.engine.store.CreateTopic(ctx, storage.TopicSpec{Name: rosterTopic, Partitions: 1, Strategy: s})
	if errors.Is(err, storage.ErrExists) { // by a call whose outcome was not known
		var ok bool
		if t, ok = r.engine.store.Topic(rosterTopic); ok {
			err = nil
		}
	}
	if err != nil {
		return 0, translate(err)
	}
	r.engine.cleaned(&s)
	r.topic, r.made = t.First, true
	return r.topic, nil
}

// write stores s as what is known of g, durable on return. The caller holds g.setup.
func (r *roster) write(ctx context.Context, g *group, s *standing) error {
	var e storage.Entry
	if err := r.enrol(ctx, &e, g, s); err != nil {
		return err
	}
	if _, err := r.engine.store.Append(ctx, &e); err != nil {
		return fmt.Errorf("queue: settings of group %q: %w", g.name, translate(err))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = s
	return nil
}

// standing returns what would be written of g now. It is called with g.mu held.
func (g *group) standing() *standing {
	if g.kept != nil {
		s := *g.kept
		return &s
	}
	return &standing{Topics: g.read(), Order: g.order, Guarantee: g.guarantee, Exclusive: g.exclusive, Uncounted: g.uncounted, BuryExpired: g.buries}
}

// read returns the names of the topics of the group, as far as they are known. It is called with g.mu held.
func (g *group) read() []string {
	if g.topics != nil {
		return g.topics
	}
	var names []string
	for _, c := range g.before() {
		if t, _, ok := g.engine.partitionOf(c.Partition); ok && (len(names) == 0 || names[len(names)-1] != t.Name) {
			names = append(names, t.Name)
		}
	}
	return sorted(names)
}
