package queuetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

func membershipCases() []testCase {
	return []testCase{
		{name: "MembershipHistoriesByKey", run: func(s *stage) { memberships(s, queue.ByKey) }, needs: []queue.Feature{queue.CanOrderByKey}},
		{name: "MembershipHistoriesByPartition", run: func(s *stage) { memberships(s, queue.ByPartition) }, needs: []queue.Feature{queue.CanOrderByPartition}},
		{name: "MembershipHistoriesUnordered", run: func(s *stage) { memberships(s, queue.Unordered) }, needs: []queue.Feature{queue.CanShare}},
	}
}

// membership is one history of a group whose members join, leave and die while messages flow: members with handlers that fail, panic and end
// their goroutines, loops that are left with a message in hand, an engine that is closed and opened again, and operators who pause.
type membership struct {
	*stage
	*detector
	chance     *dice
	group      queue.Group
	partitions int
	members    []*running
	current    atomic.Pointer[queue.Broker] // for producers
	storm      atomic.Bool                  // handlers end their goroutines
	moves      int                          // that the changes so far may have needed
	more       atomic.Int64                 // the same, of loops that come back
	published  sync.Map                     // values
	paused     bool
	joined     int
	died       atomic.Int64
}

// memberships runs histories. LEAT_SEED, if it is set, is that of the only one.
func memberships(s *stage, o queue.Order) {
	histories := s.sized(4, 30, 300)
	if s.harness.Bubble { // where waiting costs nothing
		histories = s.sized(10, 300, 3000)
	}
	seeds := s.dice()
	only, fixed := os.LookupEnv("LEAT_SEED")
	if fixed {
		histories = 1
	}
	joined, died := 0, int64(0)
	for range histories {
		seed := uint64(seeds.n(1 << 60))
		if fixed {
			var err error
			if seed, err = strconv.ParseUint(only, 10, 64); err != nil {
				s.Fatal("LEAT_SEED: ", err)
			}
		}
		m := newMembership(s, o, seed)
		m.run()
		joined += m.joined
		died += m.died.Load()
		if err := s.broker.Close(); err != nil {
			s.Error("Close: ", err)
		}
		if s.Failed() {
			s.Fatalf("in a history of %d partitions, LEAT_SEED=%d", m.partitions, seed)
		}
	}
	s.Logf("%d histories, %d members joined, %d handlers and loops died", histories, joined, died)
	if !fixed && (joined < 2*histories || died == 0) {
		s.Error("17: nobody came or died: the histories were not what they are for")
	}
}

func newMembership(s *stage, o queue.Order, seed uint64) *membership {
	s.broker = s.open(time.Second)
	chance := diceOf(seed)
	m := &membership{stage: s, detector: s.detect(o), chance: chance, partitions: 1 + chance.n(7)}
	m.group = queue.Group{
		Name: fmt.Sprint("g-", s.groups.Add(1)), Topics: []string{"t"}, Order: o, Concurrency: 1 + chance.n(4),
	}
	if s.can(queue.CanExclude) {
		m.group.Exclusive = chance.n(5) == 0
	}
	s.topic("t", m.partitions)
	m.current.Store(s.broker)
	return m
}

func (m *membership) run() {
	m.join()
	total, changes := 0, 3+m.chance.n(15)
	var producers sync.WaitGroup
	for range changes {
		n := 1 + m.chance.n(40)
		total += n
		first := total
		producers.Go(func() { m.produce(first, n) })
		m.change()
	}
	producers.Wait()
	m.storm.Store(false)
	if len(m.members) == 0 {
		m.join()
	}
	if m.paused {
		m.unpause(m.group.Name)
	}
	m.idle(m.group.Name)
	m.judge(total)
}

// change is one thing that happens to the group.
func (m *membership) change() {
	for range m.chance.n(4) {
		m.dawdle(m.chance)
	}
	switch m.chance.n(10) {
	case 0, 1, 2, 3:
		m.join()
	case 4, 5, 6:
		m.leave()
	case 7:
		m.storm.Store(!m.storm.Load())
	case 8:
		m.pauseOrNot()
	case 9:
		m.reopen()
	}
	if m.harness.Bubble {
		synctest.Wait() // the members know of it
	}
}

// join starts a member of one kind or another. A newcomer gets its share, and no more moves.
func (m *membership) join() {
	m.joined++
	if n := len(m.members); !m.group.Exclusive || n == 0 {
		m.moves += (m.partitions + n) / max(1, n+1)
	}
	b, g := m.broker, m.group
	if m.can(queue.CanLease) && m.chance.n(3) == 0 {
		m.members = append(m.members, m.start(func(ctx context.Context) error { return m.loop(ctx, b, g) }))
		return
	}
	m.members = append(m.members, m.start(func(ctx context.Context) error { return b.Consume(ctx, g, m.watch(m.handle)) }))
}

// leave stops a member, whose share goes to others.
func (m *membership) leave() {
	n := len(m.members)
	if n == 0 {
		return
	}
	if m.group.Exclusive {
		m.moves += m.partitions
	} else {
		m.moves += (m.partitions + n - 1) / n
	}
	i := m.chance.n(n)
	m.members[i].stop()
	m.members = append(m.members[:i], m.members[i+1:]...)
}

