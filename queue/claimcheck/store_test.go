package claimcheck

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// rig is a broker with a store beside it.
type rig struct {
	*testing.T
	dir    string         // "": in memory
	disk   *disktest.Disk // in place of dir
	broker *queue.Broker
	store  *Store
	o      Options

	partitions int // of topic "t", if not one
}

var small = Options{Threshold: 100, Grace: time.Minute, SweepEvery: -1}

// kinds runs f over a store in files and one in memory, in a bubble, so that time passes.
func kinds(t *testing.T, o Options, f func(*rig)) {
	t.Run("files", func(t *testing.T) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) { inRig(t, dir, o, f) })
	})
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { inRig(t, "", o, f) })
	})
}

func inRig(t *testing.T, dir string, o Options, f func(*rig)) {
	r := &rig{T: t, dir: dir, o: o}
	r.open()
	defer func() { r.close() }()
	f(r)
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) open() {
	r.Helper()
	r.must(r.tryOpen())
}

func (r *rig) tryOpen() (err error) {
	switch {
	case r.disk != nil:
		return r.openDisk()
	case r.dir == "":
		r.broker, err = embedded.InMemory(embedded.Options{})
	default:
		r.broker, err = embedded.Open(filepath.Join(r.dir, "queue"), embedded.Options{})
	}
	if err != nil {
		return err
	}
	if err := r.broker.EnsureTopic(context.Background(), "t", queue.TopicConfig{Partitions: r.partitions}); err != nil {
		return err
	}
	if r.dir == "" {
		r.store, err = InMemory(r.broker, r.o)
	} else {
		r.store, err = Open(r.broker, filepath.Join(r.dir, "values"), r.o)
	}
	return err
}

func (r *rig) close() {
	r.store.Close()
	r.broker.Close()
}

// messages returns what is in a topic.
func (r *rig) messages(topic string) (ms []*queue.Record) {
	r.Helper()
	for m, err := range r.broker.Read(context.Background(), queue.Range{Topic: topic}) {
		r.must(err)
		ms = append(ms, m)
	}
	return ms
}

func (r *rig) publish(m queue.Message) {
	r.Helper()
	_, err := r.store.Publish(context.Background(), m)
	r.must(err)
}

func (r *rig) sweep(want Swept) {
	r.Helper()
	got, err := r.store.Sweep(context.Background())
	r.must(err)
	if got.RemovedBytes = 0; got != want {
		r.Errorf("swept %+v, want %+v", got, want)
	}
}

func value(n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, seed))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// What is larger than the threshold is checked in, and comes back.
func TestPublishAndFetch(t *testing.T) {
	kinds(t, small, func(r *rig) {
		for i, n := range []int{0, 100, 101, 300_000} {
			r.publish(queue.Message{Topic: "t", Key: []byte("k"), Value: value(n, uint64(i)), Headers: queue.Headers{}.With("content-type", "film")})
			m := r.messages("t")[i]
			if isClaim(&m.Message) != (n > 100) || len(m.Value) > 200 {
				r.Errorf("%d bytes were stored as %d, headers %v", n, len(m.Value), m.Headers)
			}
			rd, err := r.store.Open(&m.Message)
			r.must(err)
			streamed, err := io.ReadAll(rd)
			r.must(errors.Join(err, rd.Close()))
			if rd.Size() != int64(n) || !bytes.Equal(streamed, value(n, uint64(i))) {
				r.Errorf("%d bytes were read as %d", n, len(streamed))
			}
			if err := r.store.Fetch(&m.Message, n-1); isClaim(&m.Message) && !errors.Is(err, queue.ErrTooLarge) {
				r.Errorf("one byte too many: %v", err)
			}
			r.must(r.store.Fetch(&m.Message, n))
			if !bytes.Equal(m.Value, value(n, uint64(i))) || len(m.Headers) != 1 {
				r.Errorf("%d bytes were fetched as %d with %v", n, len(m.Value), m.Headers)
			}
		}
		r.sweep(Swept{Values: 2, Named: 2})
	})
}

