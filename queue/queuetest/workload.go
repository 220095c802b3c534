package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
)

func historyCases() []testCase {
	return []testCase{{name: "HistoriesOfAMixedLoad", run: mixedLoad, needs: []queue.Feature{queue.CanRead}}}
}

const (
	loadPartitions = 4
	loadProducers  = 4
	loadKeys       = 10
	loadMaxBytes   = 1000
)

// workload is producers that publish in every way, groups whose members come and go and whose handlers fail, and a reader that follows, all
// at the same time on one topic.
type workload struct {
	s       *stage
	chance  *dice
	history *history
	groups  []*loadGroup
	next    [loadProducers]int // number of each producer's next message
	joins   atomic.Int64
}

// loadGroup is one group of the load.
type loadGroup struct {
	load     *workload
	group    queue.Group
	detector *detector
	tick     chan struct{} // of one: it is time that a member comes or goes
	ended    chan struct{} // closed to end all members
	gone     chan struct{} // closed when they have ended
}

// mixedLoad runs the load in rounds. They end in the middle of the work, with a restart if the engine keeps what it has; every fourth,
// and with them the last, ends when there is nothing left to do. Then the history is judged.
func mixedLoad(s *stage) {
	rounds, each := s.sized(4, 8, 40), s.sized(60, 300, 1000)
	w := &workload{s: s, chance: s.dice(), history: newHistory()}
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Partitions: loadPartitions, MaxBytes: loadMaxBytes}); err != nil {
		s.Fatal(err)
	}
	for o, f := range map[queue.Order]queue.Feature{
		queue.ByKey: queue.CanOrderByKey, queue.ByPartition: queue.CanOrderByPartition, queue.Unordered: queue.CanShare,
	} {
		if s.can(f) {
			g := queue.Group{Name: o.String(), Topics: []string{"t"}, Order: o, Concurrency: 3}
			w.groups = append(w.groups, &loadGroup{load: w, group: g, detector: s.detect(o)})
		}
	}
	for i := range rounds {
		w.round(each, i%4 == 3)
	}
	w.judge(rounds * each)
}

func (w *workload) round(each int, toTheEnd bool) {
	s := w.s
	for _, g := range w.groups {
		g.begin()
	}
	b, from := s.broker, w.history.behind()
	reader := s.start(func(ctx context.Context) error {
		for r, err := range b.Read(ctx, queue.Range{Topic: "t", From: from, Follow: true}) {
			if err != nil {
				return err
			}
			w.history.followed(r)
		}
		return nil
	})
	var producers sync.WaitGroup
	for p := range loadProducers {
		producers.Go(func() { w.produce(p, each) })
	}
	producers.Wait()
	switch {
	case toTheEnd:
		for _, g := range w.groups {
			s.idle(g.group.Name)
		}
	case s.harness.Restart != nil:
		s.restart() // with a backlog
	}
	for _, g := range w.groups {
		g.end()
	}
	reader.end()
	if err := reader.result(); !errors.Is(err, context.Canceled) && !errors.Is(err, queue.ErrClosed) {
		s.Errorf("the reader ended with %v", err)
	}
}

// produce publishes n messages, in many ways.
func (w *workload) produce(producer, n int) {
	for n > 0 {
		var ms []queue.Message
		size := 1
		if w.chance.n(4) == 0 && w.s.can(queue.CanBatch) {
			size = 1 + w.chance.n(min(5, n))
		}
		for range size {
			ms = append(ms, w.message(producer))
		}
		n -= size
		bad := w.chance.n(20) == 0
		if bad {
			ms[w.chance.n(size)].Headers = queue.Headers{}.With("much", string(make([]byte, loadMaxBytes)))
		}
		w.publish(ms, w.chance.n(15) == 0)
	}
}

func (w *workload) message(producer int) queue.Message {
	m := queue.Message{Topic: "t", Value: value(producer, w.next[producer])}
	w.next[producer]++
	switch w.chance.n(5) {
	case 0: // without a key
	case 1:
		m.Key, m.Partition = keyOf(w.chance.n(loadKeys)), queue.PinTo(w.chance.n(loadPartitions))
	default:
		m.Key = keyOf(w.chance.n(loadKeys))
	}
	return m
}

