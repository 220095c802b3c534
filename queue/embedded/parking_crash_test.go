package embedded

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// TestParkingThroughCrashes has members come and go while much fails and is parked, kills the process or cuts the power at operations that change the disk, and lets the group
// finish what is left: of each key it is what follows what was done, in order and without a gap.
//
// It fails if what is parked is written without the cursor, if what is read of a key of which something is parked is not parked behind it, and if what is moved to the end of the parking is
// not done where it was.
func TestParkingThroughCrashes(t *testing.T) {
	messages, parked, most := 0, 0, int64(0)
	points := throughCrashes(t, sized(t, 80, 1_500, 50_000), func() bool { return parked > 0 }, func(t *testing.T, rng *rand.Rand) []aftermath {
		s := &parkScript{rng: rng, disk: disktest.New(), w: newParkWitness(), parked: &parked}
		s.run(t)
		messages += len(s.w.acked)
		most = max(most, s.most)
		return s.left
	})
	t.Logf("%d crash points, %d of them with something parked, %d at most; %d messages", points, parked, most, messages)
}

// parkWitness knows what was promised of messages, which are numbered by key, and what was done.
type parkWitness struct {
	mu    sync.Mutex
	acked map[string]queue.Receipt // by key and number
	sent  map[string]int           // by key: how many were published, or may be
	safe  map[string]int           // of these, acknowledged
	done  map[string]int           // by key: how many are done
	lone  map[string]bool          // without a key, which are done
}

func newParkWitness() *parkWitness {
	return &parkWitness{acked: map[string]queue.Receipt{}, sent: map[string]int{}, safe: map[string]int{}, done: map[string]int{}, lone: map[string]bool{}}
}

func (w *parkWitness) fork() *parkWitness {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &parkWitness{acked: maps.Clone(w.acked), sent: maps.Clone(w.sent), safe: maps.Clone(w.safe), done: maps.Clone(w.done), lone: maps.Clone(w.lone)}
}

const loneKey = "-" // of messages that have none

type parkScript struct {
	rng    *rand.Rand
	disk   *disktest.Disk
	broker *queue.Broker
	w      *parkWitness
	most   int64 // that was parked

	order     queue.Order // of the members that there are
	exclusive bool        // the same
	left      []aftermath
	parked    *int // images in which something was
}

// parkImage is a disk as a crash left it, and what was known before that.
type parkImage struct {
	crash
	w *parkWitness
}

func openParking(t *testing.T, d *disktest.Disk) *queue.Broker {
	t.Helper()
	b, err := openOn(d)
	if err != nil {
		t.Fatal(err)
	}
	From(b).engine.tidyRecords, From(b).engine.tidyShare = 4, 0
	return b
}

func (s *parkScript) run(t *testing.T) {
	s.broker = openParking(t, s.disk)
	ensure(t, s.broker, "t", 2)
	end := photograph(s.disk, s.rng, 40, 20, func() func(crash) {
		w := s.w.fork()
		return func(c crash) {
			im := &parkImage{c, w}
			s.left = append(s.left, aftermath{c.where, func(t *testing.T) {
				if im.finish(t) {
					*s.parked++
				}
			}})
		}
	})
	for range 4 {
		var stops []func()
		s.order, s.exclusive = queue.ByKey, s.rng.IntN(4) == 0
		if s.rng.IntN(4) == 0 {
			s.order = queue.ByPartition
		}
		for range 1 + s.rng.IntN(2) {
			stops = append(stops, s.member(t))
		}
		for range 5 {
			s.publish(t)
			time.Sleep(time.Duration(s.rng.IntN(20_000)) * time.Millisecond)
			s.most = max(s.most, s.broker.Stats().Groups[0].Parked)
			if s.rng.IntN(3) == 0 {
				stops = append(stops, s.member(t))
			}
		}
		for _, stop := range stops {
			stop()
		}
		if s.rng.IntN(2) == 0 {
			if err := s.broker.Close(); err != nil {
				t.Error(err)
			}
			s.broker = openParking(t, s.disk)
		}
	}
	end()
	if err := s.broker.Close(); err != nil {
		t.Error(err)
	}
}

