package queuetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func leaseCases() []testCase {
	lease, key := []queue.Feature{queue.CanLease}, []queue.Feature{queue.CanLease, queue.CanOrderByKey}
	share := []queue.Feature{queue.CanLease, queue.CanShare}
	return []testCase{
		{name: "LeasesAreSettled", run: leasesSettled, needs: lease},
		{name: "LeaseExpires", run: leaseExpires, needs: lease},
		{name: "LeaseExpiresToAnotherMember", run: leaseMoves, needs: share},
		{name: "ExpiredLeaseKeepsItsPlace", run: leaseKeepsPlace, needs: key, asks: asksBubble},
		{name: "ExtendedLeaseDoesNotExpire", run: leaseExtended, needs: lease, asks: asksBubble},
		{name: "LeaseEndsAtItsDeadline", run: leaseDeadline, needs: lease, asks: asksBubble},
		{name: "NackedLeaseComesAgain", run: leaseNacked, needs: lease},
		{name: "AckPublishes", run: ackPublishes, needs: append(lease[:1:1], queue.CanCommit)},
		{name: "AckOfWhatCannotBeStored", run: ackRefused, needs: append(lease[:1:1], queue.CanCommit), asks: asksTopics},
		{name: "AckIsDurable", run: ackDurable, needs: lease, asks: asksRestart},
		{name: "LeasesAtMostOnce", run: leasesAtMostOnce, needs: append(lease[:1:1], queue.CanClaim), asks: asksBubble},
		{name: "OneOutcomeOfALeaseCounts", run: oneOutcome, needs: lease},
		{name: "OutcomesCountThoughTheirContextEnded", run: outcomeWithoutContext, needs: lease},
		{name: "OutcomesAfterAClose", run: outcomesAfterClose, needs: lease, asks: asksRestart},
		{name: "LeasesAreBounded", run: leasesBounded, needs: share},
	}
}

// borrowing is a range over Deliveries in the background, whose leases come through a channel.
type borrowing struct {
	*running
	leases chan *queue.Lease
}

func (s *stage) borrow(g queue.Group) *borrowing {
	if g.Name == "" {
		g.Name = "g"
	}
	g.Topics = []string{"t"}
	if g.Order == queue.ByKey {
		g.Order = s.someOrder()
	}
	if g.Failure.MaxAttempts == 0 && g.Guarantee != queue.AtMostOnce {
		g.Failure = endless
	}
	b, leases := s.broker, make(chan *queue.Lease, 1000)
	return &borrowing{leases: leases, running: s.start(func(ctx context.Context) error {
		for l, err := range b.Deliveries(ctx, g) {
			if err != nil {
				return err
			}
			leases <- l
		}
		return nil
	})}
}

func (b *borrowing) next() *queue.Lease {
	b.s.Helper()
	return await(b.s, b.leases, "a lease")
}

// over waits until a lease is, and wants it to be lost.
func (s *stage) over(l *queue.Lease) {
	s.Helper()
	await(s, l.Context().Done(), "the end of a lease")
	if cause := context.Cause(l.Context()); !errors.Is(cause, queue.ErrLeaseLost) {
		s.Errorf("the context of a lease that was lost ended with %v", cause)
	}
	for name, settle := range map[string]func() error{
		"Ack":       func() error { return l.Ack(s.Context()) },
		"Nack":      func() error { return l.Nack(s.Context(), errAgain) },
		"NackAfter": func() error { return l.NackAfter(s.Context(), time.Hour, errAgain) },
		"Extend":    func() error { return l.Extend(s.Context(), time.Hour) },
	} {
		s.wantError(name+" of a lease that was lost", settle(), queue.ErrLeaseLost)
	}
}

func (s *stage) ack(l *queue.Lease) {
	s.Helper()
	if err := l.Ack(s.within()); err != nil {
		s.Errorf("Ack: %v", err)
	}
	if l.Context().Err() == nil {
		s.Error("the context of a lease goes on after its Ack")
	}
}

func leasesSettled(s *stage) {
	const n = 20
	s.topic("t", 2)
	s.fill("t", n, 3)
	b := s.borrow(queue.Group{Concurrency: 4})
	seen := map[queue.Position]bool{}
	for range n {
		l := b.next()
		if l.Attempt != 1 || l.Group != "g" || seen[l.Position] || len(l.Value) == 0 || l.Deadline().Before(time.Now()) {
			s.Errorf("got %+v, held until %v", *l.Delivery, l.Deadline())
		}
		seen[l.Position] = true
		s.ack(l)
	}
	s.idle("g")
	b.stop()
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := c.got(); len(got) > 0 {
		s.Errorf("%d messages came again though they were settled", len(got))
	}
}

