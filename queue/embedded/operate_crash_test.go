package embedded

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// TestOperatorsThroughCrashes makes groups, pauses, moves, expires and deletes them, publishes, consumes, purges, and gives topics more partitions; kills the queue or cuts its power at operations that change
// the disk; and wants what is left to be as it was before what was being done, or as after it, in all that is told of a group at once. What had returned is there.
func TestOperatorsThroughCrashes(t *testing.T) {
	target := operations(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	points, before, after := 0, 0, 0
	for round := uint64(0); (points < target || (before == 0 || after == 0) && points < 20*target) && !t.Failed(); round++ {
		s := &operator{t: t, rng: rand.New(rand.NewPCG(seed, round)), disk: disktest.New()}
		s.run()
		for i := range s.images {
			points++
			im := &s.images[i]
			switch got := s.told(im); {
			case got == s.states[im.done]:
				before++
			case im.done+1 < len(s.states) && got == s.states[im.done+1]:
				after++
			default:
				t.Fatalf("seed %d, round %d, %s, in the middle of %s:\n%s\nwant\n%s\nor\n%s", seed, round, im.where, s.did[im.done], got,
					s.states[im.done], s.states[min(im.done+1, len(s.states)-1)])
			}
		}
	}
	t.Logf("%d crash points: %d as before what was being done, %d as after it", points, before, after)
	if before == 0 || after == 0 {
		t.Error("17: every crash left the same: nothing was tested")
	}
}

func operations(t *testing.T) int {
	switch v := os.Getenv("LEAT_LOOPS"); v {
	case "", "short":
		return 150
	case "ci":
		return 4_000
	case "full":
		return 100_000
	default:
		t.Fatalf("LEAT_LOOPS=%s: want short, ci or full", v)
		return 0
	}
}

// operator is a life of a queue.
type operator struct {
	t      *testing.T
	rng    *rand.Rand
	disk   *disktest.Disk
	broker *queue.Broker

	mu     sync.Mutex
	states []string // what was told before anything was done, and after each thing that was; guarded by mu
	did    []string // those things; guarded by mu
	images []operatedDisk
}

// operatedDisk is a disk as a crash left it, when so many things were done.
type operatedDisk struct {
	crash
	done int
}

func (s *operator) run() {
	s.open()
	for _, topic := range []string{"t", "u"} {
		ensure(s.t, s.broker, topic, 2)
	}
	ensure(s.t, s.broker, "single", 1)
	fill(s.t, s.broker, 2, 5, 0)
	s.states = append(s.states, tellAll(s.t, s.broker))
	stop := photograph(s.disk, s.rng, 2, 80, func() func(crash) {
		s.mu.Lock()
		defer s.mu.Unlock()
		done := len(s.states) - 1
		return func(c crash) { s.images = append(s.images, operatedDisk{c, done}) }
	})
	for range 40 {
		what := s.step()
		now := tellAll(s.t, s.broker)
		s.mu.Lock()
		s.states, s.did = append(s.states, now), append(s.did, what)
		s.mu.Unlock()
	}
	stop()
	if err := s.broker.Close(); err != nil {
		s.t.Error(err)
	}
	s.did = append(s.did, "closing")
}

func (s *operator) open() { s.broker = openDisk(s.t, s.disk) }

func openDisk(t *testing.T, d *disktest.Disk) *queue.Broker {
	b, err := openOn(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// told is what a crash left.
func (s *operator) told(im *operatedDisk) string {
	b := openDisk(s.t, im.disk)
	defer b.Close()
	return tellAll(s.t, b)
}

// tellAll writes how many partitions topics have, and all that is told of groups, but for times.
func tellAll(t *testing.T, b *queue.Broker) string {
	all, err := b.Admin().Groups(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, name := range []string{"t", "u"} {
		c, err := b.Engine().(queue.EngineTopics).TopicConfig(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s has %d", name, c.Partitions))
	}
	for _, g := range all {
		e := From(b).engine.existing(g.Name)
		e.mu.Lock()
		unused := e.kept.Unused.Round(time.Hour)
		e.mu.Unlock()
		line := fmt.Sprintf("%s %v %v exclusive %v expires %v unused %v paused %v ready %d waiting %d:", g.Name, g.Topics, g.Order, g.Exclusive,
			g.ExpireAfter, unused, g.Paused, g.Ready, g.Waiting)
		for _, p := range g.Partitions {
			line += fmt.Sprintf(" %s/%d %s %d", p.Topic, p.Partition, p.Floor, p.Ready)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// step does one thing to a group.
func (s *operator) step() string {
	ctx, a := context.Background(), s.broker.Admin()
	name := fmt.Sprint("g", s.rng.IntN(3))
	info, missing := a.Group(ctx, name)
	must := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	switch n := s.rng.IntN(22); {
	case n > 19:
		topic := []string{"t", "u"}[s.rng.IntN(2)]
		c, err := s.broker.Engine().(queue.EngineTopics).TopicConfig(ctx, topic)
		must(err)
		total := min(c.Partitions+1+s.rng.IntN(2), 7)
		must(a.AddPartitions(ctx, topic, total))
		return fmt.Sprintf("giving %s %d partitions", topic, total)
	case n == 0:
		must(s.broker.Close())
		s.open()
		return "closing and opening"
	case n < 5 || n < 10 && missing != nil:
		topic := []string{"t", "u", "single"}[s.rng.IntN(3)]
		_, err := s.broker.Publish(ctx, queue.Message{Topic: topic, Value: make([]byte, s.rng.IntN(3000))})
		must(err)
		return "publishing to " + topic
	case missing != nil:
		must(a.CreateGroup(ctx, s.group(name)))
		return "creating " + name
	case n < 7:
		must(a.CreateGroup(ctx, s.group(name)))
		return "changing " + name
	case n < 9:
		must(a.Pause(ctx, name))
		return "pausing " + name
	case n < 11:
		must(a.Resume(ctx, name))
		return "resuming " + name
	case n < 16:
		must(a.Seek(ctx, name, []queue.Start{queue.Earliest(), queue.Latest(), queue.From(info.Partitions[0].Floor)}[s.rng.IntN(3)]))
		return "moving " + name
	case n == 16:
		must(a.DeleteGroup(ctx, name))
		return "deleting " + name
	case n == 17:
		_, err := a.Purge(ctx, "single")
		must(err)
		return "purging"
	case n == 18:
		s.unused(name)
		return "letting be " + name
	}
	return s.consume(info)
}

func (s *operator) group(name string) queue.Group {
	g := queue.Group{Name: name, Order: queue.Order(s.rng.IntN(3)), Exclusive: s.rng.IntN(2) == 0}
	g.Topics = slices.Clone([][]string{{"t"}, {"t", "u"}, {"single"}}[s.rng.IntN(3)])
	if s.rng.IntN(2) == 0 {
		g.ExpireAfter = 20 * time.Hour
	}
	if s.rng.IntN(2) == 0 {
		g.StartIfNew = queue.Latest()
	}
	return g
}

// unused lets 7 hours pass without members, or 27.
func (s *operator) unused(name string) {
	e := From(s.broker).engine
	g := e.existing(name)
	g.mu.Lock()
	g.vacant -= time.Duration(7+20*s.rng.IntN(2)) * time.Hour
	g.mu.Unlock()
	for waits := true; waits; { // the engine may be looking, too, and then one of the two passes by
		e.expire(context.Background())
		g.mu.Lock()
		due, _, ok := g.expiring(e.now())
		g.mu.Unlock()
		waits = ok && due <= e.now()
	}
}

// consume has a member of the group do one message, if there is one that it may have. That it was without members is forgotten before, by another that does nothing.
func (s *operator) consume(info queue.GroupInfo) string {
	g := info.Group
	g.Concurrency, g.InFlightBytes = 1, 1<<20
	m := &testMember{t: s.t}
	e := From(s.broker).engine.existing(g.Name)
	e.mu.Lock()
	unused := e.kept.Unused
	e.mu.Unlock()
	member, err := s.broker.Engine().Join(context.Background(), m.membership(g))
	if err != nil {
		s.t.Fatal(err)
	}
	m.Member = member
	defer m.leave()
	if info.Paused || info.Ready == 0 || unused >= time.Hour {
		return "joining " + g.Name
	}
	m.ack(m.one())
	return "consuming one of " + g.Name
}
