package embedded

import "time"

// arm has the timer ring when the next lane is due, or the next lease over. It is called with g.mu held.
func (g *group) arm() {
	due, ok := g.nextDue()
	if !ok || due == held || g.err != nil || g.armed != 0 && g.armed <= due {
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

func (g *group) nextDue() (due time.Duration, ok bool) {
	due, ok = g.set.NextDue()
	if len(g.parked) > 0 && (!ok || g.parked[0].due < due) {
		due, ok = g.parked[0].due, true
	}
	if g.parkAgain > 0 && (!ok || g.parkAgain < due) {
		due, ok = g.parkAgain, true
	}
	if len(g.leases) > 0 && (!ok || g.leases[0].Value.until < due) {
		return g.leases[0].Value.until, true
	}
	return due, ok
}

// ring makes ready what is due, and takes back what was leased for so long.
func (g *group) ring() {
	tellExpired(g.rung())
}

func (g *group) rung() []expiredLease {
	g.mu.Lock()
	g.armed = 0
	now := g.engine.now()
	expired := g.expire(now)
	g.set.Wake(now)
	g.parked.wake(now)
	if g.parkAgain > 0 && g.parkAgain <= now {
		g.parkAgain = 0
		g.engine.committer.park(g)
	}
	g.arm()
	g.wakeAll()
	revoked := len(g.revoked) > 0
	g.mu.Unlock()
	if revoked {
		g.tellRevoked()
	}
	return expired
}

func (g *group) disarm() {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.armed = 0
}
