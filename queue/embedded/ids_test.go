package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/ledger"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// ondisk opens the queue on a disk in memory. Cleanup is done when a test asks for it.
func ondisk(t testing.TB, d *disktest.Disk) *queue.Broker {
	t.Helper()
	b, err := openOn(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func openOn(d *disktest.Disk) (*queue.Broker, error) { return openWith(d, Options{}) }

// openWith opens a queue whose store has little room of everything, so that it does in a test what others do in days, and cleans when it is told to.
func openWith(d *disktest.Disk, o Options) (*queue.Broker, error) {
	s, err := d.Open(disk.Options{MemoryBytes: 8 << 20, Tuning: disk.Tuning{
		SlotBytes: 64 << 10, Slots: 2, JournalBytes: 256 << 10, SegmentBytes: 64 << 10, CheckpointEvery: -1, CleanEvery: -1, RewriteEvery: -1,
	}})
	if err != nil {
		return nil, err
	}
	return open(s, onDisk, o)
}

// withIDs publishes messages of topic "t" with the IDs from up to to, and returns the receipts.
func withIDs(t testing.TB, b *queue.Broker, from, to int) []queue.Receipt {
	t.Helper()
	var rs []queue.Receipt
	for i := from; i < to; i++ {
		r, err := b.Publish(context.Background(), queue.Message{Topic: "t", ID: fmt.Sprint(i), Value: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

// wantDuplicates publishes the IDs from an ID on again and wants the receipts that there were.
func wantDuplicates(t testing.TB, b *queue.Broker, from int, before []queue.Receipt) {
	t.Helper()
	for i, r := range withIDs(t, b, from, from+len(before)) {
		if !r.Duplicate || r.Position != before[i].Position {
			t.Errorf("ID %d: receipt %+v, the first one's was %+v", from+i, r, before[i])
		}
	}
}

// index writes the index of topic "t", as it is done every second.
func indexNow(t testing.TB, b *queue.Broker) {
	t.Helper()
	if err := From(b).engine.indexer.pass(context.Background(), true); err != nil {
		t.Fatal(err)
	}
}

func stored(t testing.TB, b *queue.Broker) int64 {
	t.Helper()
	for _, s := range b.Stats().Topics {
		if s.Name == "t" {
			return s.Records
		}
	}
	t.Fatal("no topic")
	return 0
}

// TestIDsOfWhatIsDone: in a work queue nothing is removed before its ID is in the index, nothing because it is, and IDs outlive their messages, a process that is
// killed, and a second one that nobody publishes an ID in.
func TestIDsOfWhatIsDone(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Retention: queue.Retention{WhenDone: true}}); err != nil {
		t.Fatal(err)
	}
	clean := func(b *queue.Broker, want int64) {
		t.Helper()
		if err := From(b).Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, b); got != want {
			t.Fatalf("%d messages are left, want %d", got, want)
		}
	}
	first := withIDs(t, b, 0, 30)
	indexNow(t, b)
	clean(b, 30) // no group has done them

	done := func(b *queue.Broker) {
		t.Helper()
		m := join(t, b, queue.Group{Concurrency: 100})
		m.ack(m.receive(100, queue.ReceiveLimits{Linger: time.Millisecond})...)
		m.leave()
	}
	s := From(b).engine.topics["t"].ids.Load()
	<-s.turn // the index is not written
	first = append(first, withIDs(t, b, 30, 50)...)
	done(b)
	clean(b, 20)
	killed := d.Killed()
	s.leave()
	indexNow(t, b)
	clean(b, 0)
	wantDuplicates(t, b, 0, first)

	b = ondisk(t, killed)
	clean(b, 20)
	indexer := &From(b).engine.indexer
	for range 2 {
		indexer.pass(t.Context(), false) // nobody publishes an ID, and what was not written is all the same
	}
	clean(b, 0)
	wantDuplicates(t, b, 0, first)

	b = ondisk(t, killed.Killed())
	clean(b, 0)
	wantDuplicates(t, b, 0, first)
}

// TestIDsThatNobodyAsksFor: the index of a topic goes on though no ID is published any more, and costs a clean start nothing.
func TestIDsThatNobodyAsksFor(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 2)
	first := withIDs(t, b, 0, 10)
	b.Close()
	b = ondisk(t, d)
	x := &From(b).engine.indexer
	x.pass(t.Context(), false)
	if _, dormant := x.list(); len(dormant) != 1 {
		t.Error("the IDs were loaded though there is nothing new")
	}
	fill(t, b, 2, 50, 0)
	x.pass(t.Context(), false)
	if all, dormant := x.list(); len(dormant) != 0 || len(all) != 1 || !all[0].ready.Load() {
		t.Errorf("%d topics, %d dormant, after messages came that the index does not cover", len(all), len(dormant))
	}
	s := From(b).engine.topics["t"].ids.Load()
	for range indexQuiet + 1 {
		x.pass(t.Context(), false)
	}
	if next, _ := s.ends(); !slices.Equal(s.index.covered, next) {
		t.Errorf("covered up to %v, the topic ends at %v", s.index.covered, next)
	}
	wantDuplicates(t, b, 0, first)
}

// TestIDsWhileAPublishIsUnderWay: what is in the log, and its publish has not come back, is not taken for covered.
func TestIDsWhileAPublishIsUnderWay(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 1)
	withIDs(t, b, 0, 5)
	e := From(b).engine
	p := e.publishes.New().(*publish)
	late := []queue.Message{{Topic: "t", ID: "late", Value: []byte("x")}}
	p.placed = append(p.placed, place{topic: e.topics["t"]})
	if err := p.claims.take(t.Context(), e, late); err != nil {
		t.Fatal(err)
	}
	p.fill(late)
	if _, err := e.store.Append(t.Context(), &p.entry); err != nil { // and not settled
		t.Fatal(err)
	}
	rest := withIDs(t, b, 5, 20)
	for range indexMarks + 3 {
		withIDs(t, b, 20, 21)
		indexNow(t, b)
	}
	after := ondisk(t, d.Killed())
	if r, err := after.Publish(t.Context(), late[0]); err != nil || !r.Duplicate {
		t.Errorf("what was in the log before the crash: %+v, %v", r, err)
	}
	wantDuplicates(t, after, 5, rest)

	p.claims.settle(p, 0, nil)
	withIDs(t, b, 21, 22)
	indexNow(t, b)
	s := e.topics["t"].ids.Load()
	if next, _ := s.ends(); !slices.Equal(s.index.covered, next) || len(s.alive) > 0 {
		t.Errorf("covered up to %v of %v, alive %v, after the publish came back", s.index.covered, next, s.alive)
	}
}

// TestIndexIsTrimmed: what no ID in the table needs is removed.
func TestIndexIsTrimmed(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Durability: queue.OS, Dedup: queue.Dedup{IDs: 50}}); err != nil {
		t.Fatal(err)
	}
	var last []queue.Receipt
	for i := range 200 {
		last = append(last, withIDs(t, b, 5*i, 5*i+5)...)
		indexNow(t, b)
	}
	e := From(b).engine
	x := e.topics["t"].ids.Load().index
	bounds, err := e.store.Bounds(x.topic.First)
	if err != nil || len(x.parts) > 4*indexDead || bounds.First < 100 {
		t.Errorf("the index has %d records, %+v, %v", len(x.parts), bounds, err)
	}
	b = ondisk(t, d.Killed())
	wantDuplicates(t, b, 950, last[950:])
	if r := withIDs(t, b, 940, 941)[0]; r.Duplicate {
		t.Error("an ID is remembered that 50 newer ones have driven out")
	}
}

