package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/storage"
)

// Workload publishes, reads and moves cursors at random, and has it all noted by a History.
type Workload struct {
	History *History
	Store   storage.Store
	// Big makes entries of about so many bytes now and then; 0: none.
	Big int
	// Policies are those of the topics that it makes.
	Policies []storage.SyncPolicy
	// Removes has it trim partitions, drop, alter and grow topics, and apply cleanup policies.
	Removes bool
	// Grows has it give topics more partitions, often.
	Grows bool
	// Rewrites has it make topics whose segments are compressed, or compacted, or both, beside others.
	Rewrites bool

	ctx    context.Context // of the present step
	rng    *rand.Rand
	topics []storage.Topic
	groups []storage.Group
}

// NewWorkload returns a workload over the topics and groups that s has.
func NewWorkload(h *History, s storage.Store, seed uint64) *Workload {
	return &Workload{
		History: h, Store: s, rng: rand.New(rand.NewPCG(seed, 2)), topics: s.Topics(), groups: s.Groups(),
		Policies: []storage.SyncPolicy{storage.SyncAlways, storage.SyncOS, storage.SyncInterval(time.Hour)},
	}
}

// Step does one random thing. An error is what the store returned, or what it may not have done: see [Violation].
func (w *Workload) Step(ctx context.Context) error {
	w.ctx = ctx
	if len(w.topics) == 0 {
		return w.topic(ctx)
	}
	if len(w.groups) == 0 {
		return w.group(ctx)
	}
	if w.Grows && w.rng.IntN(8) == 0 {
		return w.grow()
	}
	switch n := w.rng.IntN(100); {
	case n < 3 && len(w.topics) < 12:
		return w.topic(ctx)
	case n < 5 && len(w.groups) < 6:
		return w.group(ctx)
	case n < 45:
		return w.append(ctx, Plan{Batches: w.batches(1)})
	case n < 60:
		return w.append(ctx, Plan{Batches: w.batches(4)})
	case n < 70:
		return w.withCursors(ctx, Plan{Batches: w.batches(2)})
	case n < 82:
		return w.withCursors(ctx, Plan{})
	case n < 89:
		return w.Burst(ctx, 2+w.rng.IntN(5))
	case n < 92 && w.Removes:
		return w.trim()
	case n < 93 && w.Removes && len(w.topics) > 2:
		return w.drop()
	case n < 94 && w.Removes:
		return w.alter()
	case n < 95 && w.Removes:
		return w.grow()
	case n < 97 && w.Removes:
		return w.clean()
	}
	return w.read()
}

// Violation says that a store did what none may do while a workload ran.
type Violation struct{ Err error }

func (v *Violation) Error() string { return "storagetest: " + v.Err.Error() }

// Unwrap returns the cause.
func (v *Violation) Unwrap() error { return v.Err }

func violated(err error) error {
	if err == nil {
		return nil
	}
	return &Violation{err}
}

func (w *Workload) topic(ctx context.Context) error {
	spec := storage.TopicSpec{
		Name: fmt.Sprintf("topic %d/%d", len(w.topics), w.rng.Uint32()), Partitions: 1 + w.rng.IntN(4),
		Strategy: storage.Strategy{Sync: w.Policies[len(w.topics)%len(w.Policies)]},
		Settings: []byte(fmt.Sprint(w.rng.Uint32())),
	}
	if w.Rewrites && w.rng.IntN(2) == 0 {
		spec.Partitions = 1 // so that it has full segments soon
		kind := w.rng.IntN(3)
		spec.Strategy.Level = []storage.Level{storage.Compressed, storage.DiskOnly, storage.Compressed}[kind]
		spec.Strategy.Cleanup.LatestByKey = kind > 0
	}
	t, err := w.History.CreateTopic(func(s storage.TopicSpec) (storage.Topic, error) { return w.Store.CreateTopic(ctx, s) }, spec)
	if err == nil {
		w.topics = append(w.topics, t)
	}
	return err
}

func (w *Workload) group(ctx context.Context) error {
	name := fmt.Sprintf("group %d/%d", len(w.groups), w.rng.Uint32())
	g, err := w.History.CreateGroup(func(n string) (storage.Group, error) { return w.Store.CreateGroup(ctx, n) }, name)
	if err == nil {
		w.groups = append(w.groups, g)
	}
	return err
}

