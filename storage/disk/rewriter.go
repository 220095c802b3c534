package disk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/segment"
)

// rewriter is the goroutine that makes new segments of sealed ones: compressed ones for topics of Level Compressed, and ones without what is superseded for
// topics that keep the latest by key (compactor.go). One swap entry puts a new segment in the place of the old, which the janitor removes when no checkpoint needs them.
// Whatever fails is tried again later: the old segments stay as they are.
type rewriter struct {
	st    *Store
	every time.Duration
	pace  *pace                // of the goroutine
	turn  chan struct{}        // holds a token while nobody rewrites
	later map[uint64]time.Time // by file: when it failed last, not to be tried before; guarded by turn

	quit, done chan struct{}
}

const (
	rewriteWork = "rewrite"
	compactWork = "compact"

	rewritePause = time.Minute      // after something could not be written
	damagePause  = 10 * time.Minute // after something could not be read
	mergeParts   = 4                // segments that are smaller than such a part of the usual size are merged as soon as there are so many
)

func newRewriter(st *Store) *rewriter {
	t := &st.opt.Tuning
	r := &rewriter{
		st: st, every: t.RewriteEvery, pace: newPace(t.RewriteBytesPerSecond), turn: make(chan struct{}, 1), later: map[uint64]time.Time{},
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	r.turn <- struct{}{}
	return r
}

// run rewrites what there is to be rewritten, from time to time, until quit is closed.
func (r *rewriter) run() {
	defer close(r.done)
	if r.every < 0 {
		<-r.quit
		return
	}
	ctx, cancel := r.until(context.Background())
	defer cancel()
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = r.all(ctx, newRound(r.pace, false)) // what failed was told: see failed
		case <-ctx.Done():
			return
		}
	}
}

// until returns a context that ends when the store closes, too.
func (r *rewriter) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-r.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// stop ends all rewriting, for good.
func (r *rewriter) stop() {
	close(r.quit)
	<-r.done
	<-r.turn
}

// round is one walk through all partitions.
type round struct {
	pace    *pace
	hurried bool            // somebody waits for it: nothing is put off
	waiting bool            // something is not settled yet
	tried   map[uint64]bool // files that failed
	errs    []error
}

func newRound(p *pace, hurried bool) *round {
	return &round{pace: p, hurried: hurried, tried: map[uint64]bool{}}
}

// rewriteAll rewrites all that can be, at full speed. What was sealed lately must be in two checkpoints first, which are made for it.
func (st *Store) rewriteAll(ctx context.Context) error {
	r := st.rewriter
	ctx, cancel := r.until(ctx)
	defer cancel()
	for range 3 {
		round := newRound(newPace(0), true)
		if err := r.all(ctx, round); err != nil || !round.waiting {
			return err
		}
		if err := st.checkpointed(ctx); err != nil {
			return err
		}
	}
	return nil
}

