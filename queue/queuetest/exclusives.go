package queuetest

import (
	"context"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func exclusiveCases() []testCase {
	exclude, expire := []queue.Feature{queue.CanExclude}, []queue.Feature{queue.CanExpire}
	with := func(f queue.Feature) []queue.Feature { return append([]queue.Feature{f}, exclude...) }
	return []testCase{
		{name: "ExclusiveMemberHasAllByKey", run: func(s *stage) { exclusive(s, queue.ByKey) }, needs: with(queue.CanOrderByKey)},
		{name: "ExclusiveMemberHasAllByPartition", run: func(s *stage) { exclusive(s, queue.ByPartition) }, needs: with(queue.CanOrderByPartition)},
		{name: "ExclusiveMemberHasAllUnordered", run: func(s *stage) { exclusive(s, queue.Unordered) }, needs: with(queue.CanShare)},
		{name: "ExclusiveTakesOverWhenWorkIsSettled", run: takeOver, needs: exclude},
		{name: "ExclusiveMustAgree", run: exclusiveAgree, needs: exclude},
		{name: "GroupExpiresWithoutMembers", run: expires, asks: asksGroups | asksBubble, needs: expire},
		{name: "ExpiryMustAgree", run: expiryAgree, needs: expire},
	}
}

// exclusive has members of which only the one that came first gets anything, and when that leaves, the next.
func exclusive(s *stage, o queue.Order) {
	const partitions = 4
	s.topic("t", partitions)
	var handled sync.Map // from a partition to the member that had it last
	d := s.detect(o)
	var members []*running
	for number := range 4 {
		g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 3, Exclusive: true}
		members = append(members, s.consume(g, d.watch(func(_ context.Context, x *queue.Delivery) error {
			handled.Store(x.Position.Partition(), number)
			return nil
		})))
		s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(number)})
		s.idle("g")
		s.quiet() // the member has joined
	}
	for first, m := range members {
		of := s.shares(partitions, &handled)
		if len(of) != 1 || len(of[first]) != partitions {
			// Outside of a bubble the members may have joined in another order; then one has all, whoever it is.
			if s.harness.Bubble || len(of) != 1 {
				s.Errorf("with member %d the first of those that are left, the partitions are shared as %v", first, of)
			}
		}
		m.stop()
	}
	if o != queue.Unordered {
		s.wantMoves("g", partitions)
	}
}

// takeOver stops the active member while it works: the one that stands by gets its messages when it is done, and none before.
func takeOver(s *stage) {
	s.topic("t", 2)
	s.spreadOut(20, 2, 5)
	o := s.someOrder()
	d, h := s.detect(o), s.hold()
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 2, Exclusive: true}
	active := s.consume(g, d.watch(h.handle))
	s.Cleanup(h.free)
	await(s, h.arrived, "a handler")
	await(s, h.arrived, "another handler")
	next := s.collectWatched(g, d)
	s.quiet()
	active.end()
	s.quiet()
	if got := len(next.got()); got != 0 {
		s.Errorf("%d messages came to a member that stands by", got)
	}
	h.free()
	active.result()
	s.idle("g")
	if got := d.doneCount(); got != 20 {
		s.Errorf("%d messages are done, want 20", got)
	}
	if got := len(next.got()); got != 18 {
		s.Errorf("%d messages came to the next member, want 18", got)
	}
}

func exclusiveAgree(s *stage) {
	s.topic("t", 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Exclusive: true}
	r := s.consume(g, finish)
	s.fill("t", 1, 0)
	s.idle("g")
	other := g
	other.Exclusive = false
	s.wantFault("a member that shares", s.consume(other, finish).result(), "Exclusive")
	r.stop()
	s.consume(other, finish) // it is alone
	s.fill("t", 1, 0)
	s.idle("g")
}

// expires has a group whose members come and go, for long.
func expires(s *stage) {
	s.topic("t", 2)
	s.fill("t", 10, 3)
	g := queue.Group{Name: "g", Topics: []string{"t"}, ExpireAfter: 10 * time.Minute}
	plain := s.collect(queue.Group{Name: "plain", Topics: []string{"t"}})
	s.idle("plain")
	plain.stop()
	there := func(what string, want bool) {
		s.Helper()
		_, err := s.broker.Admin().Group(s.within(), "g")
		if (err == nil) != want {
			s.Errorf("%s: %v", what, err)
		}
	}
	for range 3 {
		c := s.collect(g)
		time.Sleep(20 * time.Minute)
		there("with a member for twenty minutes", true)
		if info := s.groupInfo("g"); info.ExpireAfter != 10*time.Minute {
			s.Errorf("%+v", info)
		}
		c.stop()
		time.Sleep(9*time.Minute + 50*time.Second)
		there("ten minutes without members are not over", true)
	}
	time.Sleep(20 * time.Second)
	there("ten minutes without members are over", false)
	if info := s.groupInfo("plain"); info.Members != 0 {
		s.Errorf("%+v", info)
	}
	c := s.collect(g) // from the beginning
	s.idle("g")
	if got := len(c.got()); got != 10 {
		s.Errorf("the group made anew got %d messages, want 10", got)
	}
	c.stop()
	s.create(queue.Group{Name: "made", Topics: []string{"t"}, Order: s.someOrder(), ExpireAfter: 20 * time.Minute})
	time.Sleep(15 * time.Minute)
	there("ten minutes without members are over again", false)
	if info := s.groupInfo("made"); info.ExpireAfter != 20*time.Minute {
		s.Errorf("%+v", info)
	}
	s.create(queue.Group{Name: "made", Topics: []string{"t"}, Order: s.someOrder()}) // it stays, now
	time.Sleep(30 * time.Minute)
	if info := s.groupInfo("made"); info.ExpireAfter != 0 || info.Ready != 10 {
		s.Errorf("%+v", info)
	}
}

func expiryAgree(s *stage) {
	s.topic("t", 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), ExpireAfter: time.Hour}
	s.consume(g, finish)
	s.fill("t", 1, 0)
	s.idle("g")
	g.ExpireAfter = 2 * time.Hour
	s.wantFault("another time", s.consume(g, finish).result(), "ExpireAfter")
}