// partition picks one at random.
func (w *Workload) partition() storage.PartitionID {
	t := w.topics[w.rng.IntN(len(w.topics))]
	return t.Partition(w.rng.IntN(t.Partitions))
}

// batches plans up to most batches of different partitions.
func (w *Workload) batches(most int) []PlanBatch {
	var bs []PlanBatch
	for range 1 + w.rng.IntN(most) {
		p := w.partition()
		if slices.ContainsFunc(bs, func(b PlanBatch) bool { return b.Partition == p }) {
			continue
		}
		bs = append(bs, PlanBatch{p, w.sizes()})
	}
	return bs
}

func (w *Workload) sizes() []int {
	if w.Big > 0 && w.rng.IntN(12) == 0 {
		return []int{w.Big/2 + w.rng.IntN(w.Big)}
	}
	sizes := make([]int, 1+w.rng.IntN(1<<w.rng.IntN(5)))
	for i := range sizes {
		sizes[i] = minValue + w.rng.IntN(1<<w.rng.IntN(11))
	}
	return sizes
}

func (w *Workload) append(ctx context.Context, p Plan) error {
	if len(p.Batches)+len(p.Cursors) == 0 {
		return nil
	}
	a := w.History.Begin(p)
	d, err := w.Store.Append(ctx, a.Entry)
	if bad := w.History.End(a, d, err); bad != nil {
		return violated(bad)
	}
	return err
}

func (w *Workload) withCursors(ctx context.Context, p Plan) error {
	for range 1 + w.rng.IntN(2) {
		g, id := w.groups[w.rng.IntN(len(w.groups))].ID, w.partition()
		if slices.ContainsFunc(p.Cursors, func(c storage.Cursor) bool { return c.Group == g && c.Partition == id }) {
			continue
		}
		c, moved, err := w.cursor(g, id)
		if err != nil {
			return err
		}
		if moved {
			p.Cursors = append(p.Cursors, c)
		}
	}
	return w.append(ctx, p)
}

// cursor makes one that has moved on from the one that the store has, and that no other will be equal to.
func (w *Workload) cursor(g storage.GroupID, p storage.PartitionID) (c storage.Cursor, moved bool, err error) {
	c, _ = w.Store.Cursor(g, p)
	b, err := w.Store.Bounds(p)
	if err != nil || b.Next == c.Floor {
		return c, false, err
	}
	c.Floor = max(c.Floor, b.First)
	next := storage.Cursor{Group: g, Partition: p, Floor: c.Floor + w.rng.Int64N(b.Next-c.Floor+1)}
	for at := next.Floor; len(next.Done) < 4; {
		from := at + 1 + w.rng.Int64N(8)
		to := from + 1 + w.rng.Int64N(4)
		if to > b.Next {
			break
		}
		next.Done = append(next.Done, storage.Range{From: from, To: to})
		at = to
	}
	if next.Floor < b.Next {
		next.Failed = []storage.Failure{{Offset: next.Floor, Attempts: 1 + w.rng.Uint32N(1<<30), Due: w.rng.Int64(), Note: fmt.Sprint(w.rng.Int64())}}
	}
	next.Passed, err = Passed(w.Store, &next)
	return next, true, err
}

// Burst appends n entries at the same time, so that they commit in groups. The error is that of one of them.
func (w *Workload) Burst(ctx context.Context, n int) error {
	attempts := make([]*Attempt, n)
	for i := range attempts {
		attempts[i] = w.History.Begin(Plan{Batches: w.batches(2)})
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	for i, a := range attempts {
		all.Go(func() {
			d, err := w.Store.Append(ctx, a.Entry)
			errs[i] = errors.Join(err, violated(w.History.End(a, d, err)))
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// read reads on from a random place.
func (w *Workload) read() error {
	p := w.partition()
	b, err := w.Store.Bounds(p)
	if err != nil {
		return err
	}
	r := Reading{Partition: p, From: w.rng.Int64N(b.Next + 1), Mark: w.History.Mark()}
	if r.Records, r.Next, err = w.Store.Read(nil, p, r.From, 1+w.rng.IntN(32<<10)); err != nil {
		return err
	}
	if b, err = w.Store.Bounds(p); err != nil {
		return err
	}
	r.First = b.First
	return violated(w.History.Got(r))
}
