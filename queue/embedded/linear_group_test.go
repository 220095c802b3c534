package embedded

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/leatmq/leat/queue"
)

// laneCall is one of: a publish of a value, a hand-over to a member, an outcome of one, a member that leaves, a crash, a look at what is left.
type laneCall struct {
	what    string
	key     byte // 0: all
	value   string
	token   int
	member  int
	outcome queue.Outcome
}

// laneAnswer is what a call came to.
type laneAnswer struct {
	attempt int
	lost    bool // ErrLeaseLost
}

// laneState is a key of a group: what is not done, and who has the first of it.
type laneState struct {
	waiting string // values, each with a space behind it
	failed  int    // attempts of the first; -1: not known
	token   int    // 0: nobody has it; -1: nobody, and it does not come before a crash
	member  int
}

func stepLane(s laneState, c laneCall, answer any) []any {
	a, _ := answer.(laneAnswer)
	_, open := answer.(openEnded)
	after := s
	switch c.what {
	case "publish":
		after.waiting += c.value + " "
	case "receive":
		if !strings.HasPrefix(s.waiting, c.value+" ") || s.token != 0 || s.failed >= 0 && a.attempt != s.failed+1 {
			return nil
		}
		after.failed, after.token, after.member = a.attempt-1, c.token, c.member
	case "settle":
		if mine := s.token == c.token; !mine && (a.lost || open) {
			return []any{s}
		} else if !mine || a.lost {
			return nil
		}
		after.settle(c.outcome)
	case "leave":
		if s.member == c.member {
			after.token, after.member = 0, 0
		}
	case "crash":
		after.failed, after.token, after.member = -1, 0, 0
	case "end":
		if s.waiting != "" {
			return nil
		}
	}
	switch {
	case open && c.what == "settle": // its handle may be void before it is known whether the outcome is durable
		limbo := s
		limbo.token, limbo.member = -1, 0
		return []any{s, after, limbo}
	case open:
		return []any{s, after}
	}
	return []any{after}
}

func (s *laneState) settle(o queue.Outcome) {
	s.token, s.member = 0, 0
	switch o {
	case queue.SettleDone:
		_, s.waiting, _ = strings.Cut(s.waiting, " ")
		s.failed = 0
	case queue.SettleRetry:
		if s.failed >= 0 {
			s.failed++
		}
	}
}

func laneModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: by(func(op porcupine.Operation) (byte, bool) { k := op.Input.(laneCall).key; return k, k != 0 }),
		Init:      func() []any { return []any{laneState{}} },
		Step:      func(state, input, output any) []any { return stepLane(state.(laneState), input.(laneCall), output) },
	}
	return m.ToModel()
}

// laneWorld is what the clients of a history have between them.
type laneWorld struct {
	mu      sync.Mutex
	tokens  int        // guarded by mu
	members int        // guarded by mu
	held    []heldLane // guarded by mu; hand-overs, old ones too
}

type heldLane struct {
	broker   *queue.Broker
	member   queue.Member
	handover queue.Handover
	token    int
}

// laneClient is a client and the member that it has.
type laneClient struct {
	*laneWorld
	s      *site
	l      *line
	id     int
	broker *queue.Broker // nil: no member
	member queue.Member
	number int
}

// TestGroupsAreLinearizable has members of a group receive, settle what they and others have or had, leave and come, while messages of a few keys are published, and the topic is given the partitions of
// half of these: of each key one is in work at a time, in order, at the right attempt; one outcome of a hand-over counts; and when the power went away whatever was done stays done, and the rest comes again.
func TestGroupsAreLinearizable(t *testing.T) {
	x := linearTest{
		model:   laneModel(),
		topics:  map[string]queue.TopicConfig{"t": {Partitions: laneKeys / 2}},
		grows:   true,
		crashed: laneCall{what: "crash"},
		client: func(s *site, l *line, client int, rng *rand.Rand) {
			c := &laneClient{laneWorld: s.world.(*laneWorld), s: s, l: l, id: client}
			for n := range 40 {
				s.growSome(rng, laneKeys)
				c.step(n, rng)
				s.next(s.now())
			}
			c.leave()
		},
		world: func() any { return &laneWorld{} },
		end:   func(s *site, l *line) { (&laneClient{laneWorld: s.world.(*laneWorld), s: s, l: l}).finish() },
	}
	x.run(t, sized(t, 6, 40, 20_000))
}

const laneKeys = 4 // each in a partition of its own, of which half are there at first

func (c *laneClient) step(n int, rng *rand.Rand) {
	switch k := rng.IntN(20); {
	case k < 6:
		c.publish(byte('a'+rng.IntN(laneKeys)), valueOf(c.id, n))
	case k == 6:
		c.leave()
	case k < 13:
		c.receive(3 * time.Millisecond)
	default:
		c.settle(rng)
	}
}

func (c *laneClient) publish(key byte, value string) {
	b := c.s.now()
	c.l.call(c.id, laneCall{what: "publish", key: key, value: string(key) + value}, func() any {
		m := queue.Message{Topic: "t", Key: []byte{key}, Value: []byte(string(key) + value), Partition: queue.PinTo(int(key - 'a'))}
		if _, err := b.Publish(context.Background(), m); err != nil {
			return outcome(err)
		}
		return laneAnswer{}
	})
}

