package embedded

import (
	"context"
	"math"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
)

// terms is what a flow lets in by. They are replaced, never changed.
type terms struct {
	limit   queue.Limit
	bound   backpressure.Weight // of the topic alone; a zero field is no bound
	sized   bool                // bytes are bounded
	lasting context.Context     // ends when who waits has to be judged anew: by another policy, or at another rate
	end     context.CancelFunc  // of lasting
}

// boundless is the bound of a topic that has none, but for what it shares.
var boundless = backpressure.Weight{Count: math.MaxInt64, Bytes: math.MaxInt64}

// holds tells whether who waits may go on waiting.
func (ts *terms) holds() bool { return ts.lasting.Err() == nil }

// agree has the flow let in by l. Who waits for room keeps its turn, and is let in at once if there is room now; but if the policy or the rate is another, it comes anew. What is held
// beyond a bound stays.
func (f *flow) agree(l queue.Limit) error {
	old := f.terms.Load()
	ts := &terms{limit: l, bound: backpressure.Weight{Count: l.Messages, Bytes: l.Bytes}, sized: l.Bytes > 0 || f.engine.flows.bound.Bytes > 0}
	fresh := old == nil || old.limit.WhenFull != l.WhenFull || old.limit.Rate != l.Rate || old.limit.Burst != l.Burst
	if fresh {
		ts.lasting, ts.end = context.WithCancel(context.Background())
		if err := f.control.SetRate(l.Rate, l.Burst); err != nil {
			ts.end()
			return err
		}
	} else {
		ts.lasting, ts.end = old.lasting, old.end
	}
	f.mu.Lock()
	err := f.watch(ts.bound)
	f.terms.Store(ts)
	f.mu.Unlock()
	bound := ts.bound
	if bound == (backpressure.Weight{}) {
		bound = boundless
	}
	if err == nil {
		err = f.control.SetBound(bound)
	}
	if fresh && old != nil {
		old.end()
	}
	return err
}

// watch has it told when what is held is much of bound. f.mu is held.
func (f *flow) watch(bound backpressure.Weight) (err error) {
	f.mark = nil
	if bound != (backpressure.Weight{}) {
		if f.mark, err = backpressure.NewWatermark(bound, backpressure.Marks{}); err != nil {
			return err
		}
		f.mark.Note(f.held)
	}
	if high := f.mark != nil && f.mark.High(); high != f.told || f.crossed != nil {
		f.cross(high)
	}
	return nil
}

// relimit has t let in by the limit that it has now, whoever has altered it last.
func (e *engine) relimit(ctx context.Context, t *topic) error {
	e.flows.altering.Lock()
	defer e.flows.altering.Unlock()
	l := t.manner.Load().config.Limit
	f := t.flow.Load()
	if f == nil {
		return e.bindTopic(ctx, t, l)
	}
	if f.terms.Load().limit == l {
		return nil
	}
	f.loading.Lock() // so that whoever loads it does not say that it is ready by the old terms
	err := f.agree(l)
	f.ready.Store(false)
	f.loading.Unlock()
	if err != nil {
		return err
	}
	return f.load(ctx)
}

// bindTopic bounds a topic that nothing bounded. What was being stored counts when it comes back (publish.late), or was there when load counted.
func (e *engine) bindTopic(ctx context.Context, t *topic, l queue.Limit) error {
	f, err := e.newFlow(t, l)
	if f == nil || err != nil {
		return err
	}
	f.loading.Lock()
	f.live = true
	f.loading.Unlock()
	t.flow.Store(f)
	if t.gone.Load() {
		e.flows.forget(t, deleted(t))
		return nil
	}
	return f.load(ctx)
}
