package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/storage"
)

// openTexts opens a queue with topic "u", of which the first partition has a message for each text, of the key that its first letter is.
func openTexts(t *testing.T, partitions int, texts ...string) (*rotten, *queue.Broker, storage.PartitionID) {
	t.Helper()
	s, b := openRotten(t, Options{})
	ensure(t, b, "u", partitions)
	publishTexts(t, b, texts...)
	stored, _ := s.Topic("u")
	return s, b, stored.First
}

func publishTexts(t *testing.T, b *queue.Broker, texts ...string) {
	t.Helper()
	for _, text := range texts {
		publishOne(t, b, queue.Message{Topic: "u", Key: []byte(text[:1]), Value: []byte(text), Partition: queue.PinTo(0)})
	}
}

func ofOne(order queue.Order, rule queue.KeyRule) queue.Group {
	return queue.Group{
		Name: "g", Topics: []string{"u"}, Order: order, Concurrency: 4,
		Failure: queue.Failure{Retry: retry.Constant(time.Hour), MaxAttempts: -1, WhileRetry: rule},
	}
}

func wantTexts(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// wantDamageTold wants m to have been told of the damage once since the last look, and of nothing that is missed.
func wantDamageTold(t *testing.T, m *testMember) {
	t.Helper()
	got := slices.DeleteFunc(m.told(), func(note string) bool { return note[0] == '+' || note[0] == '-' })
	if !slices.Equal(got, []string{"damaged u/0"}) {
		t.Errorf("told %q, want of the damage, once", got)
	}
}

// TestDamageWaitsForWhatWasRead: a Consume of the damaged partition alone ends when all before the damage is done, what failed included, wherever it waits. When all is well again the next goes on behind it.
func TestDamageWaitsForWhatWasRead(t *testing.T) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		for _, rule := range []queue.KeyRule{queue.BlockKey, queue.ParkKey, queue.PassKey} {
			if order != queue.ByKey && rule != queue.BlockKey {
				continue
			}
			t.Run(fmt.Sprint(order, rule), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, b, p := openTexts(t, 1, "a0", "b0", "a1", "b1", "a2", "b2", "a3")
					s.rot(p, 4, 5)
					done := make(chan string, 100)
					handle := func(_ context.Context, d *queue.Delivery) error {
						if string(d.Value) == "b0" && d.Attempt == 1 {
							return errBroken
						}
						done <- string(d.Value)
						return nil
					}
					finished := func() (got []string) {
						for len(done) > 0 {
							got = append(got, <-done)
						}
						slices.Sort(got)
						return got
					}
					began := time.Now()
					err := b.Consume(t.Context(), ofOne(order, rule), handle)
					var damage *storage.DamageError
					if !errors.As(err, &damage) || damage.First != 4 {
						t.Errorf("Consume: %v, want the damage", err)
					}
					if took := time.Since(began); took < time.Hour {
						t.Errorf("it ended after %v, before what failed was tried again", took)
					}
					wantTexts(t, "before the damage", finished(), "a0", "a1", "b0", "b1")
					s.mend(t, b)
					stop := consume(t, b, ofOne(order, rule), handle)
					wantIdle(t, b)
					stop()
					wantTexts(t, "behind it", finished(), "a2", "a3", "b2")
				})
			})
		}
	}
}

// TestUnreadableMessageHoldsItsLane: what cannot be read again for its next attempt waits in its lane, and those behind it unless they are to pass; what else was read is handed out.
func TestUnreadableMessageHoldsItsLane(t *testing.T) {
	for _, c := range []struct {
		name        string
		order       queue.Order
		rule        queue.KeyRule
		sound, then []string
	}{
		{"blocking", queue.ByKey, queue.BlockKey, []string{"b0", "b1"}, []string{"a0", "a1", "a2", "c0"}},
		{"passing", queue.ByKey, queue.PassKey, []string{"a1", "a2", "b0", "b1"}, []string{"a0", "c0"}},
		{"unordered", queue.Unordered, queue.BlockKey, []string{"a1", "a2", "b0", "b1"}, []string{"a0", "c0"}},
		{"by partition", queue.ByPartition, queue.BlockKey, nil, []string{"a0", "a1", "a2", "b0", "b1", "c0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, b, p := openTexts(t, 2, "a0", "a1", "b0", "a2", "b1")
				m := join(t, b, ofOne(c.order, c.rule))
				hs := m.receive(2, queue.ReceiveLimits{}) // a0, with a1 if they are one lane's
				for _, h := range hs {
					if err := m.settle(h, queue.SettleRetry, time.Second); err != nil {
						t.Fatal(err)
					}
				}
				s.rot(p, 0, 1)
				got := m.drain()
				publishTexts(t, b, "c0")
				time.Sleep(time.Minute)
				got = append(got, m.drain()...)
				slices.Sort(got)
				wantTexts(t, "before it is mended", got, c.sound...)
				if st := groupStats(b, "g"); !strings.Contains(st.Idle, "checksum") || st.Delivered != int64(len(hs)+len(c.sound)) {
					t.Errorf("%+v", st)
				}
				wantDamageTold(t, m)
				s.mend(t, b)
				got = m.drain()
				if c.order != queue.ByPartition {
					wantInKeys(t, got)
				}
				slices.Sort(got)
				wantTexts(t, "when it is mended", got, c.then...)
			})
		})
	}
}

