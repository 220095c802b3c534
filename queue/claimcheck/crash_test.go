package claimcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// loops returns how often something is done, as LEAT_LOOPS says.
func loops(t *testing.T, short, ci, full int) int {
	n, ok := map[string]int{"": short, "short": short, "ci": ci, "full": full}[os.Getenv("LEAT_LOOPS")]
	if !ok {
		t.Fatalf("LEAT_LOOPS=%s: want short, ci or full", os.Getenv("LEAT_LOOPS"))
	}
	return n
}

// image is a disk as a crash left it.
type image struct {
	disk  *disktest.Disk
	where string
}

// TestCrashAtEveryStep ends the process and cuts the power at operations that change the disk, of the queue and of the directory of values (at all of them with LEAT_LOOPS=full, else at some, others each
// time, but always at those of the directory that make it durable), in every way that what was not synced can be lost. Opened again, and again after a second cut, every message that is in the log has its
// value, and what none names goes.
func TestCrashAtEveryStep(t *testing.T) {
	stride, rounds := loops(t, 40, 6, 1), loops(t, 1, 2, 10)
	cuts, images, left := 0, 0, 0
	for range rounds {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		synctest.Test(t, func(t *testing.T) {
			all := crashes(t, seed, stride)
			cuts += len(all) / (disktest.Modes() + 1)
			for i := range all {
				images++
				left += all[i].check(t, seed)
			}
		})
	}
	t.Logf("%d crash points, %d disks looked at, with %d values that messages named: lost 0", cuts, images, left)
	if left < images/10 {
		t.Errorf("only %d values were named: the test shows nothing", left)
	}
}

// crashes lives on a disk, and returns what crashes would leave of it.
func crashes(t *testing.T, seed uint64, stride int) (images []image) {
	rng := rand.New(rand.NewPCG(seed, 0))
	r := &rig{T: t, disk: disktest.New(), o: small}
	var mu sync.Mutex
	r.disk.Hook(func(op disktest.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if !op.Changes || rng.IntN(stride) > 0 && !(strings.Contains(op.Name, "values") && op.Syncs) {
			return nil
		}
		for mode := range disktest.Modes() {
			images = append(images, image{r.disk.PowerLost(mode, rng.Uint64()), fmt.Sprintf("seed %d, power lost in mode %d at %s", seed, mode, op.Name)})
		}
		images = append(images, image{r.disk.Killed(), fmt.Sprintf("seed %d, killed at %s", seed, op.Name)})
		return nil
	})
	r.open()
	r.live()
	r.disk.Hook(nil)
	r.close()
	return images
}

// check opens what a crash left twice, with the power lost in between, and returns how many values messages name.
func (i image) check(t *testing.T, seed uint64) (named int) {
	r := &rig{T: t, disk: i.disk, o: small}
	r.open()
	after := r.disk.PowerLost(int(seed%uint64(disktest.Modes())), seed)
	named = r.whole(i.where)
	r.close()
	r.disk = after
	r.open()
	r.whole(i.where + ", and once more as it was opened")
	r.close()
	return named
}

// openDisk opens a queue and its values on the disk.
func (r *rig) openDisk() error {
	s, err := r.disk.Open(disk.Options{})
	if err != nil {
		return err
	}
	if r.broker, err = embedded.OpenOn(s, embedded.Options{}); err != nil {
		return err
	}
	if err := r.broker.EnsureTopic(context.Background(), "t", queue.TopicConfig{}); err != nil {
		return err
	}
	d, err := r.disk.Blobs("values")
	if err != nil {
		return err
	}
	r.store, err = openIn(r.broker, d, r.o)
	return err
}

