package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// TestDelaysThroughCrashes delays messages, cancels and moves some, and lets time pass, with so few references that runs are written and merged all the time; kills the queue or cuts
// the power at operations that change the disk; and looks what comes of it: of what was acknowledged and not cancelled each message comes once and none early, of what was cancelled
// none, and of what was in flight at most one.
func TestDelaysThroughCrashes(t *testing.T) {
	runs, messages, cancelled := 0, 0, 0
	points := throughCrashes(t, sized(t, 80, 2_000, 50_000), func() bool { return runs > 0 && cancelled > 0 }, func(t *testing.T, rng *rand.Rand) []aftermath {
		s := &delayScript{rng: rng, disk: disktest.New(), known: map[uint64]delayed{}}
		s.run(t)
		runs += s.runs
		messages += len(s.known)
		for _, m := range s.known {
			if m.cancelled {
				cancelled++
			}
		}
		return s.left
	})
	t.Logf("%d crash points, %d messages, %d of them cancelled, %d runs seen", points, messages, cancelled, runs)
}

// delayed is what is known of a message.
type delayed struct {
	timer     queue.TimerID
	due       int64 // the least that may hold
	acked     bool  // false: it is in flight
	cancelled bool
	ending    bool // it is being cancelled
}

type delayScript struct {
	rng    *rand.Rand
	disk   *disktest.Disk
	broker *queue.Broker
	next   uint64
	runs   int
	left   []aftermath

	mu    sync.Mutex
	known map[uint64]delayed // guarded by mu
}

// delayImage is a disk as a crash left it, and what was known at that moment.
type delayImage struct {
	crash
	known map[uint64]delayed
}

func openDelays(t *testing.T, d *disktest.Disk) *queue.Broker {
	t.Helper()
	b, err := openWith(d, Options{references: 8})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *delayScript) run(t *testing.T) {
	s.broker = openDelays(t, s.disk)
	if err := s.broker.EnsureTopic(context.Background(), "t", queue.TopicConfig{Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	stop := photograph(s.disk, s.rng, 8, 40, func() func(crash) {
		s.mu.Lock()
		defer s.mu.Unlock()
		known := maps.Clone(s.known)
		return func(c crash) { s.left = append(s.left, aftermath{c.where, (&delayImage{c, known}).check}) }
	})
	for range 40 {
		s.step(t)
	}
	stop()
	if err := s.broker.Close(); err != nil {
		t.Error(err)
	}
}

func (s *delayScript) step(t *testing.T) {
	switch k := s.rng.IntN(10); {
	case k < 5:
		s.publish(t)
	case k < 7:
		s.change(t, false)
	case k < 8:
		s.change(t, true)
	case k < 9:
		time.Sleep(time.Duration(s.rng.IntN(20_000)) * time.Millisecond)
	default:
		if err := s.broker.Close(); err != nil {
			t.Error(err)
		}
		s.broker = openDelays(t, s.disk)
	}
	for _, x := range s.broker.Engine().(*engine).delays.all() {
		s.runs += x.Stats().Runs
	}
}

func (s *delayScript) note(n uint64, m delayed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[n] = m
}

func (s *delayScript) publish(t *testing.T) {
	var ms []queue.Message
	first := s.next
	for range 1 + s.rng.IntN(12) {
		due := time.Now().Add(time.Duration(1+s.rng.IntN(60_000)) * time.Millisecond)
		s.note(s.next, delayed{due: due.UnixNano()})
		ms = append(ms, queue.Message{Topic: "t", Value: binary.BigEndian.AppendUint64(nil, s.next), NotBefore: due})
		s.next++
	}
	rs, err := s.broker.PublishBatch(context.Background(), ms...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		s.note(first+uint64(i), delayed{timer: r.Timer, due: ms[i].NotBefore.UnixNano(), acked: true})
	}
}

// change cancels a message or moves it.
func (s *delayScript) change(t *testing.T, move bool) {
	if s.next == 0 {
		return
	}
	n := s.next - 1 - s.rng.Uint64N(min(s.next, 60))
	m := s.known[n]
	if m.cancelled {
		return
	}
	before := m
	var err error
	if move {
		at := time.Now().Add(time.Duration(1+s.rng.IntN(60_000)) * time.Millisecond)
		m.due = min(m.due, at.UnixNano())
		s.note(n, m)
		if m.timer, err = s.broker.Reschedule(context.Background(), m.timer, at); err == nil {
			m.due = at.UnixNano()
		}
	} else {
		m.ending = true
		s.note(n, m)
		if err = s.broker.Cancel(context.Background(), m.timer); err == nil {
			m.cancelled = true
		}
	}
	switch {
	case errors.Is(err, queue.ErrNotFound):
		s.note(n, before) // it was due
	case err != nil:
		t.Fatal(err)
	default:
		s.note(n, m)
	}
}

// check opens what a crash left, waits until all is due, and judges.
func (im *delayImage) check(t *testing.T) {
	b := openDelays(t, im.disk)
	defer b.Close()
	time.Sleep(time.Until(im.at) + 5*time.Minute) // a bubble begins at the same time as the one before
	synctest.Wait()
	s := b.Stats()
	if s.DelayError != "" || !s.NextDue.IsZero() || s.Orphans > 0 {
		t.Errorf("when all is due: %+v", s)
	}
	times := map[uint64]int{}
	if len(s.Topics) > 0 {
		for r, err := range b.Read(context.Background(), queue.Range{Topic: "t"}) {
			if err != nil {
				t.Fatal(err)
			}
			n := binary.BigEndian.Uint64(r.Value)
			times[n]++
			if m := im.known[n]; r.Appended.UnixNano() < m.due {
				t.Errorf("message %d came %v early", n, time.Duration(m.due-r.Appended.UnixNano()))
			}
		}
	}
	for n, m := range im.known {
		least, most := 1, 1
		switch {
		case m.cancelled:
			least, most = 0, 0
		case !m.acked || m.ending:
			least = 0
		}
		if k := times[n]; k < least || k > most {
			t.Errorf("message %d came %d times, of which is known: %+v", n, k, m)
		}
		delete(times, n)
	}
	if len(times) > 0 {
		t.Errorf("messages came that nobody published: %v", times)
	}
}