// Equal values are stored once, and go with the last message that names them.
func TestRemovedWithTheLastMessage(t *testing.T) {
	kinds(t, small, func(r *rig) {
		r.must(r.broker.EnsureTopic(context.Background(), "u", queue.TopicConfig{}))
		for _, topic := range []string{"t", "t", "u"} {
			r.publish(queue.Message{Topic: topic, Value: value(1000, 1)})
		}
		r.publish(queue.Message{Topic: "t", Value: value(1000, 2)})
		r.sweep(Swept{Values: 2, Named: 2})
		if got := r.store.Stats().Bytes; got != 2000 {
			r.Errorf("%d bytes are kept, want 2,000", got)
		}
		_, err := r.broker.Admin().Purge(context.Background(), "t")
		r.must(err)
		r.sweep(Swept{Values: 2, Named: 1})
		time.Sleep(time.Minute - 1)
		r.sweep(Swept{Values: 2, Named: 1})
		time.Sleep(time.Nanosecond)
		r.sweep(Swept{Values: 2, Named: 1, Removed: 1})
		m := r.messages("u")[0]
		r.must(r.store.Fetch(&m.Message, 1000))
		r.must(r.broker.Admin().DeleteTopic(context.Background(), "u"))
		r.sweep(Swept{Values: 1})
		time.Sleep(time.Minute)
		r.sweep(Swept{Values: 1, Removed: 1})
		if got := r.store.Stats().Bytes; got != 0 {
			r.Errorf("%d bytes are kept, want none", got)
		}
		r.publish(queue.Message{Topic: "t", Value: value(1000, 1)}) // as if it had never been there
		m = r.messages("t")[0]
		r.must(r.store.Fetch(&m.Message, 1000))
	})
}

// A value lives wherever its message goes: dead letters, messages that are delayed, another topic.
func TestValuesLiveWhereMessagesAre(t *testing.T) {
	kinds(t, small, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r.must(r.broker.EnsureTopic(ctx, "u", queue.TopicConfig{}))
		r.publish(queue.Message{Topic: "t", Value: value(1000, 1)})
		r.publish(queue.Message{Topic: "t", Value: value(1000, 2)})
		r.publish(queue.Message{Topic: "u", Value: value(1000, 3), NotBefore: time.Now().Add(24 * time.Hour)})
		var consuming sync.WaitGroup
		consuming.Go(func() {
			r.broker.Consume(ctx, queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByPartition, Failure: queue.Failure{MaxAttempts: 1}}, func(_ context.Context, d *queue.Delivery) error {
				if offset, _ := d.Position.Offset(); offset == 0 {
					return errors.New("this one fails")
				}
				m := d.Message
				m.Topic = "u"
				return d.Publish(m)
			})
		})
		r.must(r.broker.WaitIdle(ctx, "g"))
		cancel()
		consuming.Wait()
		_, err := r.broker.Admin().Purge(context.Background(), "t")
		r.must(err)
		for range 3 {
			r.sweep(Swept{Values: 3, Named: 3})
			time.Sleep(time.Hour)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		r.sweep(Swept{Values: 3, Named: 3})
		for _, topic := range []string{"u", "t.dead"} {
			for _, m := range r.messages(topic) {
				r.must(r.store.Fetch(&m.Message, 1000))
			}
		}
		if len(r.messages("u")) != 2 || len(r.messages("t.dead")) != 1 {
			r.Errorf("%d messages, %d letters", len(r.messages("u")), len(r.messages("t.dead")))
		}
	})
}

