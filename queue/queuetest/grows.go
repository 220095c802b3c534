package queuetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func growCases() []testCase {
	grow := func(fs ...queue.Feature) []queue.Feature {
		return append([]queue.Feature{queue.CanAddPartitions}, fs...)
	}
	return []testCase{
		{name: "AddPartitionsWhileAGroupWorks", run: grown, asks: asksTopics, needs: grow()},
		{name: "AddPartitionsWhileAGroupIsAway", run: grownAway, needs: grow()},
		{name: "AddedPartitionsStayAfterARestart", run: grownRestarted, asks: asksRestart | asksTopics, needs: grow()},
		{name: "AddedPartitionsAreNotRemovedAsDone", run: grownHeld, needs: grow(queue.CanRemoveDone, queue.CanRead)},
		{name: "KeysAreSpreadOverAddedPartitions", run: grownKeys, needs: grow()},
		{name: "AddedPartitionsAreRead", run: grownRead, needs: grow(queue.CanRead)},
		{name: "AddedPartitionsAreSoughtAndPurged", run: grownSought, asks: asksTopics | asksGroups, needs: grow(queue.CanSeek)},
		{name: "IDsAreKnownInAddedPartitions", run: grownIDs, needs: grow(queue.CanDedup)},
		{name: "IDsAreKnownInAddedPartitionsAfterARestart", run: grownIDsRestarted, asks: asksRestart, needs: grow(queue.CanDedup)},
		{name: "DelayedMessagesComeToAddedPartitions", run: grownDelayed, needs: grow(queue.CanDelay)},
		{name: "DelayedIDsAreKnownInAddedPartitions", run: grownDelayedIDs, needs: grow(queue.CanDelay, queue.CanDedup)},
		{name: "LettersGoBackToAddedPartitions", run: grownLetters, asks: asksLetters, needs: grow(queue.CanCommit)},
		{name: "KeysAreParkedInAddedPartitions", run: grownParked, needs: grow(queue.CanPark, queue.CanOrderByKey)},
		{name: "BoundedBacklogCountsAddedPartitions", run: grownBounded, needs: grow(queue.CanLimit)},
		{name: "AddPartitionsInMemory", run: grownInMemory, needs: grow(queue.CanStoreInMemory)},
		{name: "AddPartitionsUnderLoadByKey", run: func(s *stage) { grownLoad(s, queue.ByKey) }, needs: grow(queue.CanOrderByKey)},
		{name: "AddPartitionsUnderLoadByPartition", run: func(s *stage) { grownLoad(s, queue.ByPartition) }, needs: grow(queue.CanOrderByPartition)},
		{name: "AddPartitionsUnderLoadUnordered", run: func(s *stage) { grownLoad(s, queue.Unordered) }, needs: grow(queue.CanShare)},
		{name: "AddPartitionsFaultsAreRefused", run: grownFaults, needs: grow()},
	}
}

func (s *stage) grow(topic string, total int) {
	s.Helper()
	if err := s.broker.Admin().AddPartitions(s.within(), topic, total); err != nil {
		s.Fatal(err)
	}
}

// onEach publishes n messages to each of the partitions of "t" from first up to end.
func (s *stage) onEach(first, end, n int) {
	s.Helper()
	for i := range n {
		for p := first; p < end; p++ {
			if r := s.publish(queue.Message{Topic: "t", Value: fmt.Appendf(nil, "%d/%d", p, i), Partition: queue.PinTo(p)})[0]; r.Position.Partition() != p {
				s.Errorf("a message for partition %d is at %s", p, r.Position)
			}
		}
	}
}

// wantGot wants the collector to have got n messages, none of them twice.
func (c *collector) wantGot(what string, n int) {
	c.s.Helper()
	c.awaitCount(n)
	c.s.idle(c.group.Name)
	seen := map[queue.Position]bool{}
	for _, d := range c.got() {
		if seen[d.Position] {
			c.s.Errorf("%s: %s came twice", what, d.Position)
		}
		seen[d.Position] = true
	}
	if len(seen) != n {
		c.s.Errorf("%s: %d messages came, want %d", what, len(seen), n)
	}
}

