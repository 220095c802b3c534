package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// TestDelayedIDsThroughCrashes publishes IDs old and new, most of them delayed, cancels and moves what waits, and lets time pass, while indexes are written, runs merged and the queue is
// opened again; kills it or cuts the power at operations that change the disk; and publishes every ID again, at once and when all is due: what was acknowledged is a duplicate under
// its timer or at its place, what was cancelled is free, and each ID is in the log once.
func TestDelayedIDsThroughCrashes(t *testing.T) {
	var sum fateCounts
	points := throughCrashes(t, sized(t, 80, 2_000, 50_000), sum.all, func(t *testing.T, rng *rand.Rand) []aftermath {
		s := &fateScript{rng: rng, disk: disktest.New(), sum: &sum, fates: map[name]fate{}}
		s.run(t)
		return s.left
	})
	t.Logf("%d crash points, IDs published again: %+v", points, sum)
}

// fateCounts counts what was found of IDs after crashes.
type fateCounts struct{ waiting, moved, there, free, unknown int }

func (c *fateCounts) all() bool {
	return c.waiting > 0 && c.moved > 0 && c.there > 0 && c.free > 0 && c.unknown > 0
}

// fate is what is known of an ID.
type fate struct {
	acked, free bool           // its message waits or is in the topic; it was cancelled
	timer       queue.TimerID  // of what waits, or waited
	moved       bool           // it was
	at          queue.Position // once somebody was told
	open        bool           // something is under way after which it is acked, or free, or neither
	moving      bool           // under way to another timer
}

// judge judges the receipt of a publish with the ID after a crash that acknowledged things may have survived.
func (f *fate) judge(r queue.Receipt, c *fateCounts) error {
	switch {
	case f.open || !f.acked && !f.free:
		c.unknown++
	case f.free && r.Duplicate:
		return errors.New("its message was cancelled")
	case f.free:
		c.free++
	case !r.Duplicate:
		return errors.New("it was acknowledged")
	case !f.at.IsZero() && r.Position != f.at:
		return errors.New("it was elsewhere")
	case r.Position.IsZero() && r.Timer != f.timer && !f.moving:
		return errors.New("it waited under another timer")
	case !r.Position.IsZero():
		c.there++
	case f.moved:
		c.moved++
	default:
		c.waiting++
	}
	return nil
}

type fateScript struct {
	rng    *rand.Rand
	disk   *disktest.Disk
	broker *queue.Broker
	next   int
	left   []aftermath
	sum    *fateCounts

	mu    sync.Mutex
	fates map[name]fate // guarded by mu
}

// fateImage is a disk as a crash left it, and what was known at that moment.
type fateImage struct {
	crash
	fates map[name]fate
}

var fateTopics = map[string]queue.TopicConfig{
	"synced": {Partitions: 2, Dedup: queue.Dedup{Window: 24 * time.Hour}},
	"os":     {Durability: queue.OS, Dedup: queue.Dedup{Window: 24 * time.Hour}},
}

func (s *fateScript) run(t *testing.T) {
	s.reopen(t)
	stop := photograph(s.disk, s.rng, 8, 40, func() func(crash) {
		s.mu.Lock()
		defer s.mu.Unlock()
		fates := maps.Clone(s.fates)
		return func(c crash) {
			im := &fateImage{c, fates}
			s.left = append(s.left, aftermath{c.where, func(t *testing.T) { im.check(t, s.sum) }})
		}
	})
	for range 50 {
		s.step(t)
	}
	stop()
	if err := s.broker.Close(); err != nil {
		t.Error(err)
	}
}