// TestIDsAltered: an altered topic's bounds count at once, and with Off nothing is left.
func TestIDsAltered(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 2)
	e := From(b)
	alter := func(d queue.Dedup, s storage.Strategy) {
		t.Helper()
		if err := e.AlterTopic(t.Context(), "t", queue.TopicConfig{Dedup: d}, s); err != nil {
			t.Fatal(err)
		}
	}
	first := withIDs(t, b, 0, 30)
	alter(queue.Dedup{IDs: 10, Window: time.Hour}, storage.Strategy{NoBackup: true})
	wantDuplicates(t, b, 20, first[20:])
	name := indexName(e.engine.topics["t"].First)
	if kept, ok := e.engine.store.Topic(name); !ok || !kept.Strategy.NoBackup || kept.Strategy.Cleanup.MaxAge != time.Hour {
		t.Errorf("the index is stored as %+v", kept.Strategy)
	}
	if r := withIDs(t, b, 0, 1)[0]; r.Duplicate {
		t.Error("the number of IDs was not lowered")
	}
	alter(queue.Dedup{Off: true}, storage.Strategy{})
	if r := withIDs(t, b, 29, 30)[0]; r.Duplicate {
		t.Error("a duplicate though dedup is off")
	}
	gone := func(b *queue.Broker) {
		t.Helper()
		for _, g := range From(b).engine.store.Groups() {
			if internal(g.Name) {
				t.Errorf("group %q is left", g.Name)
			}
		}
		for _, topic := range From(b).engine.store.Topics() {
			if internal(topic.Name) {
				t.Errorf("topic %q is left", topic.Name)
			}
		}
	}
	gone(b)
	alter(queue.Dedup{}, storage.Strategy{})
	if r := withIDs(t, b, 29, 30)[0]; r.Duplicate {
		t.Error("a duplicate of what was published while dedup was off")
	}
	wantDuplicates(t, b, 29, withIDs(t, b, 29, 30))
	if err := b.Admin().DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	gone(b)
}