// grown gives a topic partitions of which a running group, which wants the latest only, misses nothing, and which another member shares.
func grown(s *stage) {
	s.topic("t", 2)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), StartIfNew: queue.Latest()}
	c := s.collect(g)
	s.idle("g")
	s.onEach(0, 2, 3)
	c.wantGot("before", 6)
	s.grow("t", 5)
	s.onEach(0, 5, 3)
	c.wantGot("after", 21)
	other := s.collect(g)
	s.grow("t", 9)
	s.onEach(0, 9, 2)
	s.idle("g")
	if a, b := len(c.got()), len(other.got()); a+b != 39 {
		s.Errorf("two members got %d and %d messages, want 39 together", a, b)
	}
	info := s.topicInfo("t")
	if info.Config.Partitions != 9 || len(info.Partitions) != 9 {
		s.Errorf("the topic is %+v", info)
	}
	s.topic("t", 9)
	s.wantFault("the old number", s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Partitions: 2}), "Partitions")
}

// grownAway gives a topic partitions while a group has no members.
func grownAway(s *stage) {
	s.topic("t", 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), StartIfNew: queue.Latest()}
	c := s.collect(g)
	s.idle("g")
	s.onEach(0, 1, 2)
	c.wantGot("before", 2)
	c.stop()
	s.grow("t", 4)
	s.onEach(0, 4, 3)
	c = s.collect(g)
	c.wantGot("when it comes back", 12)
	c.stop()
	late := queue.Group{Name: "late", Topics: []string{"t"}, Order: s.someOrder(), StartIfNew: queue.Latest()}
	c = s.collect(late)
	s.idle("late")
	if n := len(c.got()); n > 0 {
		s.Errorf("a new group that wants the latest got %d messages", n)
	}
}

func grownRestarted(s *stage) {
	s.topic("t", 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), StartIfNew: queue.Latest()}
	c := s.collect(g)
	s.idle("g")
	c.stop()
	s.grow("t", 3)
	s.onEach(1, 3, 4)
	s.restart()
	if info := s.topicInfo("t"); info.Config.Partitions != 3 || info.Records != 8 {
		s.Errorf("after a restart the topic is %+v", info)
	}
	s.topic("other", 2)
	s.grow("t", 4)
	s.onEach(3, 4, 4)
	s.restart()
	c = s.collect(g)
	c.wantGot("after restarts", 12)
	c.stop()
	s.restart()
	c = s.collect(g)
	s.idle("g")
	if n := len(c.got()); n > 0 {
		s.Errorf("%d messages that were done came again", n)
	}
}

// grownHeld has one group be done with what is in a new partition before another, which is away, has seen it.
func grownHeld(s *stage) {
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Retention: queue.Retention{WhenDone: true}}); err != nil {
		s.Fatal(err)
	}
	slow := queue.Group{Name: "slow", Topics: []string{"t"}, Order: s.someOrder()}
	c := s.collect(slow)
	s.idle("slow")
	c.stop()
	fast := s.collect(queue.Group{Name: "fast", Topics: []string{"t"}, Order: s.someOrder()})
	s.idle("fast")
	s.grow("t", 2)
	s.onEach(1, 2, 5)
	fast.wantGot("who works", 5)
	fast.stop()
	if s.harness.Restart != nil {
		s.restart()
	}
	c = s.collect(slow)
	c.wantGot("who was away", 5)
}

