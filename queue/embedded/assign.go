package embedded

import (
	"context"
	"slices"

	"github.com/leatmq/leat/queue"
)

// spread says who of so many members gets each partition, given who has it, -1 for nobody: each as many as the others, give or take one,
// and nothing moves that need not.
func spread(owners []int, members int) []int {
	want := slices.Clone(owners)
	has := make([]int, members)
	for _, m := range owners {
		if m >= 0 {
			has[m]++
		}
	}
	quota := quotas(has, len(owners))
	for i, m := range owners {
		if m < 0 {
			continue
		}
		if quota[m] == 0 {
			want[i] = -1
			continue
		}
		quota[m]--
	}
	next := 0
	for i := range want {
		if want[i] >= 0 {
			continue
		}
		for quota[next] == 0 {
			next++
		}
		want[i] = next
		quota[next]--
	}
	return want
}

// quotas splits n partitions among members who have some; those who have most get the odd ones.
func quotas(has []int, n int) []int {
	least, odd := n/len(has), n%len(has)
	byHas := make([]int, len(has))
	for i := range byHas {
		byHas[i] = i
	}
	slices.SortStableFunc(byHas, func(a, b int) int { return has[b] - has[a] })
	quota := make([]int, len(has))
	for rank, m := range byHas {
		quota[m] = least
		if rank < odd {
			quota[m]++
		}
	}
	return quota
}

// rebalance spreads the partitions over the members. A partition in which something is in flight moves when that is settled. The members
// of an unordered group share them all, and are told of none.
func (g *group) rebalance() {
	if g.order == queue.Unordered || len(g.members) == 0 {
		return
	}
	index := make(map[*member]int, len(g.members))
	for i, m := range g.members {
		index[m] = i
	}
	owners := make([]int, len(g.active))
	for i, p := range g.active {
		owners[i] = -1
		holder := p.owner
		if p.heir != nil {
			holder = p.heir
		}
		if n, ok := index[holder]; ok && (n == 0 || !g.exclusive) {
			owners[i] = n
		}
	}
	members := len(g.members)
	if g.exclusive {
		members = 1
	}
	for i, m := range spread(owners, members) {
		g.active[i].route(g.members[m])
	}
	g.wakeAll()
}

// route gives the partition to m, as soon as nothing of it is in flight.
func (p *partition) route(m *member) {
	if p.heir == m {
		return
	}
	if p.heir != nil {
		p.heir.feed.drop(p)
		p.heir = nil
	}
	if p.owner == m {
		if !p.adopting {
			p.attach(m.feed)
		}
		return
	}
	p.heir = m
	p.detach()
	if p.owner == nil && !p.revoking {
		m.feed.pending = append(m.feed.pending, p)
		return
	}
	p.group.passOn(p)
}

func (f *feed) drop(p *partition) {
	if i := slices.Index(f.pending, p); i >= 0 {
		f.pending = slices.Delete(f.pending, i, i+1)
	}
}

// passOn takes p from its owner if it has to move and nothing holds it.
func (g *group) passOn(p *partition) {
	if p.owner == nil || p.adopting || p.lanes.Out() > 0 || p.heir == nil && !p.owner.left {
		return
	}
	p.detach()
	g.revoked = append(g.revoked, revocation{p.owner, p})
	p.owner, p.revoking = nil, true
}

// revocation is a partition that a member lost, and has to be told of.
type revocation struct {
	member    *member
	partition *partition
}

// tellRevoked tells members what they lost; only then do others get it. It is called without g.mu.
func (g *group) tellRevoked() {
	for {
		g.mu.Lock()
		if len(g.revoked) == 0 {
			g.mu.Unlock()
			return
		}
		r := g.revoked[0]
		g.revoked = slices.Delete(g.revoked, 0, 1)
		g.mu.Unlock()
		r.member.Revoked(r.partition.topic.Name, r.partition.number)
		g.mu.Lock()
		r.partition.revoking = false
		if m := r.partition.heir; m != nil {
			m.feed.pending = append(m.feed.pending, r.partition)
			m.feed.wake(0)
		}
		g.mu.Unlock()
	}
}

// mustAdopt tells whether the member may do nothing else before it took over partitions.
func (m *member) mustAdopt() bool { return m.Group.Resume != nil && len(m.feed.pending) > 0 }

// mayAdopt tells whether a receiver should take over partitions now.
func (m *member) mayAdopt() bool {
	return len(m.feed.pending) > 0 && (m.Group.Resume == nil || len(m.out) == 0 && !m.adopting)
}

// adopt takes over what is pending. It is called with g.mu held and returns with it held; callbacks run without it.
func (m *member) adopt(ctx context.Context) {
	g := m.group
	ps := m.feed.pending
	m.feed.pending = nil
	m.adopting = m.Group.Resume != nil
	for _, p := range ps {
		p.owner, p.heir, p.adopting = m, nil, true
	}
	g.mu.Unlock()
	for _, p := range ps {
		m.Assigned(p.topic.Name, p.number)
	}
	var err error
	if m.Group.Resume != nil {
		err = m.resumeAll(ctx, ps)
	}
	g.mu.Lock()
	m.adopting = false
	if err != nil {
		m.err = err
	}
	for _, p := range ps {
		p.adopting = false
		if err == nil && !m.left && p.heir == nil {
			p.attach(m.feed)
		}
		g.passOn(p)
	}
	m.blocked.wakeAll()
	if m.err != nil {
		m.feed.wakeAll()
	}
	m.feed.wake(1)
	g.mu.Unlock()
	if m.Group.Resume != nil {
		g.engine.changes.notify()
	}
	g.tellRevoked()
	g.mu.Lock()
}
