package embedded

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// TestUnreadableFollower: a message that is to be parked behind others of its key, and was in a handler's hands, cannot be read again. Nobody but an operator gives it up: it and those
// behind it wait in their order, what was parked before it goes on, and the group is told.
func TestUnreadableFollower(t *testing.T) {
	const missed = "missed 1 from 2 to 3 of u/0"
	for _, c := range []struct {
		name   string
		decide func(t *testing.T, s *rotten, b *queue.Broker, m *testMember) *testMember
		before []string // what is handed out before that
		then   []string // with a4, if that is published meanwhile
		told   string
		parked int64 // before it is due, when that was decided
	}{
		{"mended while it waits", func(t *testing.T, s *rotten, b *queue.Broker, m *testMember) *testMember {
			s.mend(t, b)
			return m
		}, nil, []string{"a0", "a1", "a2", "a3", "b1"}, "", 4},
		{"mended when it is next", func(t *testing.T, s *rotten, b *queue.Broker, m *testMember) *testMember {
			s.mend(t, b)
			return m
		}, []string{"a0", "a1"}, []string{"a2", "a3", "a4", "b1"}, "", 0},
		{"given up while it waits", func(t *testing.T, s *rotten, b *queue.Broker, m *testMember) *testMember {
			s.skip(t, b)
			return m
		}, nil, []string{"a0", "a1", "a3", "b1"}, missed, 3},
		{"given up when it is next", func(t *testing.T, s *rotten, b *queue.Broker, m *testMember) *testMember {
			s.skip(t, b)
			return m
		}, []string{"a0", "a1"}, []string{"a3", "a4", "b1"}, missed, 0},
		{"mended when nobody is there", func(t *testing.T, s *rotten, b *queue.Broker, m *testMember) *testMember {
			m.leave()
			s.mend(t, b)
			return join(t, b, ofOne(queue.ByKey, queue.ParkKey))
		}, nil, []string{"a0", "a1", "a2", "a3", "a4", "b1"}, "", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, b, m := unreadableFollower(t, 2, &storage.DamageError{})
				wantDamageTold(t, m)
				if st := groupStats(b, "g"); st.Missed != 0 || st.Parked != 2 || !strings.Contains(st.Idle, "checksum") {
					t.Errorf("%+v, want two that are parked, none that is missed, and why the group is idle", st)
				}
				if slices.Contains(c.then, "a4") {
					publishTexts(t, b, "a4")
				}
				publishTexts(t, b, "b1")
				m.nothing(time.Second)
				if c.before != nil {
					wantTexts(t, "before", names(m.drainFor(2*time.Minute)), c.before...)
				}
				if st := groupStats(b, "g"); st.Missed != 0 {
					t.Errorf("%+v: missed before an operator has decided", st)
				}
				m.told()
				after := c.decide(t, s, b, m)
				var got []string
				if c.parked > 0 {
					got = after.drain()
					if st := groupStats(b, "g"); st.Parked != c.parked {
						t.Errorf("%+v, want %d parked", st, c.parked)
					}
				}
				got = append(got, names(after.drainFor(2*time.Minute))...)
				wantInKeys(t, got)
				wantTexts(t, "afterwards", sorted(got), c.then...)
				told := strings.Join(after.told(), ", ")
				if st := groupStats(b, "g"); !strings.Contains(told, c.told) || c.told == "" && strings.Contains(told, "missed") || st.Missed != int64(strings.Count(told, "missed")) {
					t.Errorf("told %q, %+v, want %q", told, st, c.told)
				}
				wantIdle(t, b)
			})
		})
	}
}

// TestFollowerIsReadAgain: where reading a message again fails for another reason than damage, parking it is tried again, and nobody is told of anything.
func TestFollowerIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, m := unreadableFollower(t, 2, syscall.EMFILE)
		if told := strings.Join(m.told(), ", "); strings.Contains(told, "damaged") || strings.Contains(told, "missed") {
			t.Errorf("told %q", told)
		}
		if st := groupStats(b, "g"); st.Missed != 0 || st.Parked != 2 {
			t.Errorf("%+v, want two that are parked, and none that is missed", st)
		}
		s.clear()
		m.nothing(2 * time.Second)
		if st := groupStats(b, "g"); st.Parked != 4 {
			t.Errorf("%+v, want all four parked", st)
		}
		wantTexts(t, "afterwards", names(m.drainFor(2*time.Minute)), "a0", "a1", "a2", "a3")
		wantIdle(t, b)
	})
}

// TestUnreadableFollowerOfDamage: what is parked is damaged, and what was to be parked behind it, too. Nothing else is left, so the group ends with it, and goes on when it is mended.
func TestUnreadableFollowerOfDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, m := unreadableFollower(t, 1, &storage.DamageError{})
		stored, _ := s.Topic(parkName(groupID(t, b), mustTopic(t, s, "u").First))
		s.rot(stored.First, 0, 1)
		err := m.leaveWhenOver(t)
		if !errors.As(err, new(*storage.DamageError)) {
			t.Errorf("Receive: %v, want the damage", err)
		}
		s.mend(t, b)
		m = join(t, b, ofOne(queue.ByKey, queue.ParkKey))
		wantTexts(t, "when it is mended", names(m.drainFor(2*time.Minute)), "a0", "a1", "a2", "a3")
		wantIdle(t, b)
	})
}

// leaveWhenOver has m leave, and returns why it could not receive any more.
func (m *testMember) leaveWhenOver(t *testing.T) error {
	t.Helper()
	ctx, cancel := contextFor(t, time.Hour)
	defer cancel()
	_, err := m.Receive(ctx, make([]queue.Handover, 1), queue.ReceiveLimits{})
	m.leave()
	return err
}

// unreadableFollower leaves a0 and a1 parked for a minute, and a2 and a3, which are to be parked behind them and come in an entry of their own, the first of which cannot be read, for err.
func unreadableFollower(t *testing.T, partitions int, err error) (*rotten, *queue.Broker, *testMember) {
	t.Helper()
	long := strings.Repeat("x", maxParkWrite*3/4)
	s, b, p := openTexts(t, partitions, "a0"+long, "a1"+long, "a2", "a3", "b0")
	m := join(t, b, ofOne(queue.ByKey, queue.ParkKey))
	hs := m.receive(4, queue.ReceiveLimits{Linger: time.Second})
	if len(hs) != 4 || string(hs[3].Value) != "a3" {
		t.Fatalf("received %d, want those of key a", len(hs))
	}
	s.rot(p, 2, 3)
	if !errors.As(err, new(*storage.DamageError)) {
		s.fails(err)
	}
	for _, h := range hs {
		if err := m.settle(h, queue.SettleRetry, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	wantTexts(t, "meanwhile", m.drain(), "b0")
	return s, b, m
}

// names returns the first two letters of each.
func names(texts []string) []string {
	var short []string
	for _, text := range texts {
		short = append(short, text[:2])
	}
	return short
}
