package queuetest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
)

func adminCases() []testCase {
	return []testCase{
		{name: "TopicsAreListed", run: topicsListed, asks: asksTopics},
		{name: "TopicsAreListedAfterARestart", run: topicsListedAgain, asks: asksTopics | asksRestart},
		{name: "GroupsAreListed", run: groupsListed, asks: asksGroups},
		{name: "GroupsAreListedAfterARestart", run: groupsListedAgain, asks: asksGroups | asksRestart},
		{name: "OldestReadyLeavesOutWhatWaits", run: oldestReady, asks: asksGroups | asksBubble, needs: []queue.Feature{queue.CanOrderByKey}},
	}
}

func (s *stage) listsTopics() bool {
	_, ok := s.broker.Engine().(queue.EngineTopics)
	return ok
}

func (s *stage) listsGroups() bool {
	_, ok := s.broker.Engine().(queue.EngineGroups)
	return ok
}

// refusesAdmin wants ErrUnsupported of what the engine has no interface for.
func (s *stage) refusesAdmin() {
	s.Helper()
	a, ctx := s.broker.Admin(), s.within()
	if !s.listsTopics() {
		_, err := a.Topics(ctx)
		s.wantError("Topics", err, queue.ErrUnsupported)
		_, err = a.Topic(ctx, "t")
		s.wantError("Topic", err, queue.ErrUnsupported)
		_, err = a.Purge(ctx, "t")
		s.wantError("Purge", err, queue.ErrUnsupported)
		s.wantError("DeleteTopic", a.DeleteTopic(ctx, "t"), queue.ErrUnsupported)
	}
	if !s.listsGroups() {
		_, err := a.Groups(ctx)
		s.wantError("Groups", err, queue.ErrUnsupported)
		_, err = a.Group(ctx, "g")
		s.wantError("Group", err, queue.ErrUnsupported)
		s.wantError("DeleteGroup", a.DeleteGroup(ctx, "g"), queue.ErrUnsupported)
		s.wantError("Pause", a.Pause(ctx, "g"), queue.ErrUnsupported)
		s.wantError("Resume", a.Resume(ctx, "g"), queue.ErrUnsupported)
		s.wantError("Seek", a.Seek(ctx, "g", queue.Latest()), queue.ErrUnsupported)
		g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
		s.wantError("CreateGroup", a.CreateGroup(ctx, g), queue.ErrUnsupported)
	}
}

// topicInfo returns what is told of a topic, alone and in the list.
func (s *stage) topicInfo(name string) queue.TopicInfo {
	s.Helper()
	info, err := s.broker.Admin().Topic(s.within(), name)
	if err != nil {
		s.Fatal(err)
	}
	all, err := s.broker.Admin().Topics(s.within())
	if err != nil {
		s.Fatal(err)
	}
	for _, other := range all {
		if other.Name == name {
			if fmt.Sprint(other) != fmt.Sprint(info) {
				s.Errorf("listed as %+v, and alone %+v", other, info)
			}
			return info
		}
	}
	s.Errorf("topic %q is not listed", name)
	return info
}

// groupInfo returns what is told of a group, alone and in the list.
func (s *stage) groupInfo(name string) queue.GroupInfo {
	s.Helper()
	info, err := s.broker.Admin().Group(s.within(), name)
	if err != nil {
		s.Fatal(err)
	}
	return info
}

func topicsListed(s *stage) {
	a := s.broker.Admin()
	if all, err := a.Topics(s.within()); err != nil || len(all) != 0 {
		s.Errorf("topics of an empty engine: %v, %v", all, err)
	}
	s.topic("t", 3)
	s.topic("a", 1)
	info := s.topicInfo("t")
	filled, err := queue.CheckTopic("t", queue.TopicConfig{Partitions: 3}, 0)
	if err != nil {
		s.Fatal(err)
	}
	if filled.Durability = info.Config.Durability; info.Config != filled { // an engine in memory says Memory
		s.Errorf("the effective configuration is %+v, want %+v", info.Config, filled)
	}
	for n := range 3 {
		for range 10 * (n + 1) {
			s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(n)})
		}
	}
	info = s.topicInfo("t")
	if info.Records != 60 || len(info.Partitions) != 3 {
		s.Fatalf("%+v, want 60 records in 3 partitions", info)
	}
	for n, p := range info.Partitions {
		if p.Partition != n || p.Records != int64(10*(n+1)) || p.First.Partition() != n || !p.Next.Covers(p.First) {
			s.Errorf("partition %d: %+v", n, p)
		}
	}
	all, err := a.Topics(s.within())
	if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Name != "t" {
		s.Errorf("topics %+v, %v; want a and t", all, err)
	}
	_, err = a.Topic(s.within(), "none")
	s.wantError("a topic that is not there", err, queue.ErrNotFound)
	s.deleteTopic("t")
	_, err = a.Topic(s.within(), "t")
	s.wantError("a topic that was deleted", err, queue.ErrNotFound)
}

func topicsListedAgain(s *stage) {
	s.topic("t", 2)
	s.fill("t", 30, 4)
	before := s.topicInfo("t")
	s.restart()
	after := s.topicInfo("t")
	before.Bytes, after.Bytes = 0, 0 // what was in memory may be in files now
	if fmt.Sprint(before) != fmt.Sprint(after) {
		s.Errorf("%+v after a restart, %+v before", after, before)
	}
}

