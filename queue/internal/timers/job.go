package timers

import (
	"container/heap"
	"context"
	"math/bits"
	"slices"
	"time"

	"github.com/leatmq/leat/storage"
)

const (
	maxJobs    = 4         // that merge, at a time
	maxRanges  = 2048      // in the ledger, before a run is written
	maxDead    = 64 << 20  // bytes of the inbox that are done, before a run is written, if more than those that are not
	mergeFrom  = 4         // runs of like sizes
	mergeMost  = 8         // at once
	fewSlots   = 16        // so few are free that sizes do not count
	sliceBytes = 8 << 20   // of the inbox, in memory while a run is written
	batchBytes = 256 << 10 // of a batch of a run
	batchMost  = 512       // records of it
)

// job writes a run, from what is in memory or from other runs. The run counts when the ledger has it: until then what it was made from does, and goes on to be
// moved. So when the ledger gets it, what was moved meanwhile is passed over; that is its beginning, since all is moved in the same order.
type job struct {
	members []*ref // those that are written
	cut     int64  // of the inbox: what is below and not among them was done or held when the job began
	runs    []*run // those that are merged
	slot    int    // that is written to
	out     span   // once it is written
	err     error

	passed Key // the newest that was done meanwhile
	any    bool
}

func (j *job) pass(k Key) {
	if !j.any || j.passed.Compare(k) < 0 {
		j.passed, j.any = k, true
	}
}

// keeps tells whether a record of that key will count in the run that j writes; j may be nil.
func (j *job) keeps(k Key) bool {
	return j != nil && !(j.any && k.Compare(j.passed) <= 0)
}

// begin begins the jobs that are due.
func (x *Index) begin() error {
	if time.Now().Before(x.again) {
		return nil
	}
	flushing := slices.ContainsFunc(x.jobs, func(j *job) bool { return j.runs == nil })
	if slot, ok := x.freeSlot(); ok && !flushing && x.crowded() {
		x.beginFlush(slot)
	}
	for len(x.jobs) < maxJobs {
		slot, ok := x.freeSlot()
		rs := x.alike()
		if !ok || rs == nil {
			break
		}
		x.beginMerge(slot, rs)
	}
	return nil
}

// crowded tells whether there is so much in memory that a run is to be written.
func (x *Index) crowded() bool {
	in := &x.inbox
	free := in.live - x.heldRefs()
	return free > 0 && (free >= x.o.References || len(x.ledger.done) >= maxRanges || in.dead > max(maxDead, in.bytes))
}

func (x *Index) freeSlot() (int, bool) {
	var used [maxRuns]bool
	for _, s := range x.ledger.runs {
		used[s.slot] = true
	}
	for _, j := range x.jobs {
		used[j.slot] = true
	}
	i := slices.Index(used[:], false)
	return i, i >= 0
}

// alike returns runs that are to be merged, nil if there are none.
func (x *Index) alike() []*run {
	idle := slices.DeleteFunc(slices.Clone(x.runs), func(r *run) bool { return r.job != nil })
	slices.SortFunc(idle, func(a, b *run) int { return int(min(1, max(-1, a.records-b.records))) })
	if len(x.runs)+len(x.jobs) > maxRuns-fewSlots && len(idle) >= mergeFrom {
		return idle[:min(len(idle), mergeMost)]
	}
	for from := 0; from < len(idle); {
		to := from + 1
		for to < len(idle) && level(idle[to]) == level(idle[from]) {
			to++
		}
		if to-from >= mergeFrom {
			return idle[from:min(to, from+mergeMost)]
		}
		from = to
	}
	return nil
}

// level is the same for runs of like sizes: those of the next are mergeFrom times as large.
func level(r *run) int { return bits.Len64(uint64(r.records)) / 2 }

func (x *Index) beginFlush(slot int) {
	j := &job{cut: x.inbox.next, slot: slot}
	for _, r := range x.inbox.heap {
		if !r.done {
			r.flush = j
			j.members = append(j.members, r)
		}
	}
	slices.SortFunc(j.members, func(a, b *ref) int { return a.Compare(b.Key) })
	items := make([]item, len(j.members)) // copies of what does not change: the index's goroutine goes on
	for i, r := range j.members {
		items[i] = r.item()
	}
	x.start(j, func(ctx context.Context, w *writer) error { return w.flush(ctx, items) })
}