// checkpointed returns when a checkpoint that was begun after the call is durable, and without one when the disk is full.
func (st *Store) checkpointed(ctx context.Context) error {
	g := st.keeper.graves
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for want := g.newest() + 1; ; {
		made := g.next()
		if g.settled() >= want || st.journal.fullCause() != nil {
			return nil
		}
		st.keeper.want()
		select {
		case <-made:
		case <-look.C:
		case <-st.core.Stopped():
			return st.core.StopCause()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// all works through all partitions once, tells what failed, and returns it.
func (r *rewriter) all(ctx context.Context, do *round) error {
	select {
	case <-r.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := r.walk(ctx, do)
	r.turn <- struct{}{}
	for _, e := range do.errs { // nobody's turn while the operator is told
		r.st.lookout.tell(storage.Event{Kind: storage.EventWorkError, Err: e, Text: "it will be tried again"})
	}
	return errors.Join(append(do.errs, err)...)
}

func (r *rewriter) walk(ctx context.Context, do *round) error {
	for file, at := range r.later {
		if time.Since(at) > time.Hour { // it may be gone
			delete(r.later, file)
		}
	}
	if r.st.journal.fullCause() != nil { // it takes space before it gives any
		return nil
	}
	backlog := map[string]int64{}
	topics := r.st.core.Catalog.TopicsWith(func(s *storage.Strategy) bool { return s.Level == storage.Compressed || s.Cleanup.LatestByKey })
	for i := range topics {
		for _, p := range r.st.core.Catalog.PartitionsOf(&topics[i]) {
			if err := r.st.core.Writable(); err != nil {
				return err
			}
			if err := r.partition(ctx, do, p, backlog); err != nil {
				return err
			}
		}
	}
	for _, work := range []string{rewriteWork, compactWork} {
		if len(topics) > 0 {
			r.st.works.note(work, func(w *storage.Work) { w.Backlog = backlog[work] })
		}
	}
	return nil
}

// partition does what is due in one, as its topic asks for it now: a round may take hours, and topics are altered meanwhile. It fails only if ctx ends;
// anything else is noted.
func (r *rewriter) partition(ctx context.Context, do *round, p *core.Partition, backlog map[string]int64) error {
	h := r.st.keeper.parts.find(p.ID)
	if h == nil || p.Dropped() {
		return nil
	}
	left, err := r.compact(ctx, do, h)
	if err != nil {
		return err
	}
	backlog[compactWork] += left
	for p.Strategy().Level == storage.Compressed && !p.Dropped() { // else what comes of it would be due again
		run, left := r.due(do, h.list())
		if len(run) == 0 {
			backlog[rewriteWork] += left
			return nil
		}
		r.st.works.running(rewriteWork, true)
		_, err := r.replace(ctx, do, rewriteWork, h.part, run, segment.Rewrite{})
		r.st.works.running(rewriteWork, false)
		if err != nil {
			return err
		}
	}
	return nil
}

// due returns segments to be compressed into one, and how many bytes are still to be compressed at all.
func (r *rewriter) due(do *round, l []*segment.Segment) (run []*segment.Segment, left int64) {
	for _, s := range l {
		if m := s.Meta(); m.Sealed && m.Codec == 0 {
			left += m.Length
		}
	}
	plain := func(m *segment.Meta) bool { return m.Codec == 0 }
	if run := r.pick(do, l, plain, 1); run != nil {
		return run, left
	}
	small := func(m *segment.Meta) bool { return m.Codec != 0 && m.Length <= r.st.opt.Tuning.SegmentBytes/mergeParts }
	return r.pick(do, l, small, mergeParts), left
}

// pick returns the first segments of l that can be rewritten into one, of those that fit: at least so many.
func (r *rewriter) pick(do *round, l []*segment.Segment, fits func(*segment.Meta) bool, least int) []*segment.Segment {
	var run []*segment.Segment
	for _, s := range l {
		m := s.Meta()
		ok := m.Sealed && fits(&m) && r.ready(do, &m)
		if !ok || !r.joins(run, &m) {
			if len(run) >= least {
				return run
			}
			run = nil
		}
		if ok {
			run = append(run, s)
		}
	}
	if len(run) >= least {
		return run
	}
	return nil
}

// joins tells whether the segment m can be rewritten into one with those of run: it goes on where they end, and they are not too large together.
func (r *rewriter) joins(run []*segment.Segment, m *segment.Meta) bool {
	if len(run) == 0 {
		return true
	}
	last := run[len(run)-1].Meta()
	return m.Base == last.Next && m.Ordinal == last.Ordinal+last.Count && length(run)+m.Length <= r.st.opt.Tuning.SegmentBytes
}

func length(run []*segment.Segment) (n int64) {
	for _, s := range run {
		n += s.Meta().Length
	}
	return n
}

// ready tells whether a sealed segment may be rewritten now: an open from either of the last two checkpoints finds it as it is.
func (r *rewriter) ready(do *round, m *segment.Meta) bool {
	if m.Count != m.Next-m.Base { // cannot be: segments are rolled at gaps
		return false
	}
	if k := r.st.keeper; !k.sealings.settled(m.File, k.graves.settled()) {
		do.waiting = true
		return false
	}
	if do.hurried {
		return !do.tried[m.File]
	}
	at, failed := r.later[m.File]
	return !failed || time.Now().After(at)
}

// replace rewrites segments of p into one as w says, and swaps them. It returns whether it did, and an error only if ctx ended.
func (r *rewriter) replace(ctx context.Context, do *round, work string, p *core.Partition, run []*segment.Segment, w segment.Rewrite) (bool, error) {
	if s := p.Strategy(); s.Level == storage.Compressed {
		c := s.Compression.WithDefaults()
		w.Codec, w.Level, w.BlockBytes = c.Codec, c.Level, c.BlockBytes
	}
	w.Sources, w.File, w.Epoch = run, r.st.keeper.nextFile.Add(1)-1, r.st.keeper.epoch
	w.Pace = do.pace.wait
	bytes := length(run)
	seg, err := r.st.segments.Rewrite(ctx, w)
	done := false
	if err == nil {
		done, err = r.exchange(ctx, p, run, seg)
	}
	switch {
	case ctx.Err() != nil:
		return done, ctx.Err()
	case errors.Is(err, segment.ErrDiscarded): // it was trimmed meanwhile
		return false, nil
	case err != nil:
		r.failed(do, work, p, run, err)
		return false, nil
	}
	for _, s := range run {
		delete(r.later, s.Meta().File)
	}
	r.st.works.done(work, 1, bytes)
	return done, nil
}

// exchange swaps. From here on it is not cancelled: else nobody knew which segments count.
func (r *rewriter) exchange(ctx context.Context, p *core.Partition, old []*segment.Segment, by *segment.Segment) (bool, error) {
	done, err := r.st.swap(context.WithoutCancel(ctx), p, old, []*segment.Segment{by})
	if err != nil && !errors.Is(err, storage.ErrIndeterminate) { // it was not taken, and never will be
		r.st.keeper.graves.bury(p.ID, by)
	}
	return done, err
}

// failed has segments left alone for a while: the one that is damaged, or all of them. What fails because the topic was deleted meanwhile is no failure.
func (r *rewriter) failed(do *round, work string, p *core.Partition, run []*segment.Segment, err error) {
	if p.Dropped() {
		return
	}
	pause := rewritePause
	var damage *storage.DamageError
	if errors.As(err, &damage) {
		pause = damagePause
	}
	for _, s := range run {
		if damage == nil || s.Name() == damage.File {
			file := s.Meta().File
			r.later[file], do.tried[file] = time.Now().Add(pause), true
		}
	}
	m := run[0].Meta()
	err = fmt.Errorf("storage: %s of partition %d from offset %d on: %w", work, p.ID, m.Base, err)
	do.errs = append(do.errs, err)
	r.st.works.failed(work, err, time.Now())
}