// shortLease passes soon, without a bubble too.
const shortLease = 20 * time.Millisecond

func leaseExpires(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	b := s.borrow(queue.Group{Lease: shortLease})
	first := b.next()
	s.over(first)
	for i := 2; ; i++ { // without a bubble the next may expire too
		l := b.next()
		if l.LastError != "the lease expired" && l.LastError != "" { // where it is kept
			s.Errorf("the last error is told as %q", l.LastError)
		}
		if l.Attempt != i || l.Position != first.Position || string(l.Value) != "0" {
			s.Fatalf("after a lease expired came %+v, want attempt %d of %s", *l.Delivery, i, first.Position)
		}
		if err := l.Ack(s.within()); err == nil {
			break
		} else if s.harness.Bubble || !errors.Is(err, queue.ErrLeaseLost) {
			s.Fatal("Ack: ", err)
		}
		s.over(l)
	}
	s.idle("g")
	expired := s.log.expiries()
	if len(expired) == 0 || expired[0] != (queue.LeaseExpiredEvent{Group: "g", Position: first.Position, Attempt: 1}) {
		s.Errorf("told of %+v, want the first attempt", expired)
	}
	if _, failed := s.log.told(); len(failed) > 0 {
		s.Errorf("told of failures %v: a lease that expired is told once", failed)
	}
}

func leaseMoves(s *stage) {
	s.topic("t", 1)
	a := s.borrow(queue.Group{Order: queue.Unordered, Concurrency: 1, Lease: shortLease})
	s.fill("t", 1, 0)
	held := a.next()
	b := s.borrow(queue.Group{Order: queue.Unordered, Concurrency: 2, Lease: time.Hour})
	s.over(held)
	var l *queue.Lease
	for l == nil { // a may get it again, and lose it
		select {
		case l = <-b.leases:
		case held = <-a.leases:
			s.over(held)
		}
	}
	if l.Attempt < 2 || l.Position != held.Position {
		s.Errorf("the other member got %+v", *l.Delivery)
	}
	s.wantError("a late Ack", held.Ack(s.within()), queue.ErrLeaseLost)
	if err := l.Context().Err(); err != nil {
		s.Errorf("a late Ack ended the lease of another: %v", err)
	}
	s.ack(l)
	s.idle("g")
}

// leaseKeepsPlace has a lease expire while messages of its key wait behind it.
func leaseKeepsPlace(s *stage) {
	s.topic("t", 1)
	s.fill("t", 3, 1)
	b := s.borrow(queue.Group{Order: queue.ByKey, Concurrency: 3})
	for i, want := range []string{"0", "0", "1", "1", "2"} {
		l := b.next()
		if string(l.Value) != want {
			s.Fatalf("lease %d is of message %s, want %s", i, l.Value, want)
		}
		if i == 0 || i == 2 {
			s.over(l)
			continue
		}
		s.ack(l)
	}
	s.idle("g")
}

func leaseExtended(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	b := s.borrow(queue.Group{Lease: time.Second})
	l := b.next()
	s.wantFault("Extend by nothing", l.Extend(s.Context(), 0), "extension")
	for range 10 {
		time.Sleep(900 * time.Millisecond)
		if err := l.Extend(s.Context(), time.Second); err != nil {
			s.Fatal("Extend: ", err)
		}
		if left := time.Until(l.Deadline()); left != time.Second {
			s.Errorf("%v are left after an Extend by 1s", left)
		}
	}
	s.ack(l)
	s.idle("g")
	if len(b.leases) > 0 || len(s.log.expiries()) > 0 {
		s.Errorf("%d leases more, told of %v", len(b.leases), s.log.expiries())
	}
}

func leaseDeadline(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	b := s.borrow(queue.Group{})
	for i, left := range []time.Duration{30 * time.Second, time.Minute, time.Second} {
		l, began := b.next(), time.Now()
		if l.Attempt != i+1 {
			s.Errorf("lease %d is of attempt %d", i+1, l.Attempt)
		}
		if i > 0 {
			if err := l.Extend(s.Context(), left); err != nil {
				s.Fatal("Extend: ", err)
			}
		}
		if got := time.Until(l.Deadline()); got != left {
			s.Errorf("the deadline is %v away, want %v", got, left)
		}
		s.over(l)
		if took := time.Since(began); took != left {
			s.Errorf("the lease was over after %v, want %v", took, left)
		}
	}
	s.ack(b.next())
	s.idle("g")
}

