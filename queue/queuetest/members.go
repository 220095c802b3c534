package queuetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/leatmq/leat/queue"
)

func memberCases() []testCase {
	key, partition := []queue.Feature{queue.CanOrderByKey}, []queue.Feature{queue.CanOrderByPartition}
	return []testCase{
		{name: "MembersShareByKey", needs: key, run: func(s *stage) { sharesPartitions(s, queue.ByKey) }},
		{name: "MembersShareByPartition", needs: partition, run: func(s *stage) { sharesPartitions(s, queue.ByPartition) }},
		{name: "MembersCompeteUnordered", run: competes, needs: []queue.Feature{queue.CanShare}},
		{name: "MembersMustAgree", run: mustAgree},
		{name: "LonelyGroupTakesNewSettings", run: newSettings, needs: []queue.Feature{queue.CanOrderByKey, queue.CanOrderByPartition}},
		{name: "MoreMembersThanPartitions", run: spareMembers},
	}
}

// shares tells which member handled which partition in one round of messages to all partitions.
func (s *stage) shares(partitions int, handled *sync.Map) map[int][]int {
	s.Helper()
	handled.Clear()
	for n := range partitions {
		s.publish(queue.Message{Topic: "t", Key: keyOf(n), Partition: queue.PinTo(n)})
	}
	s.idle("g")
	of := map[int][]int{}
	for n := range partitions {
		m, ok := handled.Load(n)
		if !ok {
			s.Fatalf("nobody handled the message in partition %d", n)
		}
		of[m.(int)] = append(of[m.(int)], n)
	}
	return of
}

// sharesPartitions wants every member to have as many partitions as the others, before long, whoever comes or goes.
func sharesPartitions(s *stage, o queue.Order) {
	const partitions = 6
	s.topic("t", partitions)
	var handled sync.Map // from a partition to the member that had it last
	d := s.detect(o)
	var members []*running
	join := func() {
		number := len(members)
		members = append(members, s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 2},
			d.watch(func(_ context.Context, x *queue.Delivery) error {
				handled.Store(x.Position.Partition(), number)
				return nil
			})))
	}
	settles := func(members ...int) {
		s.Helper()
		var of map[int][]int
		for ctx := s.within(); ctx.Err() == nil; { // it takes as long as what is in flight, of which there is little
			s.quiet()
			of = s.shares(partitions, &handled)
			even := len(of) == len(members)
			for _, m := range members {
				even = even && len(of[m]) == partitions/len(members)
			}
			if even {
				return
			}
		}
		s.Fatalf("the members %v share the partitions as %v", members, of)
	}
	join()
	settles(0)
	join()
	settles(0, 1)
	join()
	settles(0, 1, 2)
	members[1].stop()
	settles(0, 2)
	members[0].stop()
	settles(2)
	members[2].stop()
	s.wantMoves("g", partitions)
}

// wantMoves wants what was told of partitions that came and went to be consistent: nobody gets one that another has, and in the end nobody
// has any.
func (s *stage) wantMoves(group string, partitions int) {
	s.Helper()
	moves, _ := s.log.told()
	held := map[string]bool{}
	for _, m := range moves {
		if m.Group != group {
			continue
		}
		p := fmt.Sprintf("%s/%d", m.Topic, m.Partition)
		if held[p] == m.gained {
			s.Errorf("told that %s was gained: %v, twice", p, m.gained)
		}
		held[p] = m.gained
	}
	if len(held) != partitions {
		s.Errorf("told of partitions %v, want %d", slices.Sorted(maps.Keys(held)), partitions)
	}
	for p, still := range held {
		if still {
			s.Errorf("nobody was told that %s was lost", p)
		}
	}
}

// competes wants two members to have messages of one partition at the same time.
func competes(s *stage) {
	s.topic("t", 1)
	arrived, open := make(chan int, 4), make(chan struct{})
	d := s.detect(queue.Unordered)
	for m := range 2 {
		g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Concurrency: 1}
		s.consume(g, d.watch(func(context.Context, *queue.Delivery) error {
			arrived <- m
			<-open
			return nil
		}))
	}
	s.Cleanup(sync.OnceFunc(func() { close(open) }))
	s.fill("t", 2, 1)
	first, second := await(s, arrived, "a member with a message"), await(s, arrived, "another member with a message")
	if first == second {
		s.Errorf("member %d has both messages, with one worker", first)
	}
}

func mustAgree(s *stage) {
	s.topic("t", 1)
	s.topic("u", 1)
	var orders []queue.Order
	for o, f := range map[queue.Order]queue.Feature{
		queue.ByKey: queue.CanOrderByKey, queue.ByPartition: queue.CanOrderByPartition, queue.Unordered: queue.CanShare,
	} {
		if s.can(f) {
			orders = append(orders, o)
		}
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: orders[0]}
	first := s.consume(g, finish)
	s.idle("g")
	s.fill("t", 1, 0) // the group has a member when this was done
	s.idle("g")
	other := g
	other.Topics = []string{"t", "u"}
	s.wantFault("other topics", s.consume(other, finish).result(), "Topics")
	for _, o := range orders[1:] {
		other := g
		other.Order = o
		s.wantFault(fmt.Sprintf("%v where members have %v", o, g.Order), s.consume(other, finish).result(), "Order")
	}
	second := s.consume(g, finish)
	s.fill("t", 10, 0)
	s.idle("g")
	first.stop()
	second.stop()
}

func newSettings(s *stage) {
	s.topic("t", 2)
	s.topic("u", 1)
	s.fill("t", 20, 3)
	s.fill("u", 10, 3)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	c.stop()
	c = s.collect(queue.Group{Name: "g", Topics: []string{"t", "u"}, Order: queue.ByPartition})
	c.awaitCount(10)
	s.idle("g")
	c.stop()
	if got := len(c.got()); got != 10 {
		s.Errorf("%d messages, want the 10 of the topic that is new to the group", got)
	}
	s.fill("u", 5, 1)
	c = s.collect(queue.Group{Name: "g", Topics: []string{"u"}})
	c.awaitCount(5)
	s.idle("g")
	c.stop()
	if got := len(c.got()); got != 5 {
		s.Errorf("%d messages, want the 5 that are new", got)
	}
}

func spareMembers(s *stage) {
	s.topic("t", 1)
	o := s.someOrder()
	d := s.detect(o)
	var members []*running
	for range 4 {
		members = append(members, s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: o}, d.watch(finish)))
	}
	for i, m := range members {
		s.fill("t", 20, 3)
		s.idle("g")
		if got, want := d.doneCount(), 20*(i+1); got != want {
			s.Errorf("%d messages are done with %d members, want %d", got, len(members)-i, want)
		}
		m.stop()
	}
}
