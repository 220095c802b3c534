package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leatmq/leat/queue"
)

// errAgain is what handlers of the suite fail with.
var errAgain = errors.New("queuetest: again")

// detector watches the handlers of one group and reports what breaks the promises: two hand-overs of a lane, or of a message, at the
// same time; a message that overtakes another of its lane; one that comes again though it was done; an attempt that is miscounted. It is
// for groups that nothing unclean happens to.
type detector struct {
	order queue.Order
	error func(format string, args ...any)

	mu       sync.Mutex
	lanes    map[laneName]*laneState
	messages map[queue.Position]*messageState
	running  int
	most     int // that ran at the same time
	finished int
}

type laneName struct {
	topic     string
	partition int
	key       string
	lone      queue.Position // of a message that waits for nothing
}

type laneState struct {
	running bool
	started queue.Position // the last that was handed out
	pending bool           // started was not done
}

type messageState struct {
	running, done bool
	attempt       int // that comes next
}

func (s *stage) detect(o queue.Order) *detector {
	return &detector{order: o, error: s.Errorf, lanes: map[laneName]*laneState{}, messages: map[queue.Position]*messageState{}}
}

// verdict is what became of an attempt.
type verdict uint8

const (
	done verdict = iota
	failed
	released // by our own stop
)

// watch returns h, watched. An error that is the end of ctx is taken for our own stop.
func (d *detector) watch(h queue.Handler) queue.Handler {
	return func(ctx context.Context, x *queue.Delivery) error {
		v := failed // a panic too
		d.enter(x)
		defer func() { d.leave(x, v) }()
		err := h(ctx, x)
		switch {
		case err == nil:
			v = done
		case ctx.Err() != nil:
			v = released
		}
		return err
	}
}

func (d *detector) lane(x *queue.Delivery) laneName {
	l := laneName{topic: x.Position.Topic(), partition: x.Position.Partition(), key: string(x.Key)}
	switch {
	case d.order == queue.ByPartition:
		l.key = ""
	case d.order == queue.Unordered || x.Key == nil:
		l.key, l.lone = "", x.Position
	}
	return l
}

func (d *detector) enter(x *queue.Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running++
	d.most = max(d.most, d.running)
	name := d.lane(x)
	l := d.lanes[name]
	if l == nil {
		l = &laneState{}
		d.lanes[name] = l
	}
	m := d.messages[x.Position]
	if m == nil {
		m = &messageState{attempt: 1}
		d.messages[x.Position] = m
	}
	what := fmt.Sprintf("group %s, %s, key %q, attempt %d", x.Group, x.Position, x.Key, x.Attempt)
	switch {
	case m.running:
		d.error("%s: it runs already", what)
	case m.done:
		d.error("%s: it was done", what)
	case m.attempt != x.Attempt:
		d.error("%s: want attempt %d", what, m.attempt)
	}
	switch {
	case l.running:
		d.error("%s: %s of the same lane runs already", what, l.started)
	case l.pending && l.started != x.Position:
		d.error("%s: %s of the same lane is not done", what, l.started)
	case l.started.Covers(x.Position) && l.started != x.Position:
		d.error("%s: %s of the same lane was before it", what, l.started)
	}
	m.running, l.running, l.started = true, true, x.Position
}

func (d *detector) leave(x *queue.Delivery, v verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	l, m := d.lanes[d.lane(x)], d.messages[x.Position]
	l.running, m.running = false, false
	l.pending = v != done
	switch v {
	case done:
		m.done = true
		d.finished++
	case failed:
		m.attempt++
	}
}

// doneCount is how many messages were done, and mostRunning how many handlers ran at once.
func (d *detector) doneCount() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.finished
}

func (d *detector) mostRunning() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.most
}