func (w *workload) publish(ms []queue.Message, cancelled bool) {
	ctx, cancel := context.WithCancel(w.s.Context())
	defer cancel()
	if cancelled {
		go cancel() // at some moment
	}
	rs, err := w.s.broker.PublishBatch(ctx, ms...)
	o := acked
	switch {
	case err == nil:
	case errors.Is(err, queue.ErrIndeterminate):
		o = maybe
	case errors.Is(err, queue.ErrTooLarge), errors.Is(err, queue.ErrFull) && cancelled:
		o = rejected
	default:
		w.s.Errorf("publishing %d messages: %v", len(ms), err)
	}
	for i, m := range ms {
		var at queue.Position
		if o == acked {
			at = rs[i].Position
		}
		w.history.published(string(m.Value), o, at)
	}
}

// begin starts a member, and lets others come and go.
func (g *loadGroup) begin() {
	g.tick, g.ended, g.gone = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	first := g.join()
	go func() {
		defer close(g.gone)
		g.churn(first)
	}()
	g.load.s.Cleanup(g.end)
}

func (g *loadGroup) join() *running {
	g.load.joins.Add(1)
	return g.load.s.consume(g.group, g.detector.watch(g.handle))
}

func (g *loadGroup) churn(members ...*running) {
	leave := func(r *running) {
		r.end()
		if err := <-r.ended; err != nil && !errors.Is(err, queue.ErrClosed) {
			g.load.s.Errorf("a member of %s ended with %v", g.group.Name, err)
		}
	}
	for {
		select {
		case <-g.ended:
			for _, r := range members {
				leave(r)
			}
			return
		case <-g.tick:
		}
		if n := g.load.chance.n(3); n < len(members) && len(members) > 1 {
			leave(members[n])
			members = append(members[:n], members[n+1:]...)
		} else {
			members = append(members, g.join())
		}
	}
}

// end ends the members, and waits for that.
func (g *loadGroup) end() {
	select {
	case <-g.ended:
	default:
		close(g.ended)
	}
	<-g.gone
}

func (g *loadGroup) handle(_ context.Context, d *queue.Delivery) error {
	w := g.load
	w.history.saw(d.Position, d.Value, "group "+g.group.Name)
	w.s.dawdle(w.chance)
	n := w.chance.n(400)
	if n < 10 {
		select {
		case g.tick <- struct{}{}:
		default:
		}
	}
	switch {
	case d.Attempt > 1:
	case n > 396:
		return errAgain
	case n == 396:
		panic(fmt.Sprint("at ", d.Position))
	}
	return nil
}

// judge wants the history to be one that is promised, and to have had in it what it was made for.
func (w *workload) judge(each int) {
	s := w.s
	for r, err := range s.broker.Read(s.within(), queue.Range{Topic: "t", From: w.history.behind()}) {
		if err != nil {
			s.Fatal(err)
		}
		w.history.followed(r)
	}
	stored := s.records("t")
	for _, wrong := range w.history.check(stored) {
		s.Error(wrong)
	}
	for _, g := range w.groups {
		if got := g.detector.doneCount(); got != len(stored) {
			s.Errorf("1, 16: group %s finished %d messages, %d are stored", g.group.Name, got, len(stored))
		}
	}
	_, failed := s.log.told()
	counts := []int{len(stored), w.history.count(acked), w.history.count(rejected), len(failed), int(w.joins.Load())}
	s.Logf("%d stored, %d acknowledged, %d refused, %d attempts failed, %d members", counts[0], counts[1], counts[2], counts[3], counts[4])
	for _, n := range counts {
		if n == 0 {
			s.Error("17: a count is zero: the load was not what it is for")
		}
	}
	if total := each * loadProducers; len(w.history.outcomes) != total {
		s.Errorf("%d messages were published, want %d", len(w.history.outcomes), total)
	}
}