func leaseNacked(s *stage) {
	const delay = 60 * time.Millisecond
	s.topic("t", 1)
	s.fill("t", 1, 0)
	b := s.borrow(queue.Group{Concurrency: 2})
	l := b.next()
	if err := l.Nack(s.within(), errAgain); err != nil {
		s.Fatal("Nack: ", err)
	}
	began := time.Now()
	l = b.next()
	if err := l.NackAfter(s.within(), delay, nil); err != nil {
		s.Fatal("NackAfter: ", err)
	}
	again := time.Now()
	l = b.next()
	if waited := time.Since(again); waited < delay {
		s.Errorf("it came %v after NackAfter, want %v at least", waited, delay)
	}
	if l.Attempt != 3 {
		s.Errorf("attempt %d after two were nacked", l.Attempt)
	}
	if err := l.NackAfter(s.within(), -1, errAgain); err != nil {
		s.Fatal("NackAfter: ", err)
	}
	s.ack(b.next())
	s.idle("g")
	_, failed := s.log.told()
	if len(failed) != 3 || !errors.Is(failed[0].Err, errAgain) || failed[1].Err == nil || failed[1].After != delay || failed[2].Attempt != 3 {
		s.Errorf("told of failures %+v, beginning %v ago", failed, time.Since(began))
	}
}

// oneOutcome settles each lease in several ways at once.
func oneOutcome(s *stage) {
	n := s.sized(100, 1000, 10_000)
	s.topic("t", 3)
	s.fill("t", n, 7)
	b, chance := s.borrow(queue.Group{Concurrency: 5}), s.dice()
	ended := map[queue.Position]bool{}
	for len(ended) < n {
		l := b.next()
		if ended[l.Position] {
			s.Fatalf("%s came again though it was acked", l.Position)
		}
		ack := func() error { return l.Ack(s.Context()) }
		nack := func() error { return l.Nack(s.Context(), errAgain) }
		if l.Attempt > 2 { // it would take ever longer
			nack = func() error { return l.NackAfter(s.Context(), 0, errAgain) }
		}
		if l.Attempt > 4 {
			nack = ack
		}
		ways := []func() error{ack, nack, nack, ack}
		first := chance.n(len(ways))
		errs := make([]error, len(ways))
		var all sync.WaitGroup
		for i := range ways {
			i = (i + first) % len(ways)
			all.Go(func() { errs[i] = ways[i]() })
		}
		all.Wait()
		count := 0
		for i, err := range errs {
			switch {
			case err == nil:
				count++
				if i == 0 || i == 3 || l.Attempt > 4 {
					ended[l.Position] = true
				}
			case !errors.Is(err, queue.ErrLeaseLost):
				s.Errorf("an outcome failed with %v, want ErrLeaseLost", err)
			}
		}
		if count != 1 {
			s.Fatalf("%d outcomes of one lease took effect", count)
		}
	}
	s.idle("g")
	if got := s.broker.Stats().Late; got == 0 {
		s.Error("no late outcomes are counted")
	}
}

// outcomeWithoutContext settles after the loop's context, and that of the outcome, have ended.
func outcomeWithoutContext(s *stage) {
	s.topic("t", 1)
	s.fill("t", 3, 0)
	b := s.borrow(queue.Group{Concurrency: 2})
	first := b.next()
	gone, cancel := context.WithCancel(s.Context())
	cancel()
	b.end()
	s.quiet()
	select {
	case err := <-b.ended:
		s.Fatalf("the loop ended with %v while a lease was held", err)
	default:
	}
	if err := first.Ack(gone); errors.Is(err, queue.ErrLeaseLost) {
		s.Errorf("Ack: %v", err)
	}
	for len(b.leases) > 0 { // one that was handed out before the end
		s.ack(b.next())
	}
	if err := b.result(); err != nil {
		s.Errorf("the loop ended with %v, want nil", err)
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	for _, d := range c.got() {
		if d.Position == first.Position {
			s.Errorf("%s came again, attempt %d", d.Position, d.Attempt)
		}
	}
}

func leasesBounded(s *stage) {
	const most = 3
	s.topic("t", 4)
	s.fill("t", 40, 0)
	b := s.borrow(queue.Group{Order: queue.Unordered, Concurrency: most})
	held := make(chan *queue.Lease, most)
	for i := range 40 {
		l := b.next()
		held <- l
		if i < most-1 {
			continue
		}
		s.quiet()
		if len(b.leases) > 0 {
			s.Fatalf("more than %d leases are held", most)
		}
		s.ack(<-held)
	}
	for len(held) > 0 {
		s.ack(<-held)
	}
	s.idle("g")
}
