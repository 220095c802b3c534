package embedded

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

// Members with and without leases receive, settle with handles old and new, extend, leave and let time pass, and a model says of every
// step what must come of it: who has a message, until when, at which attempt, and what its key waits for. Meanwhile the topic is given partitions, with messages of their own.
func TestLeasesFollowTheModel(t *testing.T) {
	runs := map[string]int{"ci": 1000, "full": 50_000}[os.Getenv("LEAT_LOOPS")]
	seed := rand.Uint64()
	total := leaseCounts{}
	for i := range max(runs, 60) {
		synctest.Test(t, func(t *testing.T) {
			m := &leaseModel{t: t, rng: rand.New(rand.NewPCG(seed, uint64(i))), messages: map[queue.Position]*modelMessage{}, counts: &total}
			m.run()
		})
		if t.Failed() {
			t.Fatalf("seed %d, run %d", seed, i)
		}
	}
	t.Logf("seed %d: %d histories: %+v", seed, max(runs, 60), total)
	if total.expired == 0 || total.late == 0 || total.extended == 0 || total.done == 0 || total.left == 0 || total.grown == 0 {
		t.Errorf("17: a count is zero: %+v", total)
	}
}

type leaseCounts struct{ expired, late, extended, done, left, grown int }

type leaseModel struct {
	t        *testing.T
	rng      *rand.Rand
	broker   *queue.Broker
	members  []*testMember
	messages map[queue.Position]*modelMessage
	tokens   []*modelToken
	counts   *leaseCounts

	partitions int
}

// modelMessage is what the group knows of a message.
type modelMessage struct {
	attempts int // failed
	done     bool
	holder   *modelToken // nil: nobody
	due      time.Time   // not before
	released bool        // due is not kept beyond the last member
}

type modelToken struct {
	handover queue.Handover
	member   *testMember
	message  *modelMessage
	deadline time.Time // zero: none
}

const (
	modelLease      = 10 * time.Second
	modelPartitions = 2 // at first
	modelMessages   = 6 // of each
)

func (m *leaseModel) run() {
	m.partitions = modelPartitions
	m.broker = memory(m.t, m.partitions)
	fill(m.t, m.broker, m.partitions, modelMessages, 3)
	for range 100 {
		switch n := m.rng.IntN(20); {
		case len(m.members) == 0 || n == 0 && len(m.members) < 3:
			m.join()
		case n == 1:
			m.leave(m.rng.IntN(len(m.members)))
		case n == 2 && m.rng.IntN(3) == 0 && m.partitions < 2*modelPartitions:
			m.grow()
		case n < 8:
			m.receive(m.members[m.rng.IntN(len(m.members))], time.Millisecond)
		case n < 16:
			m.settle()
		default:
			time.Sleep([]time.Duration{time.Millisecond, time.Second, modelLease / 2, modelLease - 1, modelLease}[m.rng.IntN(5)])
		}
		m.pass()
	}
	for kept := m.rng.IntN(2); len(m.members) > kept; {
		m.leave(len(m.members) - 1)
	}
	if len(m.members) == 0 {
		m.join()
	}
	m.pass()
	for _, k := range m.tokens { // of the one that was there all the time, and gets what partitions have that were given meanwhile
		if k.message.holder == k {
			m.end(k, queue.SettleDone, 0)
		}
	}
	for m.receive(m.members[0], time.Minute) {
		m.end(m.tokens[len(m.tokens)-1], queue.SettleDone, 0)
	}
	for p, msg := range m.messages {
		if !msg.done {
			m.t.Errorf("12: %s is not done, and does not come", p)
		}
	}
	if want := m.partitions * modelMessages; len(m.messages) != want {
		m.t.Errorf("12: %d of %d messages came", len(m.messages), want)
	}
}

// grow gives the topic a partition, with messages, whoever is at work on others.
func (m *leaseModel) grow() {
	m.t.Helper()
	if err := m.broker.Admin().AddPartitions(m.t.Context(), "t", m.partitions+1); err != nil {
		m.t.Fatal(err)
	}
	for i := range modelMessages {
		publishOne(m.t, m.broker, queue.Message{Topic: "t", Key: fmt.Append(nil, i%3), Value: []byte("v"), Partition: queue.PinTo(m.partitions)})
	}
	m.partitions++
	m.counts.grown++
}