// wantInKeys wants the messages of each key in order.
func wantInKeys(t *testing.T, got []string) {
	t.Helper()
	last := map[byte]string{}
	for _, text := range got {
		if text < last[text[0]] {
			t.Errorf("%s came behind %s", text, last[text[0]])
		}
		last[text[0]] = text
	}
}

// openParked opens a queue with topic "u", of whose texts the first two, which are of two keys, have failed, so that all are parked behind them for a minute: in partitions of the topic stored.
func openParked(t *testing.T, texts ...string) (s *rotten, b *queue.Broker, m *testMember, stored storage.Topic) {
	t.Helper()
	s, b, _ = openTexts(t, 2, texts...)
	m = join(t, b, ofOne(queue.ByKey, queue.ParkKey))
	for range 2 {
		if err := m.settle(m.one(), queue.SettleRetry, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	m.nothing(time.Second)
	return s, b, m, mustTopic(t, s, parkName(groupID(t, b), mustTopic(t, s, "u").First))
}

// wantMendedUntold wants damage to have been found, and mended before m was told of it.
func wantMendedUntold(t *testing.T, s *rotten, m *testMember) {
	t.Helper()
	if told := slices.DeleteFunc(m.told(), func(note string) bool { return note[0] == '+' }); !s.wasFound() || len(told) > 0 {
		t.Errorf("found: %v, told %q; want it mended before anybody is told", s.wasFound(), told)
	}
}

// TestUnreadableParkedKey: where the next message of a parked key is damaged the key waits; other keys that are parked do not, and what was read of them.
func TestUnreadableParkedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, m, stored := openParked(t, "a0", "b0", "a1", "b1")
		for offset := range int64(4) { // of a
			if rs, _, err := s.Read(nil, stored.First, offset, 1); err == nil && len(rs) > 0 && string(rs[0].Value) == "a1" {
				s.rot(stored.First, offset, offset+1)
			}
		}
		wantTexts(t, "while a1 is damaged", sorted(m.drainFor(2*time.Minute)), "a0", "b0", "b1")
		publishTexts(t, b, "a2", "c0")
		m.nothing(time.Minute)
		wantDamageTold(t, m)
		s.mend(t, b)
		wantTexts(t, "when it is mended", sorted(m.drainFor(time.Minute)), "a1", "a2", "c0")
	})
}

// TestUnparkedDamageMendedWhileItIsFound: the next message of a parked key is damaged when it is read for a handler, and mended before the group knows.
func TestUnparkedDamageMendedWhileItIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, m, stored := openParked(t, "a0", "b0", "a1", "b1")
		s.rot(stored.First, 0, math.MaxInt64)
		s.mendWhenFound(t, b)
		wantTexts(t, "mended", sorted(m.drainFor(2*time.Minute)), "a0", "a1", "b0", "b1")
		wantMendedUntold(t, s, m)
	})
}

// TestParkedDamageMendedWhileItIsFound: what a group has parked is damaged when it is looked for by who joins first, and mended before the group is there to be told.
func TestParkedDamageMendedWhileItIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, m, stored := openParked(t, "a0", "b0", "a1")
		m.leave()
		later, err := open(s, inMemory, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { later.Close() })
		s.rot(stored.First, 0, math.MaxInt64)
		s.mendWhenFound(t, later)
		m = join(t, later, ofOne(queue.ByKey, queue.ParkKey))
		wantTexts(t, "mended", sorted(m.drainFor(2*time.Minute)), "a0", "a1", "b0")
		wantMendedUntold(t, s, m)
	})
}

func groupID(t *testing.T, b *queue.Broker) storage.GroupID {
	t.Helper()
	return From(b).engine.existing("g").id
}

func mustTopic(t *testing.T, s storage.Store, name string) storage.Topic {
	t.Helper()
	stored, ok := s.Topic(name)
	if !ok {
		t.Fatal("no topic " + name)
	}
	return stored
}

