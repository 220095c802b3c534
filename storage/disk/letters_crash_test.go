package disk_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestLettersCrash cuts the power, or kills, at every operation on the disk while a group moves messages to its dead letters, and while these are sent back and
// discarded, opens what is left, and holds topics and cursors against each other. Some images are gone on with by a broker, to the end.
func TestLettersCrash(t *testing.T) {
	target := int64(sized(t, 600, 4_000, 200_000))
	s := &letterSweep{tally: newTally()}
	scripts := 0
	for s.get("points") < target && !s.failed() {
		scripts++
		s.script(t, uint64(scripts))
	}
	line := fmt.Sprintf("%d crash points over %d scripts, %d gone on with; %d letters, %d of them dealt with, %d messages sent back, %d images in which some letters are left",
		s.get("points"), scripts, s.get("gone on with"), s.get("letters"), s.get("dealt with"), s.get("sent back"), s.get("left"))
	s.end(t, "letters", line, "points", "gone on with", "letters", "dealt with", "sent back", "left")
}

type letterSweep struct{ *tally }

// letterImage is what a crash left, and what was known to be durable then.
type letterImage struct {
	fs          *memfs.FS
	told, dealt int64 // letters that were told of, and that were dealt with
	seed        uint64
	where       string
}

// letterWork is one broker's work, and what is known of it.
type letterWork struct {
	told, dealt atomic.Int64
	seed        uint64
}

func (s *letterSweep) script(t *testing.T, seed uint64) {
	fs := memfs.New()
	w := &letterWork{seed: seed}
	images := make(chan letterImage, 16)
	var checkers sync.WaitGroup
	for range 2 {
		checkers.Go(func() {
			for im := range images {
				if !s.failed() {
					s.image(im)
				}
			}
		})
	}
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind.Changes() {
			rng := newRand(seed, uint64(op.N))
			mode := crashes[rng.IntN(len(crashes))]
			im := letterImage{told: w.told.Load(), dealt: w.dealt.Load(), seed: rng.Uint64()}
			im.fs = fs.Clone(mode, im.seed)
			im.where = fmt.Sprintf("seed %d, crash %v (image seed %d) at %v", seed, mode, im.seed, op)
			images <- im
		}
		return nil
	})
	err := w.run(fs, true)
	fs.OnOp(nil)
	close(images)
	checkers.Wait()
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
}

// fails tells whether a message fails: of three one does, and of these one in three does again when it was sent back.
func fails(value string, again bool) bool {
	n, _ := strconv.Atoi(value)
	return n%3 == 0 && (!again || n%9 == 0)
}

// run publishes, unless somebody did, buries what fails, sends most of it back, and discards the rest.
func (w *letterWork) run(fs *memfs.FS, fresh bool) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	events := queue.Events{DeadLettered: func(queue.DeadLetteredEvent) { w.told.Add(1) }}
	b, err := embedded.Open("", embedded.Options{Broker: queue.Options{Events: events}, Disk: disk.InFS(tiny(), fs)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.EnsureTopic(ctx, "t", queue.TopicConfig{Partitions: 2}); err != nil {
		return err
	}
	for n := 0; fresh && n < 24; n++ {
		m := queue.Message{Topic: "t", Value: []byte(strconv.Itoa(n))}
		if n%2 == 0 {
			m.Key = []byte(strconv.Itoa(n % 8))
		}
		if _, err := b.Publish(ctx, m); err != nil {
			return err
		}
	}
	if err := w.consume(ctx, b); err != nil {
		return err
	}
	if _, err := b.Admin().Topic(ctx, "t.dead"); errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	for round := range 2 {
		if err := w.redrive(ctx, b, round); err != nil {
			return err
		}
		if err := w.consume(ctx, b); err != nil {
			return err
		}
	}
	p, err := b.DeadLetters("t.dead").Plan(ctx, queue.Redrive{})
	if err == nil {
		_, err = p.Discard(ctx)
	}
	return err
}

func (w *letterWork) redrive(ctx context.Context, b *queue.Broker, round int) error {
	r := queue.Redrive{Match: func(l *queue.DeadLetter) bool { return round > 0 || l.Value[len(l.Value)-1]%2 == 0 }}
	before := w.dealt.Load()
	r.Progress = func(done, _ int) { w.dealt.Store(before + int64(done)) }
	if w.seed%2 == 0 {
		r.PerSecond = 1e9 // one in a step
	}
	p, err := b.DeadLetters("t.dead").Plan(ctx, r)
	if err != nil {
		return err
	}
	_, err = p.Run(ctx)
	return err
}

func (w *letterWork) consume(ctx context.Context, b *queue.Broker) error {
	over, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 3, Failure: queue.Failure{Retry: retry.Listed(0), MaxAttempts: 2}}
	go func() {
		ended <- b.Consume(over, g, func(_ context.Context, d *queue.Delivery) error {
			if fails(string(d.Value), d.Identity() != d.Position.String()) {
				return errors.New("on purpose")
			}
			return nil
		})
	}()
	err := b.WaitIdle(ctx, "g")
	stop()
	return errors.Join(err, <-ended)
}

