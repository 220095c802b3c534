package queuetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
)

func conductCases() []testCase {
	return []testCase{
		{name: "HandlersOfEveryConduct", run: func(s *stage) { conducts(s, false) }, asks: asksBubble},
		{name: "BatchHandlersOfEveryConduct", run: func(s *stage) { conducts(s, true) }, asks: asksBubble},
		{name: "HandlerThatDoesNotReturnLosesItsMessage", run: givenUp},
		{name: "WorkersThatAreAllStuckAreNamed", run: stuckNamed, needs: []queue.Feature{queue.CanOrderByKey}, asks: asksBubble},
	}
}

// conduct is how a handler behaves in one call.
type conduct int

const (
	succeeds          conduct = iota
	publishes                 // to its own topic
	returnsInTheGrace         // nil, when its context has ended
	fails
	panicking
	panicsNil
	exits
	heeds        // its context, and returns its error
	ignores      // its context, and returns too late
	neverReturns // before all is over
	conductCount
)

// What a handler has, and what it gets to return when that is over.
const (
	conductTimeout = time.Second
	conductGrace   = time.Second
)

// conducts has handlers behave in every way, in many short runs.
func conducts(s *stage, batch bool) {
	chance := s.dice()
	var counts [conductCount]int
	for i := range s.sized(20, 300, 20_000) {
		r := &conductRun{
			s: s, chance: chance, batch: batch, over: make(chan struct{}), counts: &counts, attempts: map[queue.Position]int{},
			done: map[queue.Position]bool{}, holders: map[laneName]*conductCall{}, before: s.broker.Stats(),
			group: queue.Group{
				Name: fmt.Sprint("g-", i), Topics: []string{fmt.Sprint("t-", i)}, Order: s.someOrder(), Concurrency: 1 + i%4,
				HandlerTimeout: conductTimeout, Failure: endless,
			},
		}
		if batch {
			r.group.Batch = queue.Batch{Messages: 1 + chance.n(4)}
		}
		r.run()
		if s.Failed() {
			return
		}
	}
	for c, n := range counts {
		if n == 0 {
			s.Errorf("17: no handler was of conduct %d", c)
		}
	}
}

// conductRun is one topic and a group whose handlers behave in every way.
type conductRun struct {
	s      *stage
	chance *dice
	batch  bool
	group  queue.Group
	over   chan struct{} // closed when all is done
	before queue.Stats

	mu       sync.Mutex
	attempts map[queue.Position]int // begun
	done     map[queue.Position]bool
	holders  map[laneName]*conductCall // the last to begin
	stored   int
	panics   int64
	late     int64 // messages of calls that returned too late
	counts   *[conductCount]int
}

// conductCall is one call of a handler.
type conductCall struct {
	began time.Time
	ended bool
}

// givenUp tells whether nobody waits for it any more.
func (c *conductCall) givenUp() bool { return time.Since(c.began) >= conductTimeout+conductGrace }

func (r *conductRun) run() {
	s, topic := r.s, r.group.Topics[0]
	s.topic(topic, 2)
	r.stored = 8
	s.fill(topic, r.stored, 4)
	consumed := s.start(func(ctx context.Context) error {
		if r.batch {
			return s.broker.ConsumeBatch(ctx, r.group, r.handleBatch)
		}
		return s.broker.Consume(ctx, r.group, func(ctx context.Context, d *queue.Delivery) error {
			return r.handle(ctx, []*queue.Delivery{d})
		})
	})
	s.idle(r.group.Name)
	close(r.over)
	time.Sleep(conductTimeout + 2*conductGrace) // those return that were given up
	consumed.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.done) != r.stored {
		s.Errorf("12: %d messages are done, %d were stored", len(r.done), r.stored)
	}
	after := s.broker.Stats()
	if after.Late-r.before.Late != r.late || after.Panics-r.before.Panics != r.panics || after.Handlers != 0 {
		s.Errorf("%d late outcomes and %d panics are counted, want %d and %d; %d handlers run",
			after.Late-r.before.Late, after.Panics-r.before.Panics, r.late, r.panics, after.Handlers)
	}
}

func (r *conductRun) handleBatch(ctx context.Context, ds []*queue.Delivery) []error {
	if err := r.handle(ctx, ds); err != nil {
		return queue.FailAll(ds, err)
	}
	return nil
}

func (r *conductRun) handle(ctx context.Context, ds []*queue.Delivery) (err error) {
	how := r.choose(ds)
	c := r.begin(ds)
	failing := true
	defer func() { r.end(c, ds, failing || err != nil, how) }()
	err = r.behave(ctx, how, ds[0])
	failing = false
	return err
}

