package queuetest

import (
	"context"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
)

// resumeAlone has a member get partitions while its handlers work: Resume never runs beside them, nor beside the work of whoever had the
// partition before.
func resumeAlone(s *stage) {
	const others, each = 5, 120
	s.topic("t", resumePartitions)
	l := &resumeLog{s: s, chance: s.dice()}
	s.spreadOut(each, resumePartitions, 10)
	l.member()
	for range others {
		asked, handled, r := l.member()
		await(s, asked, "a call of Resume for the newcomer")
		s.spreadOut(each, resumePartitions, 10)
		await(s, handled, "a message for the newcomer")
		r.stop() // what it leaves goes to the first, who is at work
	}
	s.idle("g")
	if got := l.handled.Load(); got != (1+others)*each {
		s.Errorf("%d messages were handled, want each of %d once", got, (1+others)*each)
	}
}

const resumePartitions = 6

// resumeLog is what members keep beside their effects.
type resumeLog struct {
	s       *stage
	chance  *dice
	last    [resumePartitions]atomic.Pointer[queue.Position] // that was handled, whoever did
	working [resumePartitions]atomic.Int32                   // handlers, whoever's
	handled atomic.Int64
}

// member starts one, and tells of its first Resume and its first message.
func (l *resumeLog) member() (asked, handled chan struct{}, r *running) {
	s := l.s
	asked, handled = make(chan struct{}, 1), make(chan struct{}, 1)
	note := func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	var handlers, resumes atomic.Int32
	alone := func() {
		if h, r := handlers.Load(), resumes.Load(); r > 1 || r > 0 && h > 0 {
			s.Errorf("%d handlers and %d calls of Resume run at the same time in one member", h, r)
		}
	}
	g := resumeGroup(func(p int) (queue.Position, error) {
		resumes.Add(1)
		defer resumes.Add(-1)
		alone()
		s.dawdle(l.chance)
		alone()
		if l.working[p].Load() > 0 {
			s.Errorf("Resume of partition %d while a message of it is in work", p)
		}
		note(asked)
		if last := l.last[p].Load(); last != nil {
			return *last, nil
		}
		return queue.Position{}, nil
	})
	r = s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		at := d.Position
		handlers.Add(1)
		defer handlers.Add(-1)
		l.working[at.Partition()].Add(1)
		defer l.working[at.Partition()].Add(-1)
		alone()
		s.dawdle(l.chance)
		alone()
		if last := l.last[at.Partition()].Swap(&at); last != nil && last.Covers(at) {
			s.Errorf("%s came after %s, with its position kept", at, *last)
		}
		l.handled.Add(1)
		note(handled)
		return nil
	})
	return asked, handled, r
}