func groupsListed(s *stage) {
	a := s.broker.Admin()
	_, err := a.Group(s.within(), "g")
	s.wantError("a group that is not there", err, queue.ErrNotFound)
	s.topic("t", 2)
	s.topic("u", 1)
	s.fill("t", 20, 5)
	g := queue.Group{Name: "g", Topics: []string{"u", "t"}, Order: s.someOrder(), Concurrency: 1}
	h := s.hold()
	r := s.consumeHeld(g, h)
	await(s, h.arrived, "a handler")
	info := s.groupInfo("g")
	if info.Name != "g" || !slices.Equal(info.Topics, []string{"t", "u"}) || info.Order != g.Order || info.Members != 1 || info.Paused ||
		info.InFlight != 1 || info.Ready != 19 || info.Waiting != 0 || info.Idle != "in flight full" {
		s.Errorf("with one message in work: %+v", info)
	}
	s.wantParts(info, 3)
	h.free()
	s.idle("g")
	r.stop()
	info = s.groupInfo("g")
	if info.Members != 0 || info.Ready+info.InFlight+info.Waiting != 0 || info.OldestReady != 0 || info.Idle != "" ||
		!slices.Equal(info.Topics, []string{"t", "u"}) {
		s.Errorf("when all is done: %+v", info)
	}
	s.fill("t", 4, 2)
	if info = s.groupInfo("g"); info.Ready != 4 || info.Idle != "no members" {
		s.Errorf("with a backlog and without members: %+v", info)
	}
	s.wantParts(info, 3)
	c := s.collect(queue.Group{Name: "a", Topics: []string{"u"}})
	s.idle("a")
	c.stop()
	all, err := a.Groups(s.within())
	if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Name != "g" {
		s.Errorf("groups %+v, %v; want a and g", all, err)
	}
}

// wantParts wants the figures of the partitions to sum up to those of the group.
func (s *stage) wantParts(info queue.GroupInfo, partitions int) {
	s.Helper()
	var ready, inFlight, waiting int64
	var oldest time.Duration
	for _, p := range info.Partitions {
		ready, inFlight, waiting = ready+p.Ready, inFlight+p.InFlight, waiting+p.Waiting
		oldest = max(oldest, p.OldestReady)
		if p.Floor.Topic() != p.Topic || p.Floor.Partition() != p.Partition || !slices.Contains(info.Topics, p.Topic) {
			s.Errorf("%+v: its floor is of another partition, or its topic of another group", p)
		}
	}
	if len(info.Partitions) != partitions || ready != info.Ready || inFlight != info.InFlight || waiting != info.Waiting || oldest != info.OldestReady {
		s.Errorf("the partitions do not sum up to the group: %+v", info)
	}
}

func groupsListedAgain(s *stage) {
	s.topic("t", 2)
	s.fill("t", 20, 5)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	c.stop()
	s.fill("t", 6, 3)
	s.restart()
	info := s.groupInfo("g")
	if info.Members != 0 || info.Ready != 6 || info.Idle != "no members" || !slices.Equal(info.Topics, []string{"t"}) || info.OldestReady <= 0 {
		s.Errorf("after a restart: %+v", info)
	}
	s.wantParts(info, 2)
}

// oldestReady has three keys: the message of one is in work, with a follower, that of another waits for its retry, with a follower, too, and
// the third comes last.
func oldestReady(s *stage) {
	s.topic("t", 1)
	h := s.hold()
	var failed atomic.Int32
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 2, Failure: endless}, func(ctx context.Context, d *queue.Delivery) error {
		switch string(d.Key) {
		case "fails":
			failed.Add(1)
			return errAgain
		default:
			return h.handle(ctx, d)
		}
	})
	s.Cleanup(h.free)
	s.publish(queue.Message{Topic: "t", Key: []byte("fails")}, queue.Message{Topic: "t", Key: []byte("fails")})
	s.eventually("attempts fail", func() bool { return failed.Load() > 8 }) // half a minute between attempts
	time.Sleep(time.Second)
	if info := s.groupInfo("g"); info.OldestReady != 0 || info.Waiting != 1 || info.Ready != 1 {
		s.Errorf("with one message that waits and one behind it: %+v", info)
	}
	s.publish(queue.Message{Topic: "t", Key: []byte("held")})
	await(s, h.arrived, "a handler")
	time.Sleep(time.Second)
	if info := s.groupInfo("g"); info.OldestReady != 0 || info.InFlight != 1 {
		s.Errorf("with one message in work, too: %+v", info)
	}
	s.publish(queue.Message{Topic: "t", Key: []byte("held")})
	time.Sleep(time.Second)
	s.publish(queue.Message{Topic: "t", Key: []byte("other")})
	await(s, h.arrived, "a handler")
	time.Sleep(time.Second)
	if info := s.groupInfo("g"); info.OldestReady != 2*time.Second || info.InFlight != 2 {
		s.Errorf("with a message behind one in work: %+v, want one ready for two seconds", info)
	}
	s.wantParts(s.groupInfo("g"), 1)
}
