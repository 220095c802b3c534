package timers

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
)

// rig is an index over a store with one topic, "t", that messages go to, and what is known of it.
type rig struct {
	testing.TB
	store  *logged
	index  *Index
	target storage.Topic
	refs   int
	alter  func(m *Message, to ID) *Aside
	leave  func(ms []Message) func(error)

	mu     sync.Mutex
	offset time.Duration // guarded by mu; by which the wall clock is wrong
	early  []string      // guarded by mu; complaints
	told   []uint64      // guarded by mu; numbers of messages that left, in order
	dues   []int64       // guarded by mu; their due times
}

func newRig(t testing.TB, s *logged, refs int) *rig {
	g := &rig{TB: t, store: s, refs: refs}
	var err error
	if g.target, err = ensure(context.Background(), s, storage.TopicSpec{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Add(g.offset)
}

// turn sets the wall clock.
func (g *rig) turn(by time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.offset += by
}

func (g *rig) open() {
	g.Helper()
	x, err := Open(context.Background(), Options{
		Store: g.store, Name: "leat.delayed.test", References: g.refs, Now: g.now, ledgers: 4, Alter: g.alter, Leave: g.leave,
		Place: func(m *Message) storage.PartitionID {
			if now := g.now().UnixNano(); now < m.Due {
				g.mu.Lock()
				g.early = append(g.early, fmt.Sprintf("message %d comes %v early", number(m.Record.Value), time.Duration(m.Due-now)))
				g.mu.Unlock()
			}
			return g.target.Partition(0)
		},
		Told: func(ms []Message) {
			g.mu.Lock()
			defer g.mu.Unlock()
			for i := range ms {
				g.told = append(g.told, number(ms[i].Record.Value))
				g.dues = append(g.dues, ms[i].Due)
			}
		},
	})
	if err != nil {
		g.Fatal(err)
	}
	g.index = x
}

func number(value []byte) uint64 { return binary.BigEndian.Uint64(value) }

// record makes a delayed message.
func (g *rig) record(n uint64, due int64) storage.Record {
	return storage.Record{
		Value:   binary.BigEndian.AppendUint64(nil, n),
		Headers: AppendHeaders(nil, &Envelope{Due: due, First: g.target.First, Pin: -1, Topic: "t"}, Key{}),
	}
}

// publish delays messages n, n+1, ... until their due times, in one entry. Every third has a chosen key.
func (g *rig) publish(n uint64, due ...int64) ([]ID, error) {
	var rs []storage.Record
	chosen := make([]ID, len(due))
	for i, d := range due {
		rs = append(rs, g.record(n+uint64(i), d))
		if (n+uint64(i))%3 > 0 {
			continue
		}
		var err error
		if chosen[i], err = g.index.Choose(d); err != nil {
			return nil, err
		}
		rs[i].Headers = AppendHeaders(nil, &Envelope{Due: d, First: g.target.First, Pin: -1, Topic: "t"}, chosen[i].Key)
	}
	e := storage.Entry{Batches: []storage.Batch{{Partition: g.index.Inbox(), Records: rs}}}
	if _, err := g.store.Append(context.Background(), &e); err != nil {
		return nil, err
	}
	var ids []ID
	for i := range rs {
		if id := chosen[i]; id != (ID{}) {
			ids = append(ids, id)
			continue
		}
		ids = append(ids, g.index.ID(due[i], rs[i].Offset))
	}
	return ids, nil
}

// delivered returns the numbers of the messages that the target has, in order.
func (g *rig) delivered() []uint64 {
	g.Helper()
	var got []uint64
	for from := int64(0); ; {
		rs, next, err := g.store.Read(nil, g.target.Partition(0), from, 1<<20)
		if err != nil {
			g.Fatal(err)
		}
		if len(rs) == 0 {
			return got
		}
		for i := range rs {
			got = append(got, number(rs[i].Value))
		}
		from = next
	}
}

// pending is what the index counts.
func (g *rig) pending() int64 {
	n := int64(0)
	for _, c := range g.index.Stats().Pending {
		n += c
	}
	return n
}

func (g *rig) close() {
	g.Helper()
	g.index.Close()
	for _, s := range g.early {
		g.Error(s)
	}
}
