package bus

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/leatmq/leat/queue"
)

// Subscriber is a group with the handlers that its events go to. It is made by Bus.Subscribe.
type Subscriber struct {
	bus       *Bus
	group     queue.Group // its Topics are those of the bindings; StartIfNew is for topics that come later
	table     *table
	ephemeral bool
}

// How long the group of an ephemeral subscriber may be without it, since the process died for instance, and how long its end may take.
const (
	ephemeralExpiry = time.Minute
	lastWords       = 10 * time.Second
)

// Subscribe makes a subscriber: a group that gets all events of its bindings that are published from the return on, and those before that g.StartIfNew asks for. They wait until Run
// hands them to the handlers. g is as for queue.Broker.Consume, without Topics and Batch.
//
// With a name it is durable: the group keeps its place over restarts, and does not miss what is published meanwhile, in topics that are made meanwhile either; StartIfNew is looked at when there is no such group. If no topic is of its patterns yet, it begins with the
// first that is.
//
// Without a name it is ephemeral: it begins with what is published from now on, or where StartIfNew says, which Earliest does not, and is gone when Run has returned, or a minute after the process died. What its handlers fail for good is discarded unless g.Failure says otherwise, and its backlog does not count for the limit of a topic: who looks on slowly holds up nobody.
//
// *queue.ConfigError tells of all faults; queue.ErrNotFound that a topic of On is not there; queue.ErrUnsupported that the engine cannot list topics or make groups.
func (b *Bus) Subscribe(ctx context.Context, g queue.Group, bindings ...Binding) (*Subscriber, error) {
	s := &Subscriber{bus: b, group: g, ephemeral: g.Name == ""}
	if s.ephemeral {
		s.shorten()
	}
	var err error
	if s.table, err = newTable(&s.group, bindings); err != nil {
		return nil, err
	}
	if err := s.create(ctx); err != nil {
		return nil, err
	}
	s.group.StartIfNew = queue.Earliest()
	return s, nil
}

// shorten gives an ephemeral subscriber what it did not say itself.
func (s *Subscriber) shorten() {
	g := &s.group
	g.Name = s.bus.uniqueName()
	if g.ExpireAfter == 0 && s.bus.can(queue.CanExpire) {
		g.ExpireAfter = ephemeralExpiry
	}
	g.Uncounted = g.Uncounted || s.bus.can(queue.CanLimit)
	if kind, _, _ := g.StartIfNew.Resolve(); kind == queue.StartEarliest {
		g.StartIfNew = queue.Latest()
	}
	if g.Failure.Exhausted == queue.ToDeadLetter && g.Failure.DeadLetter == "" {
		g.Failure.Exhausted = queue.Discard
	}
}

// create makes the group, if it is not there and has a topic.
func (s *Subscriber) create(ctx context.Context) error {
	topics, _, err := s.route(ctx)
	if err != nil || len(topics) == 0 {
		return err
	}
	g, admin := s.group, s.bus.broker.Admin()
	_, err = admin.Group(ctx, g.Name)
	switch {
	case err == nil: // what it has not read yet came while it was away
		g.StartIfNew = queue.Earliest()
	case !errors.Is(err, queue.ErrNotFound):
		return err
	}
	return admin.CreateGroup(ctx, queue.Group{
		Name: g.Name, Topics: topics, Order: g.Order, Guarantee: g.Guarantee, StartIfNew: g.StartIfNew, Exclusive: g.Exclusive, ExpireAfter: g.ExpireAfter,
		Uncounted: g.Uncounted,
	})
}

// route returns the topics that the subscriber gets now, and the handler of their events.
func (s *Subscriber) route(ctx context.Context) ([]string, queue.Handler, error) {
	var there []string
	if len(s.table.patterns) > 0 {
		infos, err := s.bus.broker.Admin().Topics(ctx)
		if err != nil {
			return nil, nil, err
		}
		for i := range infos {
			there = append(there, infos[i].Name)
		}
	}
	topics, h := s.table.route(there)
	return topics, h, nil
}

// Name is that of the group.
func (s *Subscriber) Name() string { return s.group.Name }

// Run gives events to the handlers until ctx ends, as queue.Broker.Consume does, and with its errors. When a topic comes that is of a pattern, or goes, the group is left and joined again
// with the others: what is in work is finished before. An ephemeral subscriber runs once: its group is deleted then.
func (s *Subscriber) Run(ctx context.Context) (err error) {
	if s.ephemeral {
		defer func() { err = errors.Join(err, s.remove()) }()
	}
	for ctx.Err() == nil {
		topics, h, err := s.route(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if len(topics) == 0 {
			s.await(ctx, nil)
			continue
		}
		if again, err := s.consume(ctx, topics, h); !again {
			return err
		}
	}
	return nil
}

// remove deletes the group of an ephemeral subscriber.
func (s *Subscriber) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	err := s.bus.broker.Admin().DeleteGroup(ctx, s.group.Name)
	if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrClosed) {
		return nil // it had no topic, or expires by itself
	}
	return err
}

// await waits until the topics are others than those, or ctx ends; an error is why it cannot be known.
func (s *Subscriber) await(ctx context.Context, topics []string) error {
	tick := time.NewTicker(s.bus.o.Rescan)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, _, err := s.route(ctx)
		if err != nil || !slices.Equal(now, topics) {
			return err
		}
	}
}

// errRejoin ends a membership whose topics are others now.
var errRejoin = errors.New("bus: the topics of the subscriber changed")

// consume runs a member of the group with these topics. again says that the topics changed.
func (s *Subscriber) consume(ctx context.Context, topics []string, h queue.Handler) (again bool, err error) {
	member, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if len(s.table.patterns) == 0 {
			return
		}
		if err := s.await(member, topics); err != nil {
			stop(err)
			return
		}
		stop(errRejoin)
	}()
	g := s.group
	g.Topics = topics
	err = s.bus.broker.Consume(member, g, h)
	cause := context.Cause(member) // nil: it ended by itself
	stop(nil)
	<-watched
	switch {
	case ctx.Err() != nil:
		return false, err
	case err == nil && errors.Is(cause, errRejoin):
		return true, nil
	case errors.Is(err, queue.ErrNotFound) && len(s.table.patterns) > 0:
		now, _, failed := s.route(ctx)
		return failed == nil && !slices.Equal(now, topics), err
	case err == nil:
		return false, cause
	}
	return false, err
}
