package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func leaseholderCases() []testCase {
	lease := []queue.Feature{queue.CanLease}
	return []testCase{
		{name: "LeaseholdersOfEveryConduct", run: leaseholders, asks: asksBubble, needs: lease},
		{name: "LeaseHistory", run: leaseHistory, needs: lease},
	}
}

// tenure is how somebody holds a lease.
type tenure int

const (
	acks tenure = iota
	acksTwice
	acksAtTheEnd // a moment before the deadline
	acksLate     // at the deadline
	acksLater
	acksUnheard // with a context that has ended
	nacks
	nacksTwice
	extends     // several times, and acks
	extendsLate // and acks all the same
	drops       // and does nothing
	tenureCount
)

const tenureLease = time.Second

// leaseholders has those who hold leases behave in every way, in many short runs.
func leaseholders(s *stage) {
	chance := s.dice()
	var counts [tenureCount]int
	for i := range s.sized(20, 300, 20_000) {
		h := s.newTenancy(fmt.Sprint("g-", i), fmt.Sprint("t-", i))
		h.counts = &counts
		s.topic(h.group.Topics[0], 2)
		s.fill(h.group.Topics[0], 10, 4)
		h.group.Lease, h.group.Concurrency = tenureLease, 1+i%5
		loops := []*running{h.start(chance), h.start(chance)}
		s.idle(h.group.Name)
		for _, l := range loops {
			l.stop()
		}
		h.working.Wait()
		h.judge(10)
		if s.Failed() {
			return
		}
	}
	for c, n := range counts {
		if n == 0 {
			s.Errorf("17: nobody held a lease in way %d", c)
		}
	}
}

// tenancy watches who holds the leases of a group.
type tenancy struct {
	s       *stage
	group   queue.Group
	working sync.WaitGroup

	mu      sync.Mutex
	holders map[queue.Position]*queue.Lease // the last
	over    map[*queue.Lease]bool           // an outcome was given
	done    map[queue.Position]bool         // an Ack took effect
	counts  *[tenureCount]int
}

// newTenancy has no attempt be the last: on a slow machine many leases expire before anybody looks at them, and what is out of attempts would be among the
// dead letters, idle and not done.
func (s *stage) newTenancy(group, topic string) *tenancy {
	return &tenancy{
		s: s, group: queue.Group{Name: group, Topics: []string{topic}, Order: s.someOrder(), Failure: endless},
		holders: map[queue.Position]*queue.Lease{}, over: map[*queue.Lease]bool{}, done: map[queue.Position]bool{},
	}
}

// start runs a loop that has each lease held in a goroutine of its own.
func (h *tenancy) start(chance *dice) *running {
	return h.s.start(func(ctx context.Context) error {
		for l, err := range h.s.broker.Deliveries(ctx, h.group) {
			if err != nil {
				return err
			}
			h.begin(l)
			how := tenure(chance.n(int(tenureCount)))
			if l.Attempt > 3 {
				how = acks
			}
			h.working.Go(func() { h.hold(l, how) })
		}
		return nil
	})
}

// begin wants nobody else to hold a lease of the message.
func (h *tenancy) begin(l *queue.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done[l.Position] {
		h.s.Errorf("%s, attempt %d: it was done", l.Position, l.Attempt)
	}
	if before := h.holders[l.Position]; before != nil && !h.over[before] && time.Now().Before(before.Deadline()) {
		h.s.Errorf("15: %s, attempt %d: attempt %d is held for %v more", l.Position, l.Attempt, before.Attempt, time.Until(before.Deadline()))
	}
	h.holders[l.Position] = l
}

// try gives an outcome, and wants it to take effect or not.
func (h *tenancy) try(l *queue.Lease, ack, takes bool, settle func() error) {
	h.mu.Lock()
	h.over[l] = h.over[l] || takes
	h.done[l.Position] = h.done[l.Position] || ack && takes
	h.mu.Unlock()
	if err := settle(); takes != !errors.Is(err, queue.ErrLeaseLost) {
		h.s.Errorf("%s, attempt %d: an outcome ended with %v, to take effect: %v", l.Position, l.Attempt, err, takes)
	}
}