// live is a life of values; what fails goes on failing.
func (r *rig) live() {
	ctx := context.Background()
	for _, seed := range []uint64{1, 2, 1} {
		r.store.Publish(ctx, queue.Message{Topic: "t", Value: value(1000, seed)})
	}
	r.handOn()
	_, err := r.broker.Admin().Purge(ctx, "t")
	r.must(err)
	r.sweepTwice(func() { r.store.Publish(ctx, queue.Message{Topic: "t", Value: value(1000, 2)}) })
	r.store.PublishParts(ctx, queue.Message{Topic: "t"}, Part{Body: bytes.NewReader(value(5000, 3))}, Part{Body: strings.NewReader("second")})
	w, err := r.store.Create()
	if err == nil {
		w.Write([]byte("never published"))
	}
	r.must(r.broker.Admin().AddPartitions(ctx, "os", 2))
	r.store.Publish(ctx, queue.Message{Topic: "os", Value: value(1000, 6), Partition: queue.PinTo(1)})
	_, err = r.broker.Admin().Purge(ctx, "os")
	r.must(err)
	r.must(r.broker.Admin().DeleteTopic(ctx, "done"))
	r.sweepTwice(func() { r.store.Publish(ctx, queue.Message{Topic: "os", Value: value(1000, 5)}) })
	r.store.Publish(ctx, queue.Message{Topic: "os", Value: value(1000, 6), Partition: queue.PinTo(1)})
	r.store.Publish(ctx, queue.Message{Topic: "t", Value: value(1000, 4)})
}

// handOn passes messages from a topic that keeps none that are done to one whose messages are not synced, and lets one end as a dead letter.
func (r *rig) handOn() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.must(r.broker.EnsureTopic(ctx, "done", queue.TopicConfig{Retention: queue.Retention{WhenDone: true}}))
	r.must(r.broker.EnsureTopic(ctx, "os", queue.TopicConfig{Durability: queue.OS}))
	var consuming sync.WaitGroup
	consuming.Go(func() {
		r.broker.Consume(ctx, queue.Group{Name: "g", Topics: []string{"done"}, Order: queue.ByPartition, Failure: queue.Failure{MaxAttempts: 1}}, func(_ context.Context, d *queue.Delivery) error {
			if offset, _ := d.Position.Offset(); offset == 0 {
				return errors.New("this one fails")
			}
			m := d.Message
			m.Topic = "os"
			return d.Publish(m)
		})
	})
	for seed := range uint64(3) {
		r.publish(queue.Message{Topic: "done", Value: value(1000, 10+seed)})
	}
	r.must(r.broker.WaitIdle(ctx, "g"))
	cancel()
	consuming.Wait()
}

func (r *rig) sweepTwice(between func()) {
	r.store.Sweep(context.Background())
	time.Sleep(r.o.Grace)
	between()
	r.store.Sweep(context.Background())
}

// whole checks that messages have their values, wherever they are, and that others go. It returns how many values are named.
func (r *rig) whole(what string) int {
	r.Helper()
	named := r.named()
	for h := range named {
		rd, err := r.store.read(part{hash: h, size: 5000})
		if err == nil {
			_, err = new(bytes.Buffer).ReadFrom(rd)
			rd.Close()
		}
		if err != nil {
			r.Errorf("%s: a message names a value that is not there: %v", what, err)
		}
	}
	r.sweepTwice(func() {})
	left, err := r.store.blobs.List()
	r.must(err)
	var bytes int64
	for _, size := range left {
		bytes += size
	}
	if len(left) != len(named) || bytes != r.store.Stats().Bytes {
		r.Errorf("%s: %d values of %d bytes are left, %d are named; %d bytes are counted", what, len(left), bytes, len(named), r.store.Stats().Bytes)
	}
	return len(named)
}

// named returns what is named by whatever the queue has.
func (r *rig) named() map[hash]bool {
	r.Helper()
	all := map[hash]bool{}
	e := embedded.From(r.broker)
	ps, err := e.RawPartitions()
	r.must(err)
	for _, p := range ps {
		_, err := e.ReadRaw(context.Background(), p.ID, p.First, func(m *storage.Record) bool {
			findClaims(m.Value, func(h hash) { all[h] = true })
			return true
		})
		r.must(err)
	}
	return all
}

// TestPublishersSweepersAndPurges run at the same time, over few values, so that most of them are named again while they are being removed.
func TestPublishersSweepersAndPurges(t *testing.T) {
	o := small
	o.Grace = time.Nanosecond
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for name, dir := range map[string]string{"files": t.TempDir(), "memory": ""} {
		t.Run(name, func(t *testing.T) {
			inRig(t, dir, o, func(r *rig) { r.crowd(seed) })
		})
	}
}