// publish stores some messages of some keys.
func (s *parkScript) publish(t *testing.T) {
	var ms []queue.Message
	var names []string
	s.w.mu.Lock()
	for range 1 + s.rng.IntN(12) {
		key := fmt.Sprint(s.rng.IntN(5))
		m := queue.Message{Topic: "t", Key: []byte(key)}
		if key == "4" {
			key, m.Key = loneKey, nil
		}
		m.Value = fmt.Append(nil, s.w.sent[key])
		names = append(names, key+"/"+string(m.Value))
		s.w.sent[key]++
		ms = append(ms, m)
	}
	s.w.mu.Unlock()
	rs, err := s.broker.PublishBatch(context.Background(), ms...)
	if err != nil {
		t.Fatal(err)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for i, r := range rs {
		s.w.acked[names[i]] = r
	}
	maps.Copy(s.w.safe, s.w.sent)
}

// member consumes with a fault of its own.
func (s *parkScript) member(t *testing.T) (stop func()) {
	rule := queue.KeyRule(s.rng.IntN(2)) // BlockKey, ParkKey
	if s.order == queue.ByPartition {
		rule = queue.BlockKey
	}
	wait := []time.Duration{time.Millisecond, time.Second, 12 * time.Second, time.Minute}[s.rng.IntN(4)]
	g := queue.Group{
		Name: "g", Topics: []string{"t"}, Order: s.order, Exclusive: s.exclusive, Concurrency: 1 + s.rng.IntN(4),
		Failure: queue.Failure{Retry: retry.Constant(wait), MaxAttempts: -1, WhileRetry: rule},
	}
	fails := 1 + s.rng.IntN(9)
	dice := rand.New(rand.NewPCG(s.rng.Uint64(), 2))
	one := func(d *queue.Delivery) error {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if dice.IntN(10) < fails {
			return errBroken
		}
		s.w.finish(t, d, false)
		return nil
	}
	if s.rng.IntN(3) > 0 {
		return consume(t, s.broker, g, func(_ context.Context, d *queue.Delivery) error { return one(d) })
	}
	g.Batch.Messages = 3
	ctx, cancel := context.WithCancel(context.Background())
	ended, b := make(chan error, 1), s.broker
	go func() {
		ended <- b.ConsumeBatch(ctx, g, func(_ context.Context, ds []*queue.Delivery) []error {
			errs := make([]error, len(ds))
			broken := map[string]bool{} // what is behind a failure in its lane is not done
			for i, d := range ds {
				lane := string(d.Key)
				if g.Order == queue.ByPartition {
					lane = fmt.Sprint(d.Position.Partition())
				}
				if errs[i] = errBroken; !broken[lane] || d.Key == nil && g.Order == queue.ByKey {
					errs[i] = one(d)
				}
				broken[lane] = errs[i] != nil
			}
			return errs
		})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// finish judges a message that is done now, and notes it. After a crash what was done shortly before may come again. It is called with w.mu held.
func (w *parkWitness) finish(t *testing.T, d *queue.Delivery, again bool) {
	key, n := loneKey, 0
	if d.Key != nil {
		key = string(d.Key)
	}
	fmt.Sscan(string(d.Value), &n)
	name := key + "/" + string(d.Value)
	if r, ok := w.acked[name]; ok && r.Position != d.Position {
		t.Errorf("%s comes as %s, it was published as %s", name, d.Position, r.Position)
	}
	if key == loneKey {
		if w.lone[name] && !again {
			t.Errorf("%s comes again", name)
		}
		w.lone[name] = true
		return
	}
	if n != w.done[key] && !(again && n < w.done[key]) {
		t.Errorf("%s comes when %d of its key are done", name, w.done[key])
	}
	w.done[key] = n + 1
}

// finish lets the group finish after the crash. It is true if something was parked.
func (im *parkImage) finish(t *testing.T) (parked bool) {
	b := openParking(t, im.disk)
	defer b.Close()
	w := im.w
	before := maps.Clone(w.done)
	first := map[string]bool{}
	if s := b.Stats(); len(s.Groups) > 0 {
		parked = s.Groups[0].Parked > 0
	}
	if len(b.Stats().Topics) == 0 {
		return false
	}
	stop := consume(t, b, parkingGroup(queue.BlockKey), func(_ context.Context, d *queue.Delivery) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if key := string(d.Key); d.Key != nil && !first[key] { // the first to come may have been done; those behind it follow without a gap
			first[key] = true
			n := 0
			fmt.Sscan(string(d.Value), &n)
			if n < before[key] {
				w.done[key] = n
			}
		}
		w.finish(t, d, d.Key == nil)
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Hour)
	defer cancel()
	if err := b.WaitIdle(ctx, "g"); err != nil {
		t.Error(err)
	}
	stop()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(w.safe)) {
		if key != loneKey && w.done[key] < w.safe[key] {
			t.Errorf("%d of key %s are done, %d were acknowledged", w.done[key], key, w.safe[key])
		}
	}
	for name := range w.acked {
		if name[:1] == loneKey && !w.lone[name] {
			t.Errorf("%s is lost", name)
		}
	}
	if s := b.Stats().Groups[0]; s.Parked+s.Ready+s.Waiting+s.Missed != 0 {
		t.Errorf("at the end: %+v", s)
	}
	return parked
}