func (m *leaseModel) join() {
	g := queue.Group{Concurrency: 1 + m.rng.IntN(3)}
	if m.rng.IntN(4) > 0 {
		g.Lease = modelLease
	}
	m.members = append(m.members, join(m.t, m.broker, g))
}

// leave gives back what a member has, uncounted.
func (m *leaseModel) leave(i int) {
	x := m.members[i]
	m.members = append(m.members[:i:i], m.members[i+1:]...)
	x.leave()
	for _, k := range m.tokens {
		if k.member == x && k.message.holder == k {
			k.message.holder = nil
			m.counts.left++
		}
	}
	for _, msg := range m.messages {
		if len(m.members) == 0 && msg.released {
			msg.due = time.Time{}
		}
	}
}

// pass voids what is overdue.
func (m *leaseModel) pass() {
	synctest.Wait()
	for _, k := range m.tokens {
		if k.message.holder == k && !k.deadline.IsZero() && !time.Now().Before(k.deadline) {
			k.message.holder = nil
			k.message.attempts++
			m.counts.expired++
		}
	}
}

// receive takes one message, if there is one in time, and wants it to be one that may be handed out.
func (m *leaseModel) receive(x *testMember, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var dst [1]queue.Handover
	_, err := x.Receive(ctx, dst[:], queue.ReceiveLimits{})
	m.pass()
	if err != nil {
		return false
	}
	h := dst[0]
	k := &modelToken{handover: h, member: x, message: m.messages[h.Position], deadline: h.Deadline}
	if k.message == nil {
		k.message = &modelMessage{}
		m.messages[h.Position] = k.message
	}
	switch msg := k.message; {
	case msg.done:
		m.t.Errorf("%s was done", h.Position)
	case msg.holder != nil:
		m.t.Errorf("15: %s is held until %v", h.Position, msg.holder.deadline)
	case h.Attempt != msg.attempts+1:
		m.t.Errorf("%s comes at attempt %d after %d failed", h.Position, h.Attempt, msg.attempts)
	case time.Now().Before(msg.due):
		m.t.Errorf("%s comes %v before it is due", h.Position, time.Until(msg.due))
	}
	for p, other := range m.messages {
		mine, _ := h.Position.Offset()
		if its, _ := p.Offset(); p.Partition() == h.Position.Partition() && (its-mine)%3 == 0 && its < mine && !other.done {
			m.t.Errorf("%s overtakes %s of its key", h.Position, p)
		}
	}
	k.message.holder = k
	m.tokens = append(m.tokens, k)
	return true
}

// settle gives an outcome for some hand-over that there was not long ago.
func (m *leaseModel) settle() {
	if len(m.tokens) == 0 {
		return
	}
	k := m.tokens[max(0, len(m.tokens)-1-m.rng.IntN(6))]
	outcomes := []queue.Outcome{queue.SettleDone, queue.SettleRetry, queue.SettleRelease, queue.SettleExtend, queue.SettleExtend}
	m.end(k, outcomes[m.rng.IntN(len(outcomes))], time.Duration(m.rng.IntN(3))*modelLease/2)
}

// end wants the outcome to take effect if k is current, and only then.
func (m *leaseModel) end(k *modelToken, o queue.Outcome, after time.Duration) {
	msg := k.message
	current := msg.holder == k
	if o == queue.SettleExtend {
		after += modelLease / 2
	}
	if err := k.member.settle(k.handover, o, after); (err == nil) != current {
		m.t.Errorf("outcome %d of %s, attempt %d: %v; it is current: %v", o, k.handover.Position, k.handover.Attempt, err, current)
	}
	if !current {
		m.counts.late++
		return
	}
	if o == queue.SettleExtend {
		if !k.deadline.IsZero() {
			k.deadline = time.Now().Add(after)
			m.counts.extended++
		}
		return
	}
	msg.holder, msg.due, msg.released = nil, time.Now().Add(after), o == queue.SettleRelease
	switch o {
	case queue.SettleDone:
		msg.done = true
		m.counts.done++
	case queue.SettleRetry:
		msg.attempts++
	}
}