func (r *rig) crowd(seed uint64) {
	ctx := context.Background()
	var publishing, others sync.WaitGroup
	ended := make(chan struct{})
	most := loops(r.T, 10, 40, 1000)
	until := func(f func()) {
		others.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					f()
				}
			}
		})
	}
	var removed atomic.Int64
	purge := func() {
		if _, err := r.broker.Admin().Purge(ctx, "t"); err != nil {
			r.Error(err)
		}
	}
	sweeps := 0
	until(func() {
		if sweeps++; sweeps%4 == 0 { // at once, or on one processor somebody publishes in between each time
			purge()
		}
		swept, err := r.store.Sweep(ctx)
		if err != nil {
			r.Error(err)
		}
		removed.Add(int64(swept.Removed))
	})
	until(purge)
	for g := range 3 {
		rng := rand.New(rand.NewPCG(seed, uint64(g)))
		publishing.Go(func() {
			for i := 0; i < most || removed.Load() == 0 && i < 100*most; i++ {
				v := rng.Uint64N(4)
				receipt, err := r.store.Publish(ctx, queue.Message{Topic: "t", Value: value(200, v)})
				if err != nil {
					r.Error(err)
					return
				}
				r.stays(receipt.Position)
			}
		})
	}
	publishing.Wait()
	close(ended)
	others.Wait()
	if removed.Load() == 0 {
		r.Error("nothing was removed: the test shows nothing")
	}
	r.whole("at the end")
}

// stays checks that a message that is in the log has its value.
func (r *rig) stays(p queue.Position) {
	for m, err := range r.broker.Read(context.Background(), queue.Range{Topic: "t", From: queue.From(p)}) {
		if err != nil {
			return // it was purged
		}
		err := r.store.Fetch(&m.Message, 1000)
		there := r.there(m.Position)
		if err != nil && there {
			r.Errorf("%v is there, and its value is not: %v", m.Position, err)
		}
		return
	}
}

// there tells whether a message is still in the log.
func (r *rig) there(p queue.Position) bool {
	for m, err := range r.broker.Read(context.Background(), queue.Range{Topic: "t"}) {
		return err == nil && p.Covers(m.Position)
	}
	return false
}

func FuzzClaim(f *testing.F) {
	f.Add(appendClaim(nil, []part{{size: 10}}))
	f.Add(appendClaim(nil, []part{{hash: hash{1, 2, 3}, size: 1 << 40, contentType: "video/mp4", name: "a \"film\"\n"}, {size: 0}}))
	f.Add([]byte(mark))
	f.Add([]byte(mark + strings.Repeat("00", 32) + " 99999999999999999999 \"\" \"\"\n"))
	f.Add([]byte(mark + strings.Repeat("0A", 32) + " 1 \"\" \"\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ps, err := parseClaim(b)
		if err != nil {
			if !errors.Is(err, ErrClaim) {
				t.Fatal(err)
			}
			return
		}
		if again := appendClaim(nil, ps); !bytes.Equal(again, b) {
			t.Fatalf("%q came back as %q", b, again)
		}
		found := map[hash]bool{}
		findClaims(b, func(h hash) { found[h] = true })
		for _, p := range ps {
			if !found[p.hash] {
				t.Fatalf("a sweep does not find %v", p.hash)
			}
		}
	})
}

// A claim is found in the middle of anything.
func TestFindClaims(t *testing.T) {
	claim := appendClaim(nil, []part{{hash: hash{7}}, {hash: hash{8}}})
	n := 0
	findClaims(append(append([]byte("xx"+mark+"leat"), claim...), mark...), func(h hash) {
		if n++; h != (hash{byte(6 + n)}) {
			t.Errorf("found %v", h)
		}
	})
	if n != 2 {
		t.Errorf("%d claims were found, want 2", n)
	}
	for _, bad := range []string{"", "x", string(claim[1:]), string(claim[:len(claim)-1]), string(claim) + "\n"} {
		if _, err := parseClaim([]byte(bad)); !errors.Is(err, ErrClaim) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}
