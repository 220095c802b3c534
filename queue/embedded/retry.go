package embedded

import "time"

// arm has the timer ring when the next lane is due. It is called with g.mu held.
func (g *group) arm() {
	due, ok := g.set.NextDue()
	if !ok || g.err != nil || g.armed != 0 && g.armed <= due {
		return
	}
	g.armed = due
	wait := max(0, due-g.engine.now())
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, g.ring)
		return
	}
	g.timer.Reset(wait)
}

// ring makes ready what is due.
func (g *group) ring() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed = 0
	g.set.Wake(g.engine.now())
	g.arm()
	g.wakeAll()
}

func (g *group) disarm() {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.armed = 0
}
