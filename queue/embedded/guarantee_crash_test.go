package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// What the guarantees promise, through crashes:
//
//	AtLeastOnce  every input that was acknowledged is worked on, before the crash or after it
//	AtMostOnce   no input is worked on twice
//	ExactlyOnce  every input has one output, and what came of a failed attempt is nowhere
//
// Each would fail if the guarantee were one step weaker: TestGuaranteesThroughCrashes with Group.Guarantee of the chain set to AtLeastOnce, and its output published by
// Broker.Publish, finds outputs twice; with AtMostOnce replaced by AtLeastOnce, inputs worked on twice; with AtLeastOnce replaced by AtMostOnce, inputs that are lost.

// works is what a witness saw of one run of a chain.
type works struct {
	mu    sync.Mutex
	in    map[string]bool // inputs that were acknowledged
	begun map[string]int  // handlers that began, by group and value
}

func (w *works) fork() *works {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &works{in: maps.Clone(w.in), begun: maps.Clone(w.begun)}
}

func (w *works) begin(group string, value []byte) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun[group+" "+string(value)]++
	return w.begun[group+" "+string(value)]
}

// guaranteeImage is a disk as a crash left it, and what had begun until then.
type guaranteeImage struct {
	crash
	works *works
}

var guaranteeGroups = map[string]queue.Guarantee{"least": queue.AtLeastOnce, "most": queue.AtMostOnce, "exactly": queue.ExactlyOnce}

// TestGuaranteesThroughCrashes has three groups read one topic, kills the process or cuts the power at operations that change the disk, and lets the groups finish what is left.
func TestGuaranteesThroughCrashes(t *testing.T) {
	target := sized(t, 120, 2_000, 100_000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	points, inputs, repeated, lost := 0, 0, 0, 0
	for round := uint64(0); points < target && !t.Failed(); round++ {
		rng := rand.New(rand.NewPCG(seed, round))
		images, n := guaranteeRun(t, rng)
		inputs += n
		for i := range images {
			points++
			images[i].where = fmt.Sprintf("seed %d, round %d, %s", seed, round, images[i].where)
			r, l := images[i].finish(t)
			repeated, lost = repeated+r, lost+l
		}
	}
	t.Logf("%d crash points, %d inputs; AtLeastOnce repeated %d, AtMostOnce lost %d, ExactlyOnce neither", points, inputs, repeated, lost)
	if inputs == 0 || points > 1000 && (repeated == 0 || lost == 0) {
		t.Error("nothing was tested")
	}
}

// guaranteeRun is a life of a queue, with the images of crashes in it.
func guaranteeRun(t *testing.T, rng *rand.Rand) ([]guaranteeImage, int) {
	d := disktest.New()
	w := &works{in: map[string]bool{}, begun: map[string]int{}}
	b := openGuarantees(t, d)
	var images []guaranteeImage
	end := photograph(d, rng, 8, 40, func() func(crash) {
		known := w.fork()
		return func(c crash) { images = append(images, guaranteeImage{c, known}) }
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := consumeGuarantees(ctx, b, w, uint32(rng.IntN(5)))
	n := 0
	for range 20 {
		var ms []queue.Message
		for range 1 + rng.IntN(5) {
			ms = append(ms, queue.Message{Topic: "in", Key: fmt.Append(nil, rng.IntN(6)), Value: fmt.Append(nil, n)})
			n++
		}
		if _, err := b.PublishBatch(ctx, ms...); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		for _, m := range ms {
			w.in[string(m.Value)] = true
		}
		w.mu.Unlock()
	}
	if rng.IntN(2) == 0 {
		if err := b.WaitIdle(ctx, slices.Collect(maps.Keys(guaranteeGroups))...); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	end()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return images, n
}

func openGuarantees(t *testing.T, d *disktest.Disk) *queue.Broker {
	b, err := openOn(d)
	if err != nil {
		t.Fatal(err)
	}
	for topic, n := range map[string]int{"in": 2, "out": 2} {
		if err := b.EnsureTopic(t.Context(), topic, queue.TopicConfig{Partitions: n}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// consumeGuarantees runs the groups until ctx ends. Each value of which the number is divisible by failing fails at its first attempt in this life; 0: none do.
func consumeGuarantees(ctx context.Context, b *queue.Broker, w *works, failing uint32) <-chan error {
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, guarantee := range guaranteeGroups {
		wg.Go(func() {
			g := queue.Group{Name: name, Topics: []string{"in"}, Guarantee: guarantee, Concurrency: 3}
			err := b.Consume(ctx, g, func(_ context.Context, d *queue.Delivery) error {
				n := w.begin(name, d.Value)
				if guarantee == queue.ExactlyOnce {
					if err := d.Publish(queue.Message{Topic: "out", Key: d.Key, Value: d.Value}); err != nil {
						return err
					}
				}
				var v uint32
				fmt.Sscan(string(d.Value), &v)
				if failing > 0 && v%failing == 0 && d.Attempt == 1 && n == 1 {
					return errors.New("failing once")
				}
				return nil
			})
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		})
	}
	go func() {
		wg.Wait()
		ended <- errors.Join(errs...)
	}()
	return ended
}

// finish opens the image, lets the groups do what is left, and judges.
func (im *guaranteeImage) finish(t *testing.T) (repeated, lost int) {
	b := openGuarantees(t, im.disk)
	defer b.Close()
	before := im.works.fork()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w := im.works
	ended := consumeGuarantees(ctx, b, w, 0)
	if err := b.WaitIdle(ctx, slices.Collect(maps.Keys(guaranteeGroups))...); err != nil {
		t.Fatalf("%s: %v", im.where, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("%s: %v", im.where, err)
	}
	stored := map[string]int{}
	for r, err := range b.Read(t.Context(), queue.Range{Topic: "in"}) {
		if err != nil {
			t.Fatalf("%s: %v", im.where, err)
		}
		stored[string(r.Value)]++
	}
	out := map[string]int{}
	for r, err := range b.Read(t.Context(), queue.Range{Topic: "out"}) {
		if err != nil {
			t.Fatalf("%s: %v", im.where, err)
		}
		out[string(r.Value)]++
	}
	for v := range w.in {
		if stored[v] != 1 {
			t.Errorf("%s: input %s was acknowledged, and is there %d times", im.where, v, stored[v])
		}
	}
	for v := range stored {
		if w.begun["least "+v] == 0 {
			t.Errorf("%s: AtLeastOnce lost %s", im.where, v)
		}
		if before.begun["least "+v] > 0 && w.begun["least "+v] > before.begun["least "+v] {
			repeated++
		}
		if n := w.begun["most "+v]; n > 1 {
			t.Errorf("%s: AtMostOnce worked on %s %d times", im.where, v, n)
		} else if n == 0 {
			lost++
		}
		if out[v] != 1 {
			t.Errorf("%s: ExactlyOnce has %d outputs of %s", im.where, out[v], v)
		}
	}
	for v := range out {
		if stored[v] == 0 {
			t.Errorf("%s: ExactlyOnce has an output of %s, which was never stored", im.where, v)
		}
	}
	return repeated, lost
}