// TestIndexesOfNobody: what a crash in the middle of making or deleting an index leaves is removed.
func TestIndexesOfNobody(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 1)
	ensure(t, b, "u", 1)
	first := withIDs(t, b, 0, 3)
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "u", ID: "a"}); err != nil {
		t.Fatal(err)
	}
	e := From(b).engine
	if _, err := e.store.CreateGroup(t.Context(), holderName(e.topics["u"].First+100)); err != nil {
		t.Fatal(err)
	}
	if err := e.store.DeleteTopic(t.Context(), "u"); err != nil { // and nothing else
		t.Fatal(err)
	}
	b = ondisk(t, d.Killed())
	e = From(b).engine
	for _, topic := range b.Stats().Topics {
		if strings.HasPrefix(topic.Name, "leat.") {
			t.Errorf("%q is shown", topic.Name)
		}
	}
	if _, err := b.Publish(t.Context(), queue.Message{Topic: indexName(0)}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("publishing to a topic that is the engine's: %v", err)
	}
	e.indexer.pass(t.Context(), false)
	if n := len(e.store.Groups()); n != 1 {
		t.Errorf("%d groups are left, want that of the index of topic t", n)
	}
	if n := len(e.store.Topics()); n != 2 {
		t.Errorf("%d topics are left, want t and its index", n)
	}
	wantDuplicates(t, b, 0, first)
}

// stall has the disk wait in each sync from now on, until the returned function is called.
func stall(d *disktest.Disk) (stalled <-chan struct{}, goOn func()) {
	began, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.Hook(func(op disktest.Op) error {
		if op.Syncs {
			once.Do(func() { close(began) })
			<-end
		}
		return nil
	})
	return began, func() { d.Hook(nil); close(end) }
}

// TestUnknownOutcome: a publish whose wait ended is published again with its ID, while it is not known what became of the first, and is stored once.
func TestUnknownOutcome(t *testing.T) { synctest.Test(t, testUnknownOutcome) }

func testUnknownOutcome(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 1)
	withIDs(t, b, 0, 1)
	stalled, goOn := stall(d)
	m := queue.Message{Topic: "t", ID: "doubtful", Value: []byte("x")}
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 3)
	publish := func() {
		_, err := b.Publish(ctx, m)
		errs <- err
	}
	go publish()
	<-stalled
	go publish() // waits for the first
	synctest.Wait()
	cancel()
	for range 2 {
		if err := <-errs; !errors.Is(err, queue.ErrIndeterminate) || !errors.Is(err, context.Canceled) {
			t.Errorf("a publish that waits for a stalled disk, or for another that does: %v", err)
		}
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	publish() // it is not known yet
	cancel()
	if err := <-errs; !errors.Is(err, queue.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a publish that waits for the outcome of another: %v", err)
	}
	killed := d.Killed()
	var receipt queue.Receipt
	go func() {
		var err error
		receipt, err = b.Publish(t.Context(), m)
		errs <- err
	}()
	goOn()
	if err := <-errs; err != nil || !receipt.Duplicate {
		t.Errorf("%+v, %v, after the disk went on", receipt, err)
	}
	if got := stored(t, b); got != 2 {
		t.Errorf("%d messages, want 2", got)
	}
	if s := From(b).engine.topics["t"].ids.Load(); len(s.doubts) > 0 || len(s.flights) > 0 {
		t.Errorf("%d doubts and %d flights are left", len(s.doubts), len(s.flights))
	}
	b = ondisk(t, killed)
	if _, err := b.Publish(t.Context(), m); err != nil {
		t.Error(err)
	}
	if got := stored(t, b); got != 2 {
		t.Errorf("%d messages after a crash in between, want 2", got)
	}
}