func (r *ref) item() item {
	return item{Key: r.Key, envelope: envelope{Envelope: Envelope{Due: r.Due, First: r.first, Pin: -1}, grave: r.grave}, ref: &ref{offset: r.offset, size: r.size}}
}

func (x *Index) beginMerge(slot int, rs []*run) {
	j := &job{runs: rs, slot: slot}
	var sources []*run
	for _, r := range rs {
		r.job = j
		sources = append(sources, &run{index: x, span: r.span, next: r.at})
	}
	x.start(j, func(ctx context.Context, w *writer) error { return w.merge(ctx, sources) })
}

// start has a job done in a goroutine of its own.
func (x *Index) start(j *job, do func(context.Context, *writer) error) {
	x.jobs = append(x.jobs, j)
	w := &writer{index: x, id: x.runTopic.Partition(j.slot), span: span{slot: j.slot}}
	x.running.Go(func() {
		err := w.clear(x.ctx)
		if err == nil {
			err = do(x.ctx, w)
		}
		if err == nil {
			err = w.write(x.ctx)
		}
		j.out, j.err = w.span, err
		j.out.at = j.out.from
		x.done <- j // there is room for all
	})
}

// writer writes a run.
type writer struct {
	index *Index
	id    storage.PartitionID
	span
	batch []storage.Record
	bytes int
	begun bool
}

// clear removes what a run left in the slot that was cut short, or is done.
func (w *writer) clear(ctx context.Context) error {
	b, err := w.index.store.Bounds(w.id)
	if err != nil || b.First == b.Next {
		return err
	}
	return w.index.store.Trim(ctx, w.id, b.Next)
}

func (w *writer) add(ctx context.Context, it *item) error {
	r := it.keyedRecord()
	w.batch = append(w.batch, r)
	w.bytes += r.Size()
	if w.bytes < batchBytes && len(w.batch) < batchMost {
		return nil
	}
	return w.write(ctx)
}

func (w *writer) write(ctx context.Context) error {
	if len(w.batch) == 0 {
		return nil
	}
	if _, err := w.index.store.Append(ctx, &storage.Entry{Batches: []storage.Batch{{Partition: w.id, Records: w.batch}}}); err != nil {
		return err
	}
	if !w.begun {
		w.begun, w.from = true, w.batch[0].Offset
	}
	w.to = w.batch[len(w.batch)-1].Offset + 1
	w.records += int64(len(w.batch))
	clear(w.batch)
	w.batch, w.bytes = w.batch[:0], 0
	return nil
}

// flush writes items of the inbox, a slice after the other: they lie anywhere in it.
func (w *writer) flush(ctx context.Context, items []item) error {
	var g gatherer
	for len(items) > 0 {
		n, bytes := 0, 0
		for n < len(items) && (n == 0 || bytes < sliceBytes) {
			bytes += int(items[n].ref.size)
			n++
		}
		if err := g.gather(w.index, items[:n]); err != nil {
			return err
		}
		for i := range items[:n] {
			if items[i].skipped {
				continue
			}
			if err := w.add(ctx, &items[i]); err != nil {
				return err
			}
		}
		clear(items[:n])
		items = items[n:]
	}
	return nil
}

// merge writes what runs have. A message whose tombstone is there, too, is left out with it.
func (w *writer) merge(ctx context.Context, rs []*run) error {
	return merged(rs, func(same []item) error {
		if message, grave := present(same); message && grave {
			return nil
		}
		return w.add(ctx, &same[0])
	})
}

// merged calls f with what runs have of each key, in order.
func merged(rs []*run, f func(same []item) error) error {
	var same []item
	for {
		var least *run
		for _, r := range rs {
			some, err := r.peek()
			if err != nil {
				return err
			}
			if some && (least == nil || r.head.Compare(least.head.Key) < 0) {
				least = r
			}
		}
		if least == nil {
			return nil
		}
		same = same[:0]
		for key, i := least.head.Key, 0; i < len(rs); i++ {
			for rs[i].known && rs[i].head.Key == key {
				same = append(same, rs[i].pop())
				if _, err := rs[i].peek(); err != nil {
					return err
				}
			}
		}
		if err := f(same); err != nil {
			return err
		}
	}
}