// join makes the client a member where the broker is now.
func (c *laneClient) join() bool {
	b := c.s.now()
	if c.broker == b {
		return true
	}
	m := &testMember{t: c.s.t}
	member, err := b.Engine().Join(context.Background(), m.membership(queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 2, InFlightBytes: 1 << 20}))
	if err != nil {
		return false // it goes down
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members++
	c.broker, c.member, c.number = b, member, c.members
	return true
}

func (c *laneClient) leave() {
	if c.broker == nil {
		return
	}
	c.l.call(c.id, laneCall{what: "leave", member: c.number}, func() any {
		if err := c.member.Leave(context.Background()); err != nil {
			return unsure{}
		}
		return laneAnswer{}
	})
	c.broker = nil
}

func (c *laneClient) receive(patience time.Duration) bool {
	if !c.join() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got := false
	c.l.callAs(c.id, func() (any, any) {
		var dst [1]queue.Handover
		if _, err := c.member.Receive(ctx, dst[:], queue.ReceiveLimits{}); err != nil {
			return nil, nil
		}
		got = true
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tokens++
		c.held = append(c.held, heldLane{c.broker, c.member, dst[0], c.tokens})
		v := string(dst[0].Value)
		return laneCall{what: "receive", key: v[0], value: v, token: c.tokens, member: c.number}, laneAnswer{attempt: dst[0].Attempt}
	})
	return got
}

// settle gives an outcome of a hand-over of not long ago, anybody's.
func (c *laneClient) settle(rng *rand.Rand) {
	c.mu.Lock()
	if len(c.held) == 0 {
		c.mu.Unlock()
		return
	}
	h := c.held[max(0, len(c.held)-1-rng.IntN(5))]
	c.mu.Unlock()
	c.end(h, []queue.Outcome{queue.SettleDone, queue.SettleDone, queue.SettleRetry, queue.SettleRelease}[rng.IntN(4)])
}

func (c *laneClient) end(h heldLane, o queue.Outcome) {
	if h.broker != c.s.now() {
		return // what comes of it does not matter to anybody
	}
	key := h.handover.Value[0]
	c.l.call(c.id, laneCall{what: "settle", key: key, token: h.token, outcome: o}, func() any {
		ss := []queue.Settlement{{Handle: h.handover.Handle, Outcome: o, Wait: o == queue.SettleDone}}
		h.member.Settle(context.Background(), ss)
		switch {
		case ss[0].Err == nil:
			return laneAnswer{}
		case errors.Is(ss[0].Err, queue.ErrLeaseLost):
			return laneAnswer{lost: true}
		}
		return unsure{}
	})
}

// finish does all that is left, and wants that to be all.
func (c *laneClient) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	idle := make(chan error, 1)
	b := c.s.now()
	go func() { idle <- b.WaitIdle(ctx, "g") }()
	for over := !c.join(); !over; {
		if c.receive(5 * time.Millisecond) {
			c.end(c.held[len(c.held)-1], queue.SettleDone)
			continue
		}
		select {
		case err := <-idle:
			if over = true; err != nil {
				c.s.t.Errorf("16: the group is not idle at the end: %v", err)
			}
		default:
		}
	}
	c.l.call(c.id, laneCall{what: "end"}, func() any { return laneAnswer{} })
	c.leave()
}

func TestLaneModelSeesWhatIsWrong(t *testing.T) {
	publish := func(v string) any { return [2]any{laneCall{what: "publish", key: 'a', value: v}, laneAnswer{}} }
	receive := func(v string, token, attempt int) any {
		return [2]any{laneCall{what: "receive", key: 'a', value: v, token: token, member: token}, laneAnswer{attempt: attempt}}
	}
	settle := func(token int, o queue.Outcome, lost bool) any {
		return [2]any{laneCall{what: "settle", key: 'a', token: token, outcome: o}, laneAnswer{lost: lost}}
	}
	other := func(what string, member int) any { return [2]any{laneCall{what: what, member: member}, laneAnswer{}} }
	wantWrong(t, laneModel(), map[string][]any{
		"two have one message":             {publish("v"), receive("v", 1, 1), receive("v", 2, 1)},
		"one overtakes its key":            {publish("v"), publish("w"), receive("w", 1, 1)},
		"it comes though it was done":      {publish("v"), receive("v", 1, 1), settle(1, queue.SettleDone, false), receive("v", 2, 1)},
		"an outcome counts twice":          {publish("v"), receive("v", 1, 1), settle(1, queue.SettleRetry, false), settle(1, queue.SettleDone, false)},
		"one that is current is refused":   {publish("v"), receive("v", 1, 1), settle(1, queue.SettleDone, true)},
		"a failure is not counted":         {publish("v"), receive("v", 1, 1), settle(1, queue.SettleRetry, false), receive("v", 2, 1)},
		"our own stop is counted":          {publish("v"), receive("v", 1, 1), other("leave", 1), receive("v", 2, 2)},
		"a handle is good after its leave": {publish("v"), receive("v", 1, 1), other("leave", 1), settle(1, queue.SettleDone, false)},
		"done is forgotten by a crash":     {publish("v"), receive("v", 1, 1), settle(1, queue.SettleDone, false), other("crash", 0), receive("v", 2, 1)},
		"something is left":                {publish("v"), other("end", 0)},
	})
}