// grownKeys compares where keys go with where they go in a topic that was made with as many partitions.
func grownKeys(s *stage) {
	s.topic("t", 2)
	s.topic("wide", 7)
	s.fill("t", 20, 20)
	s.grow("t", 7)
	moved := 0
	for k := range 50 {
		a, b := s.publish(queue.Message{Topic: "t", Key: keyOf(k)})[0], s.publish(queue.Message{Topic: "wide", Key: keyOf(k)})[0]
		if a.Position.Partition() != b.Position.Partition() {
			s.Errorf("key %d is at %s, and at %s of as many", k, a.Position, b.Position)
		}
		if a.Position.Partition() > 1 {
			moved++
		}
	}
	if moved == 0 {
		s.Error("no key of 50 is in a new partition")
	}
	spread := map[int]bool{}
	for range 30 {
		spread[s.publish(queue.Message{Topic: "t", Value: make([]byte, 60<<10)})[0].Position.Partition()] = true
	}
	if len(spread) < 3 {
		s.Errorf("messages without a key are in %v", spread)
	}
}

// grownRead has a Read follow all partitions, and another one of them.
func grownRead(s *stage) {
	s.topic("t", 1)
	s.onEach(0, 1, 2)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	all := make(chan int, 100)
	ended := make(chan error, 1)
	b := s.broker
	go func() {
		for r, err := range b.Read(ctx, queue.Range{Topic: "t", Follow: true}) {
			if err != nil {
				ended <- err
				return
			}
			all <- r.Position.Partition()
		}
	}()
	for range 2 {
		await(s, all, "what was there before")
	}
	s.grow("t", 3)
	s.onEach(1, 3, 2)
	s.grow("t", 4)
	s.onEach(3, 4, 2)
	got := map[int]int{}
	for range 6 {
		got[await(s, all, "a message of a new partition")]++
	}
	if got[1] != 2 || got[2] != 2 || got[3] != 2 {
		s.Errorf("read of each partition: %v", got)
	}
	cancel()
	<-ended
	if n := len(s.records("t")); n != 8 {
		s.Errorf("%d messages are read, want 8", n)
	}
	if vs, err := s.readAll(queue.Range{Topic: "t", Partitions: []int{3}}); err != nil || len(vs) != 2 {
		s.Errorf("partition 3 alone: %v, %v", vs, err)
	}
	_, err := s.readAll(queue.Range{Topic: "t", Partitions: []int{4}})
	s.wantError("a partition that is not", err, queue.ErrNotFound)
}

func grownSought(s *stage) {
	s.topic("t", 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	c := s.collect(g)
	s.onEach(0, 1, 3)
	s.idle("g")
	s.grow("t", 3)
	s.onEach(0, 3, 3)
	c.wantGot("all", 12)
	s.seek("g", queue.Earliest())
	c.awaitCount(24)
	s.idle("g")
	c.stop()
	s.seek("g", queue.Earliest())
	info := s.groupInfo("g")
	if info.Ready != 12 || len(info.Partitions) != 3 {
		s.Errorf("before all of it the group is %+v", info)
	}
	last := s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(2)})[0].Position
	s.seek("g", queue.From(last))
	if info = s.groupInfo("g"); info.Ready != 10 {
		s.Errorf("before one of partition 2, and nine of others, the group is %+v", info)
	}
	s.purge("t", 13)
	if info = s.groupInfo("g"); info.Ready != 0 {
		s.Errorf("after the purge the group is %+v", info)
	}
}

// grownLetters sends dead letters back to a topic that has more partitions, and has both topics grow.
func grownLetters(s *stage) {
	s.bury(20, 10)
	s.grow("t", 7)
	s.grow("t.dead", 3)
	if n := len(s.letters()); n != 20 {
		s.Errorf("%d letters, want 20", n)
	}
	s.run(s.plan(queue.Redrive{}), 20)
	if n := len(s.letters()); n != 0 {
		s.Errorf("%d letters are left", n)
	}
	s.wantBack(20)
}

// grownParked parks keys in old and new partitions.
func grownParked(s *stage) {
	s.topic("t", 1)
	var mu sync.Mutex
	got := map[string]int{}
	g := parking(5*time.Millisecond, -1)
	r := s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		if d.Attempt < 3 {
			return errAgain
		}
		mu.Lock()
		defer mu.Unlock()
		got[string(d.Value)]++
		return nil
	})
	s.onKeys("first", 20)
	s.grow("t", 4)
	s.onKeys("second", 20)
	s.idle("g")
	s.grow("t", 6)
	s.onKeys("third", 20)
	s.idle("g")
	r.stop()
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 60 {
		s.Errorf("%d messages were done, want 60", len(got))
	}
	for v, n := range got {
		if n != 1 {
			s.Errorf("%s was done %d times", v, n)
		}
	}
}