func (s *letterSweep) image(im letterImage) {
	s.count("points", 1)
	letters, dealt := s.check(im.fs.Clone(memfs.Everything, 0), im.where)
	if letters < im.told || dealt < im.dealt {
		s.wrong("%s: %d letters, %d dealt with; known to be durable were %d and %d", im.where, letters, dealt, im.told, im.dealt)
	}
	if im.seed%16 != 0 {
		return
	}
	s.count("gone on with", 1)
	if err := (&letterWork{seed: im.seed / 16}).run(im.fs, false); err != nil {
		s.wrong("%s; going on: %v", im.where, err)
		return
	}
	s.check(im.fs, im.where+"; gone on with")
}

// check opens fs and holds what is in it against itself.
func (s *letterSweep) check(fs *memfs.FS, where string) (letters, dealt int64) {
	st, err := disk.OpenFS(fs, tiny())
	if err != nil {
		s.wrong("%s: open: %v", where, err)
		return 0, 0
	}
	defer st.Close(context.Background())
	origins, marked := map[string]int64{}, map[string]int64{} // letters by origin, and those dealt with by identity
	left := false
	for r := range storedIn(st, "t.dead", "leat.dead") {
		letters++
		origins[r.headers["leat-dead-origin"]]++
		left = left || !r.done
		if r.done {
			dealt++
			marked[r.headers["leat-dead-identity"]]++
		}
	}
	sent := map[string]int64{}
	for r := range storedIn(st, "t", "g") {
		identity, again := r.headers["leat-dead-identity"]
		if again {
			sent[identity]++
		}
		want := int64(0)
		if r.done && fails(r.value, again) {
			want = 1
		}
		if n := origins[r.at]; n != want {
			s.wrong("%s: %s, value %s, done %v, sent back %v: %d letters, want %d", where, r.at, r.value, r.done, again, n, want)
		}
	}
	for identity, n := range sent {
		if n > marked[identity] {
			s.wrong("%s: %s was sent back %d times, and %d letters of it are dealt with", where, identity, n, marked[identity])
		}
		s.count("sent back", int(n))
	}
	for identity, n := range marked {
		if k := sent[identity]; k < n-1 { // the last may have been discarded
			s.wrong("%s: %d letters of %s are dealt with, and it was sent back %d times", where, n, identity, k)
		}
	}
	s.count("letters", int(letters))
	s.count("dealt with", int(dealt))
	if left && dealt > 0 {
		s.count("left", 1)
	}
	return letters, dealt
}

// storedRecord is a record, and whether a group has done it.
type storedRecord struct {
	at, value string
	headers   map[string]string
	done      bool
}

// storedIn yields what a topic holds.
func storedIn(st *disk.Store, topic, group string) func(func(storedRecord) bool) {
	return func(yield func(storedRecord) bool) {
		t, ok := st.Topic(topic)
		if !ok {
			return
		}
		var g storage.GroupID
		for _, known := range st.Groups() {
			if known.Name == group {
				g = known.ID
			}
		}
		for n := range t.Partitions {
			c, _ := st.Cursor(g, t.Partition(n))
			var rs []storage.Record
			for from := int64(0); ; {
				more, next, err := st.Read(nil, t.Partition(n), from, 1<<20)
				if err != nil || len(more) == 0 {
					break
				}
				rs, from = append(rs, more...), next
			}
			for _, r := range rs {
				found := storedRecord{value: string(r.Value), headers: map[string]string{}, done: r.Offset < c.Floor}
				found.at = queue.NewPosition(topic, n, t.IncarnationOf(n, r.Offset), r.Offset).String()
				for _, d := range c.Done {
					found.done = found.done || d.From <= r.Offset && r.Offset < d.To
				}
				for key, value := range r.Headers.All() {
					found.headers[key] = string(value)
				}
				if !yield(found) {
					return
				}
			}
		}
	}
}