func (m *membership) pauseOrNot() {
	if !m.can(queue.CanPause) || !m.listsGroups() {
		return
	}
	do := m.broker.Admin().Pause
	if m.paused {
		do = m.broker.Admin().Resume
	}
	switch err := do(m.within(), m.group.Name); {
	case errors.Is(err, queue.ErrNotFound): // no member was so quick
	case err != nil:
		m.Fatal(err)
	default:
		m.paused = !m.paused
	}
}

// reopen has all members die with their engine, if it keeps what it has.
func (m *membership) reopen() {
	if m.harness.Restart == nil {
		return
	}
	m.stage.restart()
	m.current.Store(m.broker)
	for _, r := range m.members {
		if err := r.result(); err != nil && !errors.Is(err, queue.ErrClosed) {
			m.Errorf("a member of an engine that was closed ended with %v", err)
		}
	}
	m.members = nil
	m.join()
}

// produce publishes n messages, unless the engine is closed meanwhile; then it goes on with the next one.
func (m *membership) produce(first, n int) {
	b := m.current.Load()
	for i := range n {
		v := value(0, first-i)
		m.published.Store(string(v), true)
		msg := queue.Message{Topic: "t", Value: v, Partition: queue.PinTo(m.chance.n(m.partitions))}
		if m.chance.n(4) > 0 {
			msg.Key = keyOf(m.chance.n(5))
		}
		for {
			_, err := b.Publish(m.Context(), msg)
			if err == nil {
				break
			}
			if !errors.Is(err, queue.ErrClosed) {
				m.Errorf("Publish: %v", err)
				return
			}
			runtime.Gosched()
			b = m.current.Load()
		}
		if m.chance.n(8) == 0 {
			m.dawdle(m.chance)
		}
	}
}

func (m *membership) see(d *queue.Delivery) {
	if _, ok := m.published.Load(string(d.Value)); !ok {
		m.Errorf("8: %s holds %q, which nobody published", d.Position, d.Value)
	}
}

func (m *membership) handle(_ context.Context, d *queue.Delivery) error {
	m.see(d)
	m.dawdle(m.chance)
	n := m.chance.n(100)
	if m.storm.Load() {
		n /= 4
	}
	switch {
	case d.Attempt > 2 || n >= 6: // so that it ends
		return nil
	case n < 2:
		return errAgain
	case n < 4:
		m.died.Add(1)
		panic("in a history")
	}
	m.died.Add(1)
	runtime.Goexit()
	return nil
}

// loop is a member that may leave with a message in hand, and comes back.
func (m *membership) loop(ctx context.Context, b *queue.Broker, g queue.Group) error {
	for ctx.Err() == nil {
		left := false
		for l, err := range b.Deliveries(ctx, g) {
			if err != nil {
				return err
			}
			m.see(l.Delivery)
			m.enter(l.Delivery)
			m.dawdle(m.chance)
			n := m.chance.n(50)
			if n == 0 && l.Attempt < 3 {
				m.detector.leave(l.Delivery, failed)
				err = l.Nack(context.Background(), errAgain)
			} else if n == 1 || n < 10 && m.storm.Load() {
				m.detector.leave(l.Delivery, released)
				m.died.Add(1)
				m.more.Add(int64(2 * m.partitions))
				left = true
				break
			} else {
				m.detector.leave(l.Delivery, done)
				err = l.Ack(context.Background())
			}
			if err != nil {
				m.Errorf("15: settling %s, which nobody else may have: %v", l.Position, err)
			}
		}
		if !left {
			return nil
		}
	}
	return nil
}

// judge wants the end to be one that is promised. The numbers are those of the list of history checkers; 6, 7 and 15 are the detector's, 16 is the
// patience of the stage.
func (m *membership) judge(total int) {
	if got := m.doneCount(); got != total {
		m.Errorf("1, 5, 12: %d messages are done, want %d", got, total)
	}
	if m.listsGroups() && m.listsTopics() {
		info, topic := m.groupInfo(m.group.Name), m.topicInfo("t")
		if info.Ready+info.InFlight+info.Waiting != 0 {
			m.Errorf("12: at the end %+v", info)
		}
		for _, p := range info.Partitions {
			if !topic.Partitions[p.Partition].Next.Covers(p.Floor) {
				m.Errorf("11: the group came to %s, and the data to %s", p.Floor, topic.Partitions[p.Partition].Next)
			}
		}
	}
	for len(m.members) > 0 {
		m.leave()
	}
	if m.group.Order == queue.Unordered {
		return
	}
	m.wantMoves(m.group.Name, m.partitions)
	moves, _ := m.log.told()
	gained := 0
	for _, x := range moves {
		if x.Group == m.group.Name && x.gained {
			gained++
		}
	}
	if m.moves += int(m.more.Load()); m.harness.Bubble && gained > m.moves { // elsewhere nobody knows how many members there were when
		m.Errorf("%d partitions were given to members, where %d moves were needed", gained, m.moves)
	}
}