// TestUnknownOutcomeOfAStoppedStore: nothing is stored any more, and the next open knows.
func TestUnknownOutcomeOfAStoppedStore(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 1)
	withIDs(t, b, 0, 1)
	broken := errors.New("broken")
	d.Hook(func(op disktest.Op) error {
		if op.Syncs {
			return broken
		}
		return nil
	})
	m := queue.Message{Topic: "t", ID: "doubtful"}
	for range 2 {
		if _, err := b.Publish(t.Context(), m); !errors.Is(err, queue.ErrIndeterminate) || !errors.Is(err, queue.ErrStopped) || !errors.Is(err, broken) {
			t.Errorf("publishing where the first sync failed: %v", err)
		}
	}
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", ID: "another"}); !errors.Is(err, queue.ErrStopped) || errors.Is(err, queue.ErrIndeterminate) {
		t.Errorf("publishing another: %v", err)
	}
	d.Hook(nil)
	b.Close()
	b = ondisk(t, d)
	for range 2 {
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
	if got := stored(t, b); got != 2 {
		t.Errorf("%d messages, want 2", got)
	}
}

// TestIDsOnAFullDisk: cleanup goes on though the index has no room, so that there is room again.
func TestIDsOnAFullDisk(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Retention: queue.Retention{WhenDone: true}}); err != nil {
		t.Fatal(err)
	}
	first := withIDs(t, b, 0, 2)
	indexNow(t, b)
	d.Fill()
	full := false
	for i := 2; !full; i++ {
		r, err := b.Publish(t.Context(), queue.Message{Topic: "t", ID: fmt.Sprint(i), Value: make([]byte, 4<<10)})
		if full = errors.Is(err, queue.ErrFull); !full {
			if err != nil {
				t.Fatal(err)
			}
			first = append(first, r)
		}
	}
	m := join(t, b, queue.Group{Concurrency: 1000})
	m.ack(m.receive(1000, queue.ReceiveLimits{Linger: time.Millisecond})...)
	m.leave()
	if err := From(b).engine.indexer.pass(t.Context(), true); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("writing the index: %v", err)
	}
	if err := From(b).Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, b); got != 0 {
		t.Errorf("%d messages are held on a full disk by an index that there is no room for", got)
	}
	wantDuplicates(t, b, 0, first)
	d.Free()
}

// TestIDsAndTheWallClock: what lies in the future, since the clock was set back, is taken for new; what lies behind the window is forgotten.
func TestIDsAndTheWallClock(t *testing.T) {
	now := time.Now()
	tp := &topic{}
	tp.manner.Store(&manner{config: queue.TopicConfig{Dedup: queue.Dedup{Window: time.Hour, IDs: 10}}})
	s := newIDs(&engine{began: now}, tp)
	c := clock{wall: now, mono: 5 * time.Second}
	for id, born := range map[string]time.Duration{"new": 0, "future": 24 * 365 * time.Hour, "half": -30 * time.Minute, "old": -time.Hour} {
		s.learn(ledger.Entry{ID: ledger.Of(id), Born: now.Add(born).UnixNano()}, c, ofIndex)
	}
	for _, want := range []struct {
		after time.Duration
		known []string
	}{{0, []string{"new", "future", "half"}}, {30 * time.Minute, []string{"new", "future"}}, {time.Hour, nil}} {
		for _, id := range []string{"new", "future", "half", "old"} {
			if _, ok := s.table.Find(ledger.Of(id), int64(c.mono+want.after)); ok != slices.Contains(want.known, id) {
				t.Errorf("%q is known after %v: %v", id, want.after, ok)
			}
		}
	}
}