// adopt has the ledger take over what a job wrote. What cannot be is written again.
func (x *Index) adopt(j *job) {
	x.jobs = slices.DeleteFunc(x.jobs, func(o *job) bool { return o == j })
	err := j.err
	if err == nil && j.any {
		k := j.passed
		k.Version++ // the next that there may be
		j.out.at, err = x.seek(j.out, k)
	}
	if err == nil && j.runs == nil {
		err = x.adoptFlush(j)
	} else if err == nil {
		err = x.adoptMerge(j)
	}
	for _, r := range j.members {
		r.flush = nil
	}
	for _, r := range j.runs {
		r.job = nil
	}
	if err == nil {
		err = x.clear()
	}
	if err != nil {
		x.failed, x.again = err, time.Now().Add(lookAgain)
	}
}

func (x *Index) adoptFlush(j *job) error {
	in := &x.inbox
	if err := x.refile(j); err != nil {
		return err
	}
	l := x.ledger.clone()
	l.raise(j.cut)
	for _, r := range j.members {
		if !r.done {
			l.count(r.first, r.worth())
		}
	}
	l.add(j.out)
	if err := x.save(&storage.Entry{}, &l); err != nil {
		return err
	}
	for _, r := range j.members {
		if !r.done {
			in.drop(r)
		}
	}
	x.settleFloor()
	in.heap = slices.DeleteFunc(in.heap, func(r *ref) bool { return r.done })
	heap.Init(&in.heap)
	x.readRun(j.out)
	return nil
}

// worth is what a record adds to the counts of runs when it comes to one.
func (r *ref) worth() int64 {
	if r.grave {
		return -1
	}
	return 1
}

// refile appends to the inbox again what is below the cut, not done, and not in the part of the run that will count: it was held up when its turn came.
func (x *Index) refile(j *job) error {
	var items []item
	bytes := 0
	flush := func() error {
		err := x.appendAgain(items)
		items, bytes = items[:0], 0
		return err
	}
	for _, r := range slices.Clone(x.inbox.order) {
		if r.offset >= j.cut {
			break
		}
		if r.done || r.flush == j && j.keeps(r.Key) {
			continue
		}
		it := r.item()
		it.ref = r
		items = append(items, it)
		if bytes += int(r.size); bytes >= stepBytes || len(items) >= stepRecords {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (x *Index) appendAgain(items []item) error {
	if len(items) == 0 {
		return nil
	}
	if err := x.gatherer.gather(x, items); err != nil {
		return err
	}
	b := storage.Batch{Partition: x.inboxID}
	l := x.ledger.clone()
	for i := range items {
		if !items[i].skipped {
			b.Records = append(b.Records, items[i].keyedRecord())
		}
		l.finish(items[i].ref.offset)
	}
	if err := x.save(&storage.Entry{Batches: []storage.Batch{b}}, &l); err != nil {
		return err
	}
	x.inbox.moveBack(b.Records)
	for i := range items {
		r := items[i].ref
		x.inbox.drop(r)
		if items[i].skipped {
			x.tally(r.first, -r.worth())
		}
	}
	return nil
}

func (l *ledger) add(s span) {
	if s.at < s.to {
		l.runs = append(l.runs, s)
	}
}

// readRun has a run read from now on.
func (x *Index) readRun(s span) {
	if s.at < s.to {
		x.runs = append(x.runs, &run{index: x, span: s, next: s.at})
	}
}

func (x *Index) adoptMerge(j *job) error {
	mine := func(slot int) bool {
		return slices.ContainsFunc(j.runs, func(r *run) bool { return r.slot == slot })
	}
	l := x.ledger.clone()
	l.runs = slices.DeleteFunc(l.runs, func(s span) bool { return mine(s.slot) })
	l.add(j.out)
	if err := x.save(&storage.Entry{}, &l); err != nil {
		return err
	}
	x.runs = slices.DeleteFunc(x.runs, func(r *run) bool { return mine(r.slot) })
	x.readRun(j.out)
	return nil
}