func TestParts(t *testing.T) {
	kinds(t, small, func(r *rig) {
		film := value(100_000, 1)
		_, err := r.store.PublishParts(context.Background(), queue.Message{Topic: "t"},
			Part{"film \"one\"\n", "video/mp4", bytes.NewReader(film)}, Part{"titel, größer", "text/plain; charset=utf-8", strings.NewReader("Der Film")}, Part{Body: strings.NewReader("")})
		r.must(err)
		m := r.messages("t")[0]
		ps, err := r.store.Parts(&m.Message)
		r.must(err)
		want := []StoredPart{{"film \"one\"\n", "video/mp4", 100_000, nil}, {"titel, größer", "text/plain; charset=utf-8", 8, nil}, {"", "", 0, nil}}
		if len(ps) != len(want) {
			r.Fatalf("%d parts", len(ps))
		}
		for i, content := range [][]byte{film, []byte("Der Film"), {}} {
			if ps[i].Name != want[i].Name || ps[i].ContentType != want[i].ContentType || ps[i].Size != want[i].Size {
				r.Errorf("part %d: %+v", i, ps[i])
			}
			rd, err := ps[i].Open()
			r.must(err)
			got, err := io.ReadAll(rd)
			r.must(errors.Join(err, rd.Close()))
			if !bytes.Equal(got, content) {
				r.Errorf("part %d: %d bytes", i, len(got))
			}
		}
		if _, err := r.store.Open(&m.Message); !errors.Is(err, ErrClaim) {
			r.Errorf("as one value: %v", err)
		}
		broken := errors.New("the line is cut")
		if _, err := r.store.PublishParts(context.Background(), queue.Message{Topic: "t"}, Part{Body: strings.NewReader("fine")}, Part{Body: io.MultiReader(strings.NewReader("x"), failing{broken})}); !errors.Is(err, broken) {
			r.Errorf("got %v", err)
		}
		if _, err := r.store.PublishParts(context.Background(), queue.Message{Topic: "t"}); !errors.Is(err, ErrClaim) {
			r.Errorf("no parts: %v", err)
		}
		if _, err := r.store.PublishParts(context.Background(), queue.Message{Topic: "t"}, Part{Name: strings.Repeat("x", MaxClaimBytes), Body: strings.NewReader("")}); !errors.Is(err, queue.ErrTooLarge) {
			r.Errorf("a long name: %v", err)
		}
		r.sweep(Swept{Values: 4, Named: 3}) // "fine" is left over
		time.Sleep(time.Minute)
		r.sweep(Swept{Values: 4, Named: 3, Removed: 1})
		if len(r.store.pins) > 0 || len(r.messages("t")) != 1 {
			r.Errorf("%d pins, %d messages", len(r.store.pins), len(r.messages("t")))
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestWriter(t *testing.T) {
	o := small
	o.MaxBytes, o.MaxTotal = 1000, 1500
	kinds(t, o, func(r *rig) {
		ctx := context.Background()
		w, err := r.store.Create()
		r.must(err)
		for range 10 {
			_, err = w.Write(value(100, 1))
			r.must(err)
		}
		if _, err := w.Write([]byte{1}); !errors.Is(err, queue.ErrTooLarge) {
			r.Errorf("a byte too many: %v", err)
		}
		if _, err := w.Publish(ctx, queue.Message{Topic: "t"}); !errors.Is(err, queue.ErrTooLarge) {
			r.Errorf("publishing it: %v", err)
		}
		w, err = r.store.Create()
		r.must(err)
		_, err = w.Write(value(600, 1))
		r.must(err)
		_, err = w.Publish(ctx, queue.Message{Topic: "t"})
		r.must(err)
		if _, err := w.Publish(ctx, queue.Message{Topic: "t"}); !errors.Is(err, queue.ErrClosed) {
			r.Errorf("publishing it again: %v", err)
		}
		w.Abort()
		if _, err = r.store.PublishFrom(ctx, queue.Message{Topic: "t"}, bytes.NewReader(value(901, 2))); !errors.Is(err, queue.ErrFull) {
			r.Errorf("more than there is room for: %v", err)
		}
		r.publish(queue.Message{Topic: "t", Value: value(600, 1)}) // the same takes no room
		r.publish(queue.Message{Topic: "t", Value: value(900, 2)})
		if got := r.store.Stats().Bytes; got != 1500 {
			r.Errorf("%d bytes are kept, want 1,500", got)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err = r.store.PublishFrom(ended, queue.Message{Topic: "t"}, bytes.NewReader(value(901, 2))); !errors.Is(err, queue.ErrFull) {
			r.Errorf("without time: %v", err)
		}
	})
}

// Close gives the directory up when the last writer has ended, and another Store has it then.
func TestClose(t *testing.T) {
	dir := t.TempDir()
	inRig(t, dir, small, func(r *rig) {
		first, second := r.store, Options{SweepEvery: -1}
		again := func(when string, want error) {
			r.Helper()
			s, err := Open(r.broker, filepath.Join(dir, "values"), second)
			if !errors.Is(err, want) {
				r.Errorf("%s: %v, want %v", when, err, want)
			}
			if err == nil {
				r.must(s.Close())
			}
		}
		w, err := first.Create()
		r.must(err)
		left, err := first.Create()
		r.must(err)
		again("while it is open", storage.ErrInUse)
		r.must(first.Close())
		r.must(first.Close())
		left.Abort()
		again("while somebody writes", storage.ErrInUse)
		_, err = w.Publish(context.Background(), queue.Message{Topic: "t"})
		r.must(err)
		again("at the end", nil)
		m := r.messages("t")[0]
		_, swept := first.Sweep(context.Background())
		_, created := first.Create()
		for name, err := range map[string]error{"Fetch": first.Fetch(&m.Message, 0), "Sweep": swept, "Create": created} {
			if !errors.Is(err, queue.ErrClosed) {
				r.Errorf("%s: %v", name, err)
			}
		}
		r.store, err = Open(r.broker, filepath.Join(dir, "values"), r.o)
		r.must(err)
		r.must(r.store.Fetch(&m.Message, 0))
	})
}

// Whoever publishes a value while a sweep finds that nobody names it keeps it.
func TestSweepLeavesWhatIsPublishedMeanwhile(t *testing.T) {
	kinds(t, small, func(r *rig) {
		r.publish(queue.Message{Topic: "t", Value: value(1000, 1)})
		_, err := r.broker.Admin().Purge(context.Background(), "t")
		r.must(err)
		r.sweep(Swept{Values: 1})
		time.Sleep(time.Hour)
		r.store.beginSweep()
		values, err := r.store.blobs.List()
		r.must(err)
		named, err := r.store.look(context.Background())
		r.must(err)
		r.publish(queue.Message{Topic: "t", Value: value(1000, 1)}) // the sweep has looked already
		swept, err := r.store.clear(values, named)
		r.must(err)
		if swept.Removed != 0 {
			r.Error("a message names a value that was removed")
		}
		r.store.endSweep()
		r.sweep(Swept{Values: 1, Named: 1})
	})
}

// A message of which it is not known whether it was stored may come to light later.
func TestValuesOfUnknownMessagesStay(t *testing.T) {
	kinds(t, small, func(r *rig) {
		for i, err := range []error{queue.ErrIndeterminate, queue.ErrFull} {
			p, checked := r.store.check(context.Background(), bytes.NewReader(value(1000, uint64(i))), "", "")
			r.must(checked)
			r.store.published([]part{p}, err)
		}
		r.sweep(Swept{Values: 2})
		time.Sleep(time.Hour)
		r.sweep(Swept{Values: 2, Removed: 1})
		time.Sleep(time.Hour)
		r.sweep(Swept{Values: 1})
	})
}

// What is parked is in no topic that applications see.
func TestValuesOfParkedMessagesStay(t *testing.T) {
	kinds(t, small, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for i := range 3 {
			r.publish(queue.Message{Topic: "t", Key: []byte("k"), Value: value(1000, uint64(i))})
		}
		var consuming sync.WaitGroup
		g := queue.Group{Name: "g", Topics: []string{"t"}, Failure: queue.Failure{Retry: retry.Constant(5 * time.Hour), MaxAttempts: 2, WhileRetry: queue.ParkKey}}
		attempts := 0
		consuming.Go(func() {
			r.broker.Consume(ctx, g, func(_ context.Context, d *queue.Delivery) error {
				if attempts++; attempts == 1 {
					return errors.New("the first fails")
				}
				return r.store.Fetch(&d.Message, 1000)
			})
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		r.must(embedded.From(r.broker).Trim(ctx, queue.PositionAt("t", 0, 3))) // as retention would
		for range 3 {
			r.sweep(Swept{Values: 3, Named: 3})
			time.Sleep(time.Hour)
		}
		r.must(r.broker.WaitIdle(ctx, "g"))
		cancel()
		consuming.Wait()
		if attempts != 4 || len(r.messages("t")) != 0 {
			r.Errorf("%d attempts, want 4; %d messages are left", attempts, len(r.messages("t")))
		}
	})
}

// What is published to partitions that a topic was given is fetched and swept like all else, parked messages of them too, and after another start.
func TestValuesInAddedPartitions(t *testing.T) {
	kinds(t, small, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		publish := func(partition int, seed uint64) {
			r.publish(queue.Message{Topic: "t", Key: []byte("k"), Value: value(1000, seed), Partition: queue.PinTo(partition)})
		}
		publish(0, 1)
		r.sweep(Swept{Values: 1, Named: 1})
		r.partitions = 3
		r.must(r.broker.Admin().AddPartitions(ctx, "t", r.partitions))
		for p, seed := range []uint64{2, 3, 1} {
			publish(p, seed)
		}
		for _, m := range r.messages("t") {
			r.must(r.store.Fetch(&m.Message, 1000))
		}
		g := queue.Group{Name: "g", Topics: []string{"t"}, Failure: queue.Failure{Retry: retry.Constant(5 * time.Hour), MaxAttempts: 2, WhileRetry: queue.ParkKey}}
		var consuming sync.WaitGroup
		consuming.Go(func() {
			r.broker.Consume(ctx, g, func(_ context.Context, d *queue.Delivery) error {
				if err := r.store.Fetch(&d.Message, 1000); err != nil || d.Position.Partition() == 2 && d.Attempt == 1 {
					return errors.Join(err, errors.New("that of the last partition fails once"))
				}
				return nil
			})
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		for p := range r.partitions {
			r.must(embedded.From(r.broker).Trim(ctx, queue.PositionAt("t", p, 2-int64(min(p, 1))))) // as retention would
		}
		if n := len(r.messages("t")); n != 0 {
			r.Errorf("%d messages are left, want none", n)
		}
		r.sweep(Swept{Values: 3, Named: 1})
		time.Sleep(time.Hour)
		r.sweep(Swept{Values: 3, Named: 1, Removed: 2}) // not the first, which is parked
		r.must(r.broker.WaitIdle(ctx, "g"))
		if s := r.broker.Stats().Groups[0]; s.Done != 4 || s.Failed != 1 || s.Missed != 0 {
			r.Errorf("%+v, want all four done, one of them after a failure", s)
		}
		cancel()
		consuming.Wait()
		publish(2, 4)
		if r.dir != "" {
			r.close()
			r.open()
		}
		m := r.messages("t")[0]
		r.must(r.store.Fetch(&m.Message, 1000))
		if m.Position.Partition() != 2 {
			r.Errorf("it is at %s, want partition 2", m.Position)
		}
		time.Sleep(time.Hour) // until what was parked is removed, since it is done
		r.sweep(Swept{Values: 2, Named: 1})
		time.Sleep(time.Hour)
		r.sweep(Swept{Values: 2, Named: 1, Removed: 1})
	})
}

func TestDamageIsFound(t *testing.T) {
	dir := t.TempDir()
	inRig(t, dir, small, func(r *rig) {
		damage := map[string]func(string) error{
			"flipped": func(name string) error {
				b, _ := os.ReadFile(name)
				b[500] ^= 1
				return os.WriteFile(name, b, 0o600)
			},
			"cut":     func(name string) error { return os.Truncate(name, 999) },
			"longer":  func(name string) error { return os.WriteFile(name, make([]byte, 1001), 0o600) },
			"missing": os.Remove,
		}
		i := uint64(0)
		for name, harm := range damage {
			r.publish(queue.Message{Topic: "t", Value: value(1000, i)})
			m := r.messages("t")[i]
			i++
			ps, err := parseClaim(m.Value)
			r.must(err)
			h := ps[0].hash.String()
			r.must(harm(filepath.Join(dir, "values", h[:2], h)))
			want := ErrDamaged
			if name == "missing" {
				want = ErrMissing
			}
			if err := r.store.Fetch(&m.Message, 1000); !errors.Is(err, want) || !isClaim(&m.Message) {
				r.Errorf("%s: %v, want %v", name, err, want)
			}
			handle := r.store.Handler(1000, func(context.Context, *queue.Delivery) error { r.Error("the handler ran"); return nil })
			if err := handle(context.Background(), queue.NewDelivery(*m)); !errors.Is(err, want) {
				r.Errorf("%s: the handler: %v", name, err)
			}
		}
	})
}

func TestDirectoryOfAnotherQueue(t *testing.T) {
	dir := t.TempDir()
	inRig(t, dir, small, func(r *rig) { r.publish(queue.Message{Topic: "t", Value: value(1000, 1)}) })
	inRig(t, dir, small, func(r *rig) { // the same queue, opened again
		m := r.messages("t")[0]
		r.must(r.store.Fetch(&m.Message, 1000))
	})
	other, err := embedded.Open(filepath.Join(dir, "another queue"), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := Open(other, filepath.Join(dir, "values"), Options{}); !errors.Is(err, ErrOwner) {
		t.Errorf("got %v, want ErrOwner", err)
	}
	if err := os.Remove(filepath.Join(dir, "values", "owner")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(other, filepath.Join(dir, "values"), Options{}); !errors.Is(err, ErrOwner) {
		t.Errorf("values without an owner: got %v, want ErrOwner", err)
	}
	if _, err := Open(other, dir, Options{Threshold: -1}); !errors.Is(err, ErrOption) {
		t.Errorf("got %v, want ErrOption", err)
	}
}

func TestSweepsByItself(t *testing.T) {
	o := small
	o.SweepEvery = time.Minute
	kinds(t, o, func(r *rig) {
		r.publish(queue.Message{Topic: "t", Value: value(1000, 1)})
		_, err := r.broker.Admin().Purge(context.Background(), "t")
		r.must(err)
		time.Sleep(3*time.Minute + 1)
		synctest.Wait()
		if s := r.store.Stats(); s.Bytes != 0 || s.SweepError != nil {
			r.Errorf("got %+v", s)
		}
	})
}