func (s *stage) onKeys(value string, n int) {
	s.Helper()
	for i := range n {
		s.publish(queue.Message{Topic: "t", Key: keyOf(i), Value: fmt.Append(nil, value, i)})
	}
}

// grownBounded fills a bounded topic over its new partitions.
func grownBounded(s *stage) {
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Limit: queue.Limit{Messages: 20}}); err != nil {
		s.Fatal(err)
	}
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	c := s.collect(g)
	s.idle("g")
	s.onEach(0, 1, 15)
	s.idle("g")
	c.stop()
	s.grow("t", 5)
	s.onEach(0, 5, 4)
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := s.broker.Publish(ctx, queue.Message{Topic: "t", Partition: queue.PinTo(4)})
	s.wantError("the 21st", err, queue.ErrFull)
	c = s.collect(g)
	c.wantGot("all of it", 20)
	s.onEach(0, 5, 4)
	s.idle("g")
}

func grownInMemory(s *stage) {
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Partitions: 1, Durability: queue.Memory}); err != nil {
		s.Fatal(err)
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}, StartIfNew: queue.Latest()})
	s.idle("g")
	s.grow("t", 3)
	s.onEach(0, 3, 3)
	c.wantGot("in memory", 9)
	c.stop()
	s.grow("t", 4)
	s.onEach(3, 4, 3)
	c = s.collect(queue.Group{Name: "g", Topics: []string{"t"}, StartIfNew: queue.Latest()})
	c.wantGot("after it was away", 3)
}

// grownLoad has publishers and members at work while a topic is given partitions, one after the other.
func grownLoad(s *stage, o queue.Order) {
	const publishers = 3
	s.topic("t", 1)
	d, total := s.detect(o), 1+s.sized(8, 20, 100)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 4, StartIfNew: queue.Latest()}
	s.collectWatched(g, d)
	s.idle("g")
	over := make(chan struct{})
	var busy sync.WaitGroup
	counts := [publishers]int{}
	for i := range publishers {
		busy.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				m := queue.Message{Topic: "t", Key: keyOf(counts[i] % 50)}
				if i == 1 {
					m.Key = nil
				}
				if _, err := s.broker.Publish(s.Context(), m); err != nil {
					s.Error(err)
					return
				}
				counts[i]++
			}
		})
	}
	members := []*collector{}
	for n := 2; n <= total; n++ {
		s.grow("t", n)
		s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(n - 1)})
		switch {
		case n%3 == 0:
			members = append(members, s.collectWatched(g, d))
		case n%5 == 0 && len(members) > 0:
			members[0].stop()
			members = members[1:]
		}
	}
	close(over)
	busy.Wait()
	s.idle("g")
	want := total - 1
	for _, n := range counts {
		want += n
	}
	if got := d.doneCount(); got != want {
		s.Errorf("%d messages are done, %d were published", got, want)
	}
}

func grownFaults(s *stage) {
	s.topic("t", 3)
	a := s.broker.Admin()
	for what, total := range map[string]int{"none": 0, "negative": -1, "fewer": 2, "too many": queue.MaxPartitions + 1} {
		s.wantFault(what, a.AddPartitions(s.within(), "t", total), "Partitions")
	}
	s.grow("t", 3)
	s.wantError("no such topic", a.AddPartitions(s.within(), "none", 5), queue.ErrNotFound)
	s.wantError("a topic of the library's", a.AddPartitions(s.within(), "leat.groups", 5), queue.ErrNotFound)
	_, err := s.broker.Publish(s.within(), queue.Message{Topic: "t", Partition: queue.PinTo(3)})
	s.wantError("a partition that was not added", err, queue.ErrNotFound)
	s.topic("t", 3)
}