func (h *tenancy) hold(l *queue.Lease, how tenure) {
	h.mu.Lock()
	h.counts[how]++
	h.mu.Unlock()
	ctx := context.Background()
	ack := func(takes bool) { h.try(l, true, takes, func() error { return l.Ack(ctx) }) }
	nack := func(takes bool) {
		h.try(l, false, takes, func() error { return l.NackAfter(ctx, 10*time.Millisecond, errAgain) })
	}
	extend := func() error { return l.Extend(ctx, tenureLease) }
	switch how {
	case acks:
		ack(true)
	case acksTwice:
		ack(true)
		ack(false)
	case acksAtTheEnd:
		time.Sleep(tenureLease - 1)
		ack(true)
	case acksLate:
		time.Sleep(tenureLease)
		ack(false)
	case acksLater:
		time.Sleep(2 * tenureLease)
		nack(false)
		ack(false)
	case acksUnheard:
		ended, cancel := context.WithCancel(ctx)
		cancel()
		h.try(l, true, true, func() error { return l.Ack(ended) })
	case nacks:
		nack(true)
	case nacksTwice:
		nack(true)
		nack(false)
		ack(false)
	case extends:
		for range 3 {
			time.Sleep(tenureLease - 1)
			if err := extend(); err != nil {
				h.s.Errorf("%s: Extend: %v", l.Position, err)
			}
		}
		ack(true)
	case extendsLate:
		time.Sleep(tenureLease)
		h.try(l, false, false, extend)
		ack(false)
	case drops:
	}
}

// judge wants all of n messages to be done, and every hand-over to be over.
func (h *tenancy) judge(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.done) != n {
		h.s.Errorf("12: %d messages are done, %d were stored", len(h.done), n)
	}
	for p, l := range h.holders {
		if l.Context().Err() == nil {
			h.s.Errorf("%s: the last lease, of attempt %d, goes on", p, l.Attempt)
		}
	}
}

// leaseHistory has several members' leases held for about as long as they last, and settled from several goroutines at once. No message has
// two that are live at a time, and no outcome is lost: what was acknowledged does not come again, and all is in the end.
func leaseHistory(s *stage) {
	const partitions, keys = 3, 7
	n := s.sized(200, 2000, 20_000)
	s.topic("t", partitions)
	s.fill("t", n, keys)
	h, chance := s.newTenancy("g", "t"), s.dice()
	h.group.Lease, h.group.Concurrency = 10*time.Millisecond, 8
	var loops []*running
	for range 3 {
		loops = append(loops, s.start(func(ctx context.Context) error {
			for l, err := range s.broker.Deliveries(ctx, h.group) {
				if err != nil {
					return err
				}
				h.begin(l)
				for range 2 {
					h.working.Go(func() { h.hurry(l, chance) })
				}
			}
			return nil
		}))
	}
	s.idle("g")
	for _, l := range loops {
		l.stop()
	}
	h.working.Wait()
	h.judge(n)
	if got := s.broker.Stats(); got.Late == 0 || s.harness.Bubble && len(s.log.expiries()) == 0 {
		s.Errorf("17: %d late outcomes, %d leases that expired", got.Late, len(s.log.expiries()))
	}
}

// hurry settles a lease at some time, together with another who does.
func (h *tenancy) hurry(l *queue.Lease, chance *dice) {
	if chance.n(4) == 0 {
		time.Sleep(time.Duration(chance.n(12)) * time.Millisecond)
	}
	how := chance.n(6)
	if l.Attempt > 4 {
		how = 0
	}
	switch how {
	case 0, 1, 2:
		// It is noted before, since another may have the message at once. If it does not take effect the note is taken back, under the lock that who
		// has the message next needs.
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := l.Ack(context.Background()); err == nil {
			h.over[l], h.done[l.Position] = true, true
		} else if !errors.Is(err, queue.ErrLeaseLost) {
			h.s.Errorf("%s: Ack: %v", l.Position, err)
		}
	case 3:
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := l.NackAfter(context.Background(), time.Millisecond, errAgain); err == nil {
			h.over[l] = true
		}
	case 4:
		l.Extend(context.Background(), 10*time.Millisecond)
	}
}