// drainFor receives and acks for d, and returns the values.
func (m *testMember) drainFor(d time.Duration) (got []string) {
	m.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		got = append(got, m.drain()...)
	}
	return got
}

// TestWhileADamagedPartitionDrains: one message of a key is in flight, others behind it were read, then there is damage. Whatever happens then, nothing that is sound is lost, and nothing comes twice that need not.
func TestWhileADamagedPartitionDrains(t *testing.T) {
	begin := func(t *testing.T) (*rotten, *queue.Broker, *testMember, queue.Handover) {
		t.Helper()
		s, b, p := openTexts(t, 1, "a0", "a1", "a2", "a3", "a4", "a5")
		s.rot(p, 4, math.MaxInt64)
		m := join(t, b, ofOne(queue.ByKey, queue.BlockKey))
		h := m.one()
		m.nothing(time.Second)
		wantDamageTold(t, m)
		return s, b, m, h
	}
	ended := func(t *testing.T, m *testMember) error {
		t.Helper()
		ctx, cancel := contextFor(t, time.Minute)
		defer cancel()
		_, err := m.Receive(ctx, make([]queue.Handover, 1), queue.ReceiveLimits{})
		return err
	}
	run := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	run("nothing", func(t *testing.T) {
		s, b, m, h := begin(t)
		m.ack(h)
		wantTexts(t, "drained", m.drain(), "a1", "a2", "a3")
		var damage *storage.DamageError
		if err := ended(t, m); !errors.As(err, &damage) {
			t.Errorf("then %v, want the damage", err)
		}
		m.leave()
		s.mend(t, b)
		wantTexts(t, "mended", join(t, b, ofOne(queue.ByKey, queue.BlockKey)).drain(), "a4", "a5")
	})
	run("mending", func(t *testing.T) {
		s, b, m, h := begin(t)
		s.mend(t, b)
		m.ack(h)
		wantTexts(t, "mended", m.drain(), "a1", "a2", "a3", "a4", "a5")
	})
	run("the member leaves", func(t *testing.T) {
		_, b, m, _ := begin(t)
		m.leave()
		other := join(t, b, ofOne(queue.ByKey, queue.BlockKey))
		wantTexts(t, "the next", other.drain(), "a0", "a1", "a2", "a3")
		wantDamageTold(t, other)
	})
	run("another takes over", func(t *testing.T) {
		s, b, m, h := begin(t)
		other := join(t, b, ofOne(queue.ByKey, queue.BlockKey))
		other.nothing(time.Second)
		m.leave() // a0 is released
		if err := m.settle(h, queue.SettleDone, 0); !errors.Is(err, queue.ErrLeaseLost) {
			t.Error("settling what was released:", err)
		}
		wantTexts(t, "the other", other.drain(), "a0", "a1", "a2", "a3")
		s.mend(t, b)
		if err := ended(t, other); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, of a group that stopped before the damage was mended", err)
		}
	})
	run("seek", func(t *testing.T) {
		s, b, m, h := begin(t)
		if err := b.Admin().Seek(t.Context(), "g", queue.Earliest()); err != nil {
			t.Fatal(err)
		}
		if err := m.settle(h, queue.SettleDone, 0); !errors.Is(err, queue.ErrLeaseLost) {
			t.Error("settling what was taken back:", err)
		}
		h = m.one()
		m.nothing(time.Second)
		wantDamageTold(t, m)
		s.mend(t, b)
		m.ack(h)
		wantTexts(t, "from the beginning", append([]string{string(h.Value)}, m.drain()...), "a0", "a1", "a2", "a3", "a4", "a5")
	})
	run("a failed attempt", func(t *testing.T) {
		s, b, m, h := begin(t)
		if err := m.settle(h, queue.SettleRetry, time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		h = m.one()
		s.mend(t, b)
		m.ack(h)
		wantTexts(t, "after that", append([]string{string(h.Value)}, m.drain()...), "a0", "a1", "a2", "a3", "a4", "a5")
	})
	run("deleting the topic", func(t *testing.T) {
		_, b, m, h := begin(t)
		if err := b.Admin().DeleteTopic(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
		m.settle(h, queue.SettleDone, 0)
		if err := ended(t, m); !errors.Is(err, queue.ErrNotFound) {
			t.Error(err)
		}
	})
	run("closing", func(t *testing.T) {
		_, b, m, h := begin(t)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		m.settle(h, queue.SettleDone, 0)
		if err := ended(t, m); !errors.Is(err, queue.ErrClosed) {
			t.Error(err)
		}
	})
}