// choose says how to behave. Later attempts succeed, so that every run ends.
func (r *conductRun) choose(ds []*queue.Delivery) conduct {
	how := conduct(r.chance.n(int(conductCount)))
	for _, d := range ds {
		if d.Attempt > 3 {
			how = succeeds
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if how == publishes {
		if r.stored == 12 {
			return succeeds
		}
		r.stored++
	}
	r.counts[how]++
	return how
}

func (r *conductRun) behave(ctx context.Context, how conduct, d *queue.Delivery) error {
	time.Sleep(time.Duration(r.chance.n(3)) * time.Millisecond)
	switch how {
	case publishes:
		_, err := r.s.broker.Publish(ctx, queue.Message{Topic: d.Topic, Key: d.Key})
		return err
	case fails:
		return errAgain
	case panicking:
		panic(errAgain)
	case panicsNil:
		panic(nil)
	case exits:
		runtime.Goexit()
	case heeds:
		<-ctx.Done()
		return ctx.Err()
	case returnsInTheGrace:
		<-ctx.Done()
		time.Sleep(conductGrace / 2)
	case ignores:
		time.Sleep(conductTimeout + conductGrace + time.Millisecond)
	case neverReturns:
		<-r.over
	}
	return nil
}

// begin wants nobody else at work on the messages, or on their lanes, who is not given up.
func (r *conductRun) begin(ds []*queue.Delivery) *conductCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &conductCall{began: time.Now()}
	for _, d := range ds {
		what := fmt.Sprintf("%s, attempt %d", d.Position, d.Attempt)
		if r.attempts[d.Position]++; r.attempts[d.Position] != d.Attempt {
			r.s.Errorf("%s: it is the %d. that begins", what, r.attempts[d.Position])
		}
		if r.done[d.Position] {
			r.s.Errorf("%s: it was done", what)
		}
		lane := (&detector{order: r.group.Order}).lane(d)
		if h := r.holders[lane]; h != nil && h != c && !h.ended && !h.givenUp() {
			r.s.Errorf("15: %s: somebody is at work on its lane since %v", what, time.Since(h.began))
		}
		r.holders[lane] = c
	}
	return c
}

func (r *conductRun) end(c *conductCall, ds []*queue.Delivery, failed bool, how conduct) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.ended = true
	if how == panicking || how == panicsNil || how == exits {
		r.panics++
	}
	if c.givenUp() {
		r.late += int64(len(ds))
		return
	}
	for _, d := range ds {
		if !failed {
			r.done[d.Position] = true
		}
	}
}

// givenUp has a handler not return when its time is over.
func givenUp(s *stage) {
	s.topic("t", 1)
	s.fill("t", 2, 1)
	open, again := make(chan struct{}), make(chan *queue.Delivery, 10)
	free := sync.OnceFunc(func() { close(open) })
	var calls atomic.Int32
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, HandlerTimeout: 50 * time.Millisecond}
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		if calls.Add(1) == 1 {
			<-open
			return nil
		}
		kept := *d
		again <- &kept
		return nil
	})
	s.Cleanup(free)
	var got []string
	for range 2 {
		d := await(s, again, "a message after the handler was given up")
		got = append(got, fmt.Sprintf("%s at attempt %d", d.Value, d.Attempt))
	}
	if g.Order == queue.Unordered {
		slices.Sort(got)
	}
	if want := []string{"0 at attempt 2", "1 at attempt 1"}; !slices.Equal(got, want) {
		s.Errorf("got %q, want %q", got, want)
	}
	s.idle("g")
	slow := s.log.slowHandlers()
	if len(slow) != 1 || !slow[0].Abandoned || slow[0].Running < g.HandlerTimeout+conductGrace || len(slow[0].Stack) == 0 {
		s.Errorf("told of slow handlers %+v", slow)
	}
	if late := s.broker.Stats().Late; late != 0 {
		s.Errorf("%d late outcomes before it returned", late)
	}
	free()
	for end := s.within(); s.broker.Stats().Handlers > 0 && end.Err() == nil; {
		s.quiet()
		runtime.Gosched()
	}
	if late := s.broker.Stats().Late; late != 1 {
		s.Errorf("%d late outcomes when it returned, want 1", late)
	}
}

// stuckNamed has as many handlers not return as a member bears.
func stuckNamed(s *stage) {
	s.topic("t", 1)
	s.fill("t", queue.MaxStuckHandlers+2, 0)
	open := make(chan struct{})
	free := sync.OnceFunc(func() { close(open) })
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByKey, Concurrency: 1, HandlerTimeout: time.Second}
	s.consume(g, func(context.Context, *queue.Delivery) error { <-open; return nil })
	s.Cleanup(free)
	time.Sleep(10 * time.Minute)
	stats := s.broker.Stats()
	if stats.Handlers != queue.MaxStuckHandlers+1 {
		s.Errorf("%d handlers run, want %d", stats.Handlers, queue.MaxStuckHandlers+1)
	}
	for _, g := range stats.Groups { // none, if the engine counts nothing
		if g.Ready == 0 || g.Idle == "" {
			s.Errorf("%d ready, and nothing is said of why nothing runs: %+v", g.Ready, g)
		}
	}
	s.wantBusy("g", "does not return")
	free()
	s.idle("g")
}
