package embedded

import (
	"context"
	"time"

	"github.com/leatmq/leat/storage"
)

// A group that expires is deleted when it was without members for so long while the engine was open. What passed between two opens does not count, since a
// clock that was set meanwhile cannot be told from time that passed. The time is on the engine's clock, and its sum is kept in the roster, written from
// time to time: what a crash forgets has a group expire later, never sooner.

// Between these, and at a sixteenth of the time after which a group expires, the time without members is written.
const (
	minUnused = time.Second
	maxUnused = time.Hour
)

// expires says after how long without members the group is deleted; 0: never. It is called with g.mu held.
func (g *group) expires(after time.Duration) {
	g.expireAfter = after
	if after > 0 && g.engine.kind != readOnly {
		signal(g.engine.expiries)
	}
}

// unused is for how long the group has had no members. It is called with g.mu held.
func (g *group) unused(now time.Duration) time.Duration {
	d := now - g.vacant
	if g.kept != nil {
		d += g.kept.Unused
	}
	return d
}

// expiring tells when there is something to do about the group; false: never. It is called with g.mu held.
func (g *group) expiring(now time.Duration) (due time.Duration, expired, ok bool) {
	if g.expireAfter == 0 || len(g.members) > 0 || g.deleted {
		return 0, false, false
	}
	left := g.expireAfter - g.unused(now)
	if left <= 0 {
		return now, true, true
	}
	return min(now+left, g.vacant+min(max(g.expireAfter/16, minUnused), maxUnused)), false, true
}

// expire deletes the groups that were without members for long enough, notes of others for how long they have been, and returns when to look again, on the
// engine's clock; 0: not before there is another group that may expire.
func (e *engine) expire(ctx context.Context) (next time.Duration) {
	now := e.now()
	var idle []*group
	for _, g := range e.allGroups() {
		g.mu.Lock()
		due, expired, ok := g.expiring(now)
		g.mu.Unlock()
		if expired {
			e.expireGroup(ctx, g)
		} else if ok && due <= now {
			idle = append(idle, g)
		}
	}
	e.noteUnused(ctx, idle)
	for _, g := range e.allGroups() {
		g.mu.Lock()
		due, _, ok := g.expiring(now)
		g.mu.Unlock()
		if ok && (next == 0 || due < next) {
			next = max(due, now+minUnused) // what failed is tried again
		}
	}
	return next
}

// expireGroup deletes g unless somebody joins.
func (e *engine) expireGroup(ctx context.Context, g *group) {
	select {
	case <-g.setup:
	default:
		return
	}
	defer g.unlock()
	g.mu.Lock()
	_, expired, _ := g.expiring(e.now())
	g.mu.Unlock()
	if expired {
		e.deleteGroup(ctx, g) // if that fails, the next look tries again
	}
}

// noteUnused writes for how long groups have been without members, in one entry.
func (e *engine) noteUnused(ctx context.Context, gs []*group) {
	var entry storage.Entry
	now := e.now()
	var locked []*group
	var next []*standing
	for _, g := range gs {
		select {
		case <-g.setup:
			locked = append(locked, g)
		default:
			continue
		}
		g.mu.Lock()
		s := g.standing()
		s.Unused = g.unused(now)
		unused := len(g.members) == 0 && !g.deleted
		g.mu.Unlock()
		if unused && e.roster.enrol(ctx, &entry, g, s) == nil {
			next = append(next, s)
		} else {
			next = append(next, nil)
		}
	}
	var err error
	if len(entry.Batches) > 0 {
		_, err = e.store.Append(ctx, &entry)
	}
	for i, g := range locked {
		if next[i] != nil && err == nil {
			g.mu.Lock()
			g.kept, g.vacant = next[i], now
			g.mu.Unlock()
		}
		g.unlock()
	}
}

// vacantGroups lists those that may expire and have no members.
func (e *engine) vacantGroups() []*group {
	var gs []*group
	for _, g := range e.allGroups() {
		g.mu.Lock()
		if _, _, ok := g.expiring(e.now()); ok {
			gs = append(gs, g)
		}
		g.mu.Unlock()
	}
	return gs
}
