package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// sized picks the figure for LEAT_LOOPS.
func sized(t testing.TB, short, ci, full int) int {
	t.Helper()
	switch v := os.Getenv("LEAT_LOOPS"); v {
	case "", "short":
		return short
	case "ci":
		return ci
	case "full":
		return full
	default:
		t.Fatalf("LEAT_LOOPS=%s: want short, ci or full", v)
		return 0
	}
}

// idWitness knows what was promised for each ID.
type idWitness struct {
	mu     sync.Mutex
	acked  map[name]queue.Position
	flying []name // being published
}

func (w *idWitness) fork() *idWitness {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &idWitness{acked: maps.Clone(w.acked), flying: slices.Clone(w.flying)}
}

// idImage is a disk as a crash left it, and what was promised until then.
type idImage struct {
	crash
	witness *idWitness
}

// TestIDsThroughCrashes publishes, and publishes again, while messages are done and removed, indexes written and queues opened again; kills it or cuts the power at operations
// that change the disk; and publishes every ID again: what was acknowledged is a duplicate at its place, and no ID is in the log twice.
func TestIDsThroughCrashes(t *testing.T) {
	target := sized(t, 250, 5_000, 100_000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	points, acked, removed := 0, 0, 0
	for round := uint64(0); (points < target || (acked == 0 || removed == 0) && points < 20*target) && !t.Failed(); round++ {
		s := &idScript{t: t, rng: rand.New(rand.NewPCG(seed, round)), disk: disktest.New(), witness: &idWitness{acked: map[name]queue.Position{}}}
		s.run()
		for i := range s.images {
			points++
			s.images[i].where = fmt.Sprintf("seed %d, round %d, %s", seed, round, s.images[i].where)
			s.check(&s.images[i], 2)
		}
		acked += len(s.witness.acked)
		removed += s.removed
	}
	t.Logf("%d crash points, %d IDs acknowledged, %d of them published again after their messages were removed", points, acked, removed)
	if acked == 0 || removed == 0 {
		t.Error("nothing was tested")
	}
}

// idScript is a life of a queue, or several.
type idScript struct {
	t       *testing.T
	rng     *rand.Rand
	disk    *disktest.Disk
	witness *idWitness
	broker  *queue.Broker
	next    int
	images  []idImage
	removed int
}

var idTopics = map[string]queue.TopicConfig{
	"synced": {Partitions: 2},
	"done":   {Partitions: 2, Retention: queue.Retention{WhenDone: true}},
	"os":     {Durability: queue.OS},
}

func (s *idScript) run() {
	s.reopen()
	stop := photograph(s.disk, s.rng, 6, 60, func() func(crash) {
		w := s.witness.fork()
		return func(c crash) {
			w.merge(s.witness.fork()) // what was acknowledged while the image was made may be in it or not
			s.images = append(s.images, idImage{c, w})
		}
	})
	for range 60 {
		s.step()
	}
	stop()
	if err := s.broker.Close(); err != nil {
		s.t.Error(err)
	}
}

// merge takes what others began meanwhile for uncertain.
func (w *idWitness) merge(later *idWitness) {
	for n := range later.acked {
		if _, ok := w.acked[n]; !ok {
			w.flying = append(w.flying, n)
		}
	}
	w.flying = append(w.flying, later.flying...)
}

func (s *idScript) reopen() {
	if s.broker != nil {
		if err := s.broker.Close(); err != nil {
			s.t.Error(err)
		}
	}
	var err error
	if s.broker, err = openOn(s.disk); err != nil {
		s.t.Fatal(err)
	}
	for topic, c := range idTopics {
		if err := s.broker.EnsureTopic(context.Background(), topic, c); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *idScript) step() {
	switch n := s.rng.IntN(20); {
	case n == 0:
		s.reopen()
	case n < 3:
		if err := From(s.broker).engine.indexer.pass(context.Background(), n == 1); err != nil {
			s.t.Error(err)
		}
	case n < 5:
		s.finish()
	case n < 7:
		if err := From(s.broker).Clean(context.Background()); err != nil {
			s.t.Error(err)
		}
	case n == 7:
		s.publish(queue.Message{Topic: "synced", Value: make([]byte, s.rng.IntN(20<<10))})
	default:
		s.publish(s.batch()...)
	}
}

// finish does some of what is in the work queue.
func (s *idScript) finish() {
	m := join(s.t, s.broker, queue.Group{Topics: []string{"done"}, Concurrency: 5, Order: queue.Unordered})
	if g := m.Member.(*member).group; g.engine.lagOf(g) > 0 {
		m.ack(m.receive(5, queue.ReceiveLimits{})...)
	}
	m.leave()
}

func (e *engine) lagOf(g *group) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.backlog()
	return b.ready
}

// batch makes messages with IDs that are new, or old.
func (s *idScript) batch() (ms []queue.Message) {
	used := map[name]bool{}
	for range 1 + s.rng.IntN(4) {
		topic := slices.Sorted(maps.Keys(idTopics))[s.rng.IntN(len(idTopics))]
		id := s.next
		if s.next++; s.rng.IntN(3) == 0 {
			id = s.rng.IntN(s.next)
		}
		n := name{topic, fmt.Sprint(id)}
		if used[n] {
			continue
		}
		used[n] = true
		ms = append(ms, queue.Message{Topic: topic, ID: n.id, Key: fmt.Append(nil, id), Value: make([]byte, s.rng.IntN(300))})
	}
	return ms
}

func (s *idScript) publish(ms ...queue.Message) {
	w := s.witness
	w.mu.Lock()
	for _, m := range ms {
		if m.ID != "" {
			w.flying = append(w.flying, name{m.Topic, m.ID})
		}
	}
	w.mu.Unlock()
	rs, err := s.broker.PublishBatch(context.Background(), ms...)
	if err != nil {
		s.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying = nil
	for i, m := range ms {
		n := name{m.Topic, m.ID}
		before, again := w.acked[n]
		if m.ID == "" {
			continue
		}
		if again && s.gone(before) {
			s.removed++
		}
		if again != rs[i].Duplicate || again && rs[i].Position != before {
			s.t.Errorf("%v: %+v, want the one at %v again", n, rs[i], before)
		}
		w.acked[n] = rs[i].Position
	}
}

// gone tells whether the message at p was removed.
func (s *idScript) gone(p queue.Position) bool {
	e := From(s.broker).engine
	t, err := e.topic(p.Topic())
	if err != nil {
		return false
	}
	b, err := e.store.Bounds(t.Partition(p.Partition()))
	offset, _ := p.Offset()
	return err == nil && offset < b.First
}

// check opens an image and publishes everything again.
func (s *idScript) check(im *idImage, depth int) {
	b, err := openOn(im.disk)
	if err != nil {
		s.t.Errorf("%s: %v", im.where, err)
		return
	}
	defer b.Close()
	names := slices.Collect(maps.Keys(im.witness.acked))
	names = append(names, im.witness.flying...)
	now := &idWitness{acked: map[name]queue.Position{}}
	for _, n := range names {
		r, err := b.Publish(context.Background(), queue.Message{Topic: n.topic, ID: n.id})
		if errors.Is(err, queue.ErrNotFound) && len(im.witness.acked) == 0 {
			return // before the topics were made
		}
		if err != nil {
			s.t.Errorf("%s: %v: %v", im.where, n, err)
			continue
		}
		before, known := im.witness.acked[n]
		if known && (im.killed || n.topic != "os") && (!r.Duplicate || r.Position != before) {
			s.t.Errorf("%s: %v was acknowledged at %v, and published again it is %+v", im.where, n, before, r)
		}
		if first, twice := now.acked[n]; twice && (!r.Duplicate || r.Position != first) {
			s.t.Errorf("%s: %v, published twice after the crash, is at %v and %+v", im.where, n, first, r)
		}
		now.acked[n] = r.Position
	}
	s.wantOnce(b, im.where)
	if depth > 0 && s.rng.IntN(4) == 0 {
		again := &idImage{crash{disk: im.disk.Killed(), killed: true, where: im.where + "; then killed again"}, now}
		s.check(again, depth-1)
	}
}

// wantOnce wants no ID twice in a topic.
func (s *idScript) wantOnce(b *queue.Broker, where string) {
	for topic := range idTopics {
		at := map[string]queue.Position{}
		for r, err := range b.Read(context.Background(), queue.Range{Topic: topic}) {
			if err != nil {
				s.t.Errorf("%s: %v", where, err)
				break
			}
			if first, twice := at[r.ID]; twice && r.ID != "" {
				s.t.Errorf("%s: ID %q is at %v and at %v", where, r.ID, first, r.Position)
			}
			at[r.ID] = r.Position
		}
	}
}

// idModel is the IDs of a topic as they should be remembered.
type idModel struct {
	window time.Duration
	limit  int
	known  []*modelID // in the order in which they came
}

// modelID is an ID, and the message that was stored under it.
type modelID struct {
	id        string
	born      time.Time
	at        queue.Position // zero: it waits, or nobody has asked since
	timer     queue.TimerID  // it waited under
	due       time.Time
	cancelled bool
}

// find returns the newest of an ID that was not cancelled; sure: it is known to be remembered, else whoever was cancelled counts for the limit, or not any more.
func (m *idModel) find(id string) (k *modelID, remembered, sure bool) {
	all, live := 0, 0
	for _, k := range slices.Backward(m.known) {
		switch {
		case k.cancelled:
		case k.id == id:
			young := time.Since(k.born) < m.window
			return k, young && live < m.limit, !young || all < m.limit || live >= m.limit
		default:
			live++
		}
		all++
	}
	return nil, false, true
}

// idStep is a step of a model test.
type idStep struct{ what, n int }

// TestIDsModel publishes IDs old and new, at once and delayed, cancels and moves what waits, while time passes, messages are removed, bounds altered and the queue is closed or killed
// and opened again, and compares each receipt with what a plain list says.
func TestIDsModel(t *testing.T) {
	step := rapid.Custom(func(rt *rapid.T) idStep {
		return idStep{rapid.IntRange(0, 42).Draw(rt, "what"), rapid.IntRange(1, 50).Draw(rt, "n")}
	})
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(step, 1, 100).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(t *testing.T) { err = playIDs(steps) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func playIDs(steps []idStep) (err error) {
	m := &idModel{window: 60*time.Second + time.Second/2, limit: 30} // no age is that of the window
	d, ctx := disktest.New(), context.Background()
	b, err := openOn(d)
	if err != nil {
		return err
	}
	defer func() { b.Close() }()
	reopen := func(wait int) error {
		if err := b.Close(); err != nil {
			return err
		}
		time.Sleep(time.Duration(wait) * time.Second)
		b, err = openOn(d)
		return err
	}
	err = b.EnsureTopic(ctx, "t", queue.TopicConfig{Partitions: 2, Dedup: queue.Dedup{Window: m.window, IDs: m.limit}})
	for i := 0; i < len(steps) && err == nil; i++ {
		switch n := steps[i].n; steps[i].what {
		case 0:
			err = reopen(0)
		case 1:
			killed := d.Killed()
			err = b.Close()
			if d = killed; err == nil {
				b, err = openOn(d)
			}
		case 2:
			err = reopen(n)
		case 3:
			_, err = b.Admin().Purge(ctx, "t")
		case 4:
			m.limit = min(m.limit, n) // a higher one would remember again what the index has and the table has not
			c := queue.TopicConfig{Dedup: queue.Dedup{Window: m.window, IDs: m.limit}}
			err = From(b).AlterTopic(ctx, "t", c, storage.Strategy{})
		case 5, 6:
			time.Sleep(time.Duration(n) * time.Second)
		case 7:
			err = From(b).engine.indexer.pass(ctx, true)
		case 8, 9, 10:
			err = m.change(b, n, steps[i].what == 8)
		case 11, 12, 13, 14, 15, 16, 17, 18, 19, 20:
			err = m.publish(b, n, time.Now().Add(time.Duration(n*n%40)*time.Second+time.Second/4))
		default:
			err = m.publish(b, n, time.Time{})
		}
		synctest.Wait()
		if err != nil {
			err = fmt.Errorf("step %d, %+v: %w", i, steps[i], err)
		}
	}
	return err
}

func (m *idModel) publish(b *queue.Broker, n int, due time.Time) error {
	id := fmt.Sprint(n)
	k, known, sure := m.find(id)
	r, err := b.Publish(context.Background(), queue.Message{Topic: "t", ID: id, NotBefore: due})
	if err != nil {
		return err
	}
	if r.Duplicate != known && (sure || r.Duplicate) {
		return fmt.Errorf("ID %s: %+v, want a duplicate of %+v: %v", id, r, k, known)
	}
	if !r.Duplicate {
		m.known = append(m.known, &modelID{id: id, born: time.Now(), at: r.Position, timer: r.Timer, due: due})
	} else if err := k.judge(r); err != nil {
		return err
	}
	time.Sleep(time.Millisecond) // append times tell the order
	return nil
}

// judge judges the receipt of a duplicate.
func (k *modelID) judge(r queue.Receipt) error {
	if waits := time.Now().Before(k.due); waits != r.Position.IsZero() || waits != (r.Timer != "") || waits && r.Timer != k.timer {
		return fmt.Errorf("ID %s: %+v, want a duplicate of %+v", k.id, r, k)
	}
	if k.at.IsZero() {
		k.at = r.Position
	}
	if k.at != r.Position {
		return fmt.Errorf("ID %s: %+v, and before it was at %s", k.id, r, k.at)
	}
	return nil
}

// change cancels or moves a message, the nth that waits.
func (m *idModel) change(b *queue.Broker, n int, move bool) (err error) {
	for _, k := range slices.Backward(m.known) {
		if n--; n > 0 || k.cancelled || !time.Now().Before(k.due) {
			continue
		}
		if !move {
			k.cancelled = true
			return b.Cancel(context.Background(), k.timer)
		}
		k.due = k.due.Add(10 * time.Second)
		k.timer, err = b.Reschedule(context.Background(), k.timer, k.due)
		return err
	}
	return nil
}
