package embedded

import (
	"errors"
	"fmt"
	"slices"

	"github.com/leatmq/leat/storage"
)

// What is to be parked and was in a handler's hands is read again, by who parks. What it finds wrong it leaves to a receiver, which tells its member: see troubles.

// troubles is what was found wrong with messages that were to be parked behind others, and nobody was told of yet.
type troubles struct {
	damage error // one that cannot be read
	missed int64 // so many that are gone
	from   int64 // of these the first,
	to     int64 // and behind the last
}

func (t *troubles) any() bool { return t.damage != nil || t.missed > 0 }

// miss adds a message that is gone.
func (t *troubles) miss(offset int64) {
	if t.missed == 0 {
		t.from, t.to = offset, offset+1
	}
	t.from, t.to = min(t.from, offset), max(t.to, offset+1)
	t.missed++
}

// tell has m be told. It is called with group.mu held and returns with it held; meanwhile it is not.
func (p *partition) tell(m *member, t troubles) {
	epoch := p.epoch
	p.miss(m, t.from, t.to, t.missed)
	if t.damage != nil && epoch == p.epoch {
		p.breakOff(m, t.damage)
	}
}

// reread reads again what handlers had in hand. A unit of which something cannot be read, and nothing is parked, goes back to its lane, where others see to it. Where something is
// parked what is damaged stays behind it, with all that follows, until that is done, or the damage mended or given up.
func (w *parkWrite) reread() error {
	g := w.group
	sound := true
	var read nearby
	for i := range w.moves {
		m := &w.moves[i]
		msg := &m.item.Value
		if m.record = msg.record; !msg.reload {
			continue
		}
		r, err := read.at(g.engine.store, msg.track.id, msg.offset)
		var damage *storage.DamageError
		switch {
		case err == nil && r != nil:
			m.record = *r
			continue
		case err == nil:
			m.gone = true
		case errors.As(err, &damage):
			m.damage = err
		default:
			return fmt.Errorf("queue: reading again what is to be parked: %w", translate(err))
		}
		sound = false
	}
	if !sound {
		g.mu.Lock()
		w.leave()
		g.mu.Unlock()
	}
	return nil
}

// leave takes out of the entry what cannot be parked. It is called with group.mu held.
func (w *parkWrite) leave() {
	writes := map[*unit]int{} // how many of each unit, if that is not all
	for i := range w.moves {
		m := &w.moves[i]
		_, known := writes[m.unit]
		switch {
		case known || m.damage == nil && !m.gone:
		case len(m.unit.refs) == 0:
			writes[m.unit] = 0
		case m.damage != nil:
			writes[m.unit] = slices.Index(m.unit.followers, m.item)
			m.unit.parking.troubles.damage = m.damage
		}
	}
	left := map[*unit]int{}
	w.moves = slices.DeleteFunc(w.moves, func(m move) bool {
		n, some := writes[m.unit]
		left[m.unit]++
		return some && left[m.unit] > n
	})
	for u, n := range writes {
		u.writing = n
		u.rest()
		switch {
		case len(u.refs) > 0:
			u.parking.of.offer()
			u.place()
		case u.followers != nil:
			u.parking.of.group.parked.remove(u)
			u.giveBack()
		}
	}
}

// rest has the followers of u not be written before something changes.
func (u *unit) rest() {
	if u.moving {
		u.moving = false
		u.parking.moving = slices.DeleteFunc(u.parking.moving, func(o *unit) bool { return o == u })
	}
}

// resting tells whether u has followers that wait for damage to be mended or given up, or for what is parked before them.
func (u *unit) resting() bool { return len(u.followers) > 0 && !u.moving && u.writing == 0 }

// stuck counts messages that are to be parked, and cannot be before damage is mended or given up, nor go back to their lanes. It is called with g.mu held.
func (g *group) stuck() (n int) {
	for _, p := range g.active {
		if p.park == nil {
			continue
		}
		for _, u := range p.park.held {
			if u.resting() {
				n += len(u.followers)
			}
		}
	}
	return n
}

// goneAt counts a message of p that is not there any more as missed, unless it is past its time, or a newer one of its key is there. It is called with g.mu held.
func (p *partition) goneAt(offset int64) (missed int64) {
	g := p.group
	if g.engine.sweeper.tookAt(p.id, offset) {
		g.lapsed++
		return 0
	}
	if b, err := g.engine.store.Bounds(p.id); err == nil && offset >= b.First && p.topic.manner.Load().strategy.Cleanup.LatestByKey {
		return 0
	}
	return 1
}
