package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leatmq/leat/storage"
)

// What a group has parked is found again when somebody joins it. Where it is damaged its partition is not handed out: all that is parked comes before all that is not. The others are, and when the damage is
// skipped or mended it is looked for once more.

// recall finds what the group had parked of p before. Nobody uses p yet.
func (p *partition) recall(g *group) error {
	t, ok := g.engine.store.Topic(parkName(g.id, p.topic.First))
	if !ok || p.number >= t.Partitions { // the topic was given it since anything was parked
		return nil
	}
	k, err := p.recalled(g, t.Partition(p.number))
	p.park = k
	return err
}

// recalled returns what is parked in a partition of the store. If it is damaged it says so, and is not known.
func (p *partition) recalled(g *group, id storage.PartitionID) (*parking, error) {
	k := newParking(p)
	k.id = id
	k.restore(g)
	err := k.find(g)
	if err == nil {
		return k, nil
	}
	err = fmt.Errorf("queue: what group %q parked of %s/%d: %w", g.name, p.topic.Name, p.number, g.engine.explained(err))
	var damage *storage.DamageError
	if errors.As(err, &damage) {
		k.unknown, k.asleep, err = err, nil, nil
	}
	return k, err
}

// find reads what there is.
func (k *parking) find(g *group) error {
	e := g.engine
	b, below, err := e.removed(k.id, k.window.Next(), k.window.Ahead())
	if err == nil && b.First > k.window.Next() { // an operator purged it
		k.window.Skip(b.First, max(0, below-k.window.Passed()))
	}
	for err == nil && k.window.Next() < b.Next {
		var rs []storage.Record
		var next int64
		rs, next, err = e.store.Read(nil, k.id, k.window.Next(), readBytes)
		for i := range rs {
			if err == nil {
				err = k.recall(g, &rs[i])
			}
		}
		k.window.Advance(next)
		if len(rs) == 0 {
			break
		}
	}
	if err == nil {
		k.given = k.window.Reached(b.Records)
	}
	return err
}

// recall adds a record that was found.
func (k *parking) recall(g *group, r *storage.Record) error {
	slot, fresh := k.window.Add(r.Offset, r.Size())
	if !fresh {
		return nil
	}
	s, err := decodeParked(r.Headers)
	if err != nil {
		return err
	}
	if f, ok := k.window.Failure(r.Offset); ok {
		s.due = f.Due
	}
	k.asleep = append(k.asleep, ref{
		offset: r.Offset, origin: s.origin, slot: slot, lane: g.set.Key(r.Key), due: s.due, appended: s.appended, size: int32(r.Size()),
		named: r.Key != nil, passes: s.passes,
	})
	return nil
}

// remember looks once more for what is parked of partitions where it is not known. The caller holds g.setup.
func (g *group) remember() error {
	for _, p := range g.forgetful() {
		k, err := p.recalled(g, p.park.id)
		if err != nil {
			return err
		}
		g.mu.Lock()
		if p.park.unknown != nil { // else the group was moved
			p.park = k
			p.awaken()
		}
		g.mu.Unlock()
	}
	return nil
}

// remind looks once more for what is parked of the silent partitions of a group that somebody has just joined: who mended the damage before found no group to be told. Those of which
// it is known now are struck out. The caller holds g.setup.
func (g *group) remind(silent map[*partition]error) {
	if len(silent) == 0 {
		return
	}
	_ = g.remember() // of what it did not come to it is as if it had not looked
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(silent, func(p *partition, _ error) bool { return !p.silent() })
}

// rememberNow is remember for who does not hold g.setup.
func (g *group) rememberNow(ctx context.Context) error {
	if err := g.lock(ctx); err != nil {
		return err
	}
	err := g.remember()
	g.unlock()
	if m := g.anyone(); m != nil { // else who comes next is told
		g.tellGiven(m)
	}
	return err
}

func (g *group) anyone() *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) == 0 {
		return nil
	}
	return g.members[0]
}

// forgetful lists the partitions of which it is not known what is parked.
func (g *group) forgetful() (ps []*partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.known {
		if p.park != nil && p.park.unknown != nil {
			ps = append(ps, p)
		}
	}
	return ps
}

// awaken has what was found of p be used, if there are members. It is called with g.mu held.
func (p *partition) awaken() {
	k := p.park
	k.learned()
	p.recount()
	switch {
	case p.broken == nil || len(p.group.members) == 0: // see begin
	case k.unknown != nil:
		p.broken = k.unknown
	default:
		k.form()
		p.unbreak()
	}
}

// learned has the cursor of what was found be written, if it changed with that, and what was given up be missed. It is called with g.mu held.
func (k *parking) learned() {
	if k.marked || k.given > 0 {
		k.touch()
	}
}

// tellGiven tells m what was given up of what is parked, and that the group has missed it.
func (g *group) tellGiven(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range slices.Clone(g.active) {
		if k := p.park; k != nil && k.given > 0 {
			n := k.given
			k.given = 0
			p.miss(m, 0, p.window.Next(), n)
		}
	}
}

// silent has the partitions be broken of which it is not known what is parked, and no others, and says why; an error if no other is left. It is called with g.mu held.
func (g *group) silent() (map[*partition]error, error) {
	silent := map[*partition]error{}
	for _, p := range g.active {
		if p.broken = nil; p.park != nil && p.park.unknown != nil {
			p.broken = p.park.unknown
			silent[p] = p.broken
		}
	}
	if len(silent) > 0 && len(silent) == len(g.active) {
		return nil, g.broken()
	}
	return silent, nil
}