func (s *fateScript) reopen(t *testing.T) {
	if s.broker != nil {
		if err := s.broker.Close(); err != nil {
			t.Error(err)
		}
	}
	s.broker = openDelays(t, s.disk)
	for topic, c := range fateTopics {
		if err := s.broker.EnsureTopic(context.Background(), topic, c); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *fateScript) step(t *testing.T) {
	switch k := s.rng.IntN(12); {
	case k < 5:
		s.publish(t)
	case k < 7:
		s.change(t, false)
	case k < 8:
		s.change(t, true)
	case k < 9:
		time.Sleep(time.Duration(s.rng.IntN(20_000)) * time.Millisecond)
	case k < 10:
		s.reopen(t)
	default:
		if err := From(s.broker).engine.indexer.pass(context.Background(), k == 10); err != nil {
			t.Error(err)
		}
	}
}

// set notes what is known of an ID.
func (s *fateScript) set(n name, f fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fates[n] = f
}

func (s *fateScript) names() []name {
	return slices.SortedFunc(maps.Keys(s.fates), func(a, b name) int { return slices.Compare([]string{a.topic, a.id}, []string{b.topic, b.id}) })
}

func (s *fateScript) publish(t *testing.T) {
	var ms []queue.Message
	used := map[name]bool{}
	for range 1 + s.rng.IntN(6) {
		topic := slices.Sorted(maps.Keys(fateTopics))[s.rng.IntN(2)]
		id := s.next
		if s.next++; s.rng.IntN(3) == 0 {
			id = s.rng.IntN(s.next)
		}
		n := name{topic, fmt.Sprint(id)}
		if used[n] {
			continue
		}
		used[n] = true
		m := queue.Message{Topic: topic, ID: n.id, Value: make([]byte, s.rng.IntN(300))}
		if s.rng.IntN(4) > 0 {
			m.NotBefore = time.Now().Add(time.Duration(1+s.rng.IntN(60_000)) * time.Millisecond)
		}
		if f := s.fates[n]; !f.acked {
			f.open = true
			s.set(n, f)
		}
		ms = append(ms, m)
	}
	rs, err := s.broker.PublishBatch(context.Background(), ms...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		n := name{ms[i].Topic, ms[i].ID}
		f := s.fates[n]
		if r.Duplicate != f.acked {
			t.Errorf("%v: %+v, and it was %+v", n, r, f)
		}
		if f.open = false; f.acked {
			if err := f.judge(r, &fateCounts{}); err != nil {
				t.Errorf("%v: %+v: %v", n, r, err)
			}
			f.at = r.Position
		} else {
			f = fate{acked: true, timer: r.Timer, at: r.Position}
		}
		s.set(n, f)
	}
}

// change cancels a message or moves it.
func (s *fateScript) change(t *testing.T, move bool) {
	if len(s.fates) == 0 {
		return
	}
	names := s.names()
	n := names[s.rng.IntN(len(names))]
	before := s.fates[n]
	if !before.acked || before.timer == "" {
		return
	}
	f, after := before, before
	var err error
	if move {
		f.moving = true
		s.set(n, f)
		after.timer, err = s.broker.Reschedule(context.Background(), f.timer, time.Now().Add(time.Duration(s.rng.IntN(60_000))*time.Millisecond))
		after.moved = true
	} else {
		f.open = true
		s.set(n, f)
		err = s.broker.Cancel(context.Background(), f.timer)
		after = fate{free: true}
	}
	switch {
	case errors.Is(err, queue.ErrNotFound):
		s.set(n, before) // it was due
	case err != nil:
		t.Fatal(err)
	default:
		s.set(n, after)
	}
}

// check opens what a crash left, publishes all IDs again, waits until all is due, and judges.
func (im *fateImage) check(t *testing.T, sum *fateCounts) {
	b := openDelays(t, im.disk)
	defer b.Close()
	time.Sleep(time.Until(im.at)) // a bubble begins at the same time as the one before
	ctx := context.Background()
	timers := map[name]queue.TimerID{}
	for n, f := range im.fates {
		m := queue.Message{Topic: n.topic, ID: n.id}
		if len(n.id)%2 == 0 {
			m.NotBefore = time.Now().Add(time.Minute)
		}
		r, err := b.Publish(ctx, m)
		if errors.Is(err, queue.ErrNotFound) && !f.acked {
			return // before the topics were made
		}
		if err != nil {
			t.Errorf("%v: %v", n, err)
			continue
		}
		if im.killed || n.topic != "os" {
			if err := f.judge(r, sum); err != nil {
				t.Errorf("%v: published again it is %+v: %v: %+v", n, r, err, f)
			}
		}
		timers[n] = r.Timer
	}
	for n, timer := range timers {
		if r, err := b.Publish(ctx, queue.Message{Topic: n.topic, ID: n.id}); err != nil || !r.Duplicate || r.Position.IsZero() && r.Timer != timer {
			t.Errorf("%v: published once more it is %+v, %v; before it was under %q", n, r, err, timer)
		}
	}
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	if s := b.Stats(); s.DelayError != "" || !s.NextDue.IsZero() || s.Orphans > 0 {
		t.Errorf("when all is due: %+v", s)
	}
	for topic := range fateTopics {
		im.judge(t, b, topic)
	}
}

// judge wants each ID once in a topic, and known there.
func (im *fateImage) judge(t *testing.T, b *queue.Broker, topic string) {
	at := map[string]queue.Position{}
	for r, err := range b.Read(context.Background(), queue.Range{Topic: topic}) {
		if err != nil {
			t.Fatal(err)
		}
		if first, twice := at[r.ID]; twice {
			t.Errorf("ID %q is at %v and at %v", r.ID, first, r.Position)
		}
		at[r.ID] = r.Position
	}
	for n := range im.fates {
		if n.topic != topic {
			continue
		}
		r, err := b.Publish(context.Background(), queue.Message{Topic: topic, ID: n.id})
		if err != nil || !r.Duplicate || r.Position.IsZero() || r.Position != at[n.id] {
			t.Errorf("%v: when all is due it is %+v, %v, and in the log at %v", n, r, err, at[n.id])
		}
	}
}
