package embedded

import (
	"context"
	"slices"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/lanes"
	"github.com/leatmq/leat/storage"
)

// A cursor says what is in flight: start marks, in the notes of failures. They ride on what is written anyway, some milliseconds after the hand-over, and nobody waits
// for them. After the process died, those that were marked are suspects: each has one more of Handover.Crashes, and they run alone, one at a time in the group, so that
// the one that kills the process is told from its neighbours.
//
// A message that kills the process sooner than its mark is written would never be known. So after an open that found that the owner before had died, groups wait until the
// marks of what they hand out are durable, until they are past all that can have been in flight then. The first such death, after an open that found nothing wrong, goes unseen.
const (
	carefulRecords = 1 << 14         // hand-overs of a group that wait for their marks: more than are settled between two flushes
	carefulTime    = 2 * time.Second // and for how long they do so at least
	suspectPause   = 20 * time.Millisecond
)

// started is the note of a message in flight of which nothing else is known.
var started = note{started: true}.encode()

// launch notes for each track what of it is in flight, ascending. What is done already, or is being stored as such, is not. It is called with g.mu held.
func (g *group) launch() {
	for _, t := range g.launched {
		t.flying = t.flying[:0]
	}
	g.launched = g.launched[:0]
	for _, m := range g.members {
		for _, it := range m.out {
			msg := &it.Value
			if msg.claimed || msg.committing && !msg.starting {
				continue
			}
			t := msg.track
			if len(t.flying) == 0 {
				g.launched = append(g.launched, t)
			}
			t.flying = append(t.flying, msg.offset)
		}
	}
	for _, t := range g.launched {
		slices.Sort(t.flying)
	}
}

// suspected turns the start marks of a cursor that was found into suspicions, if its owner died, and tells whether there were any.
func suspected(failed []storage.Failure, died bool) (left []storage.Failure, marked bool) {
	for _, f := range failed {
		n := decodeNote(f.Note)
		if n.started {
			marked, n.started = true, false
			if died {
				n.crashes++
			}
			if f.Note = n.encode(); f.Attempts == 0 && n.crashes == 0 {
				continue
			}
		}
		left = append(left, f)
	}
	return left, marked
}

// indifferent tells whether nothing comes of suspicions with this member, so that nothing needs to run alone for them.
func (m *member) indifferent() bool { return m.Group.Failure.MaxCrashes < 0 }

// alone tells whether it may be handed out now, behind n others in the same call, as far as suspicion goes.
func (m *member) alone(it *lanes.Item[message], n int) bool {
	return !it.Value.suspect || n == 0 && m.group.suspects == 0 || m.indifferent()
}

// putBack returns items that were taken and may not be handed out now.
func (g *group) putBack(items []*lanes.Item[message]) {
	for _, it := range items {
		if it.Value.suspect && g.suspects > 0 {
			it.Back(g.engine.later(suspectPause))
			g.arm()
			continue
		}
		it.Back(0)
	}
}

// careful tells whether hand-overs wait for their start marks, of which there are n now.
func (m *member) careful(n int) bool {
	g := m.group
	if !g.engine.died || g.unmarked < 0 || m.indifferent() {
		return false
	}
	now := g.engine.now()
	if g.unmarked == 0 {
		g.carefulUntil = now + carefulTime
	}
	if g.unmarked += n; g.unmarked > carefulRecords && now > g.carefulUntil {
		g.unmarked = -1
		return false
	}
	return true
}

// markStarts makes the start marks of hs durable. It is called with g.mu held and returns with it held; meanwhile it is not. After an error hs are in flight still.
func (m *member) markStarts(ctx context.Context, hs []queue.Handover) error {
	x := &commit{member: m, starts: true}
	for i := range hs {
		t := hs[i].Handle.(*token)
		t.item.Value.starting = true
		x.begin(t, &queue.Settlement{})
	}
	g := m.group
	g.mu.Unlock()
	err := m.commit(context.WithoutCancel(ctx), x)
	g.mu.Lock()
	if err == nil && m.left {
		err = queue.ErrClosed
	}
	return err
}
