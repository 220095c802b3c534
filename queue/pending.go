package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Pending is a message that a Publisher has taken. It may be waited for by anybody, at any time, or by nobody: then Flush and Close tell of it if it fails.
type Pending struct {
	of *outcome
	i  int
}

// outcome is what became of the messages of a parcel.
type outcome struct {
	p        *Publisher
	topic    string
	settled  chan struct{} // closed when the rest does not change any more, but for claimed
	receipts []Receipt
	errs     []error // nil: none failed
	claimed  []bool  // guarded by p.mu; somebody was told of the error
}

// errNoPending is the error of a Pending that no Publisher made.
var errNoPending = errors.New("queue: there is nothing to wait for: this Pending is the zero value")

// Done is closed when the outcome is known.
func (f Pending) Done() <-chan struct{} {
	if f.of == nil {
		return nil
	}
	return f.of.settled
}

// Wait returns what Publish would have returned, when it is known. When ctx ends before, the error is ErrIndeterminate and ctx's; the message goes on its way, and Wait may be called again.
func (f Pending) Wait(ctx context.Context) (Receipt, error) {
	o := f.of
	if o == nil {
		return Receipt{}, errNoPending
	}
	select {
	case <-o.settled:
	default:
		select {
		case <-o.settled:
		case <-ctx.Done():
			return Receipt{}, fmt.Errorf("%w: a message of a publisher is on its way: %w", ErrIndeterminate, ctx.Err())
		}
	}
	if o.errs == nil || o.errs[f.i] == nil {
		return o.receipts[f.i], nil
	}
	o.p.mu.Lock()
	defer o.p.mu.Unlock()
	o.claimed[f.i] = true
	return Receipt{}, o.errs[f.i]
}

// fail has the messages from, up to and without to, fail.
func (o *outcome) fail(from, to int, err error) {
	if o.errs == nil {
		o.errs, o.claimed = make([]error, len(o.receipts)), make([]bool, len(o.receipts))
	}
	for i := from; i < to; i++ {
		o.receipts[i], o.errs[i] = Receipt{}, err
	}
}

func (o *outcome) failures() int {
	n := 0
	for _, err := range o.errs {
		if err != nil {
			n++
		}
	}
	return n
}

// What a publisher remembers of messages that failed and that nobody waited for, and what it tells of them.
const (
	maxFailed = 64 // batches, the newest; of others the number
	maxCauses = 16 // errors
)

// PublisherError tells of messages that failed and that nobody had waited for. It wraps some of the causes.
type PublisherError struct {
	Failed int     // messages
	Causes []error // of 16 of them, with their topics
}

// Error names the number and a cause.
func (e *PublisherError) Error() string {
	s := fmt.Sprintf("queue: %d messages of a publisher failed that nobody waited for", e.Failed)
	if len(e.Causes) > 0 {
		s += fmt.Sprintf(", one of them: %v", e.Causes[0])
	}
	return s
}

// Unwrap returns the causes.
func (e *PublisherError) Unwrap() []error { return e.Causes }

// noteFailed remembers o for the next Flush. mu is held.
func (p *Publisher) noteFailed(o *outcome) {
	if len(p.failed) == maxFailed {
		p.unlisted += p.failed[0].unclaimed(nil)
		p.failed = slices.Delete(p.failed, 0, 1)
	}
	p.failed = append(p.failed, o)
}

// unclaimed returns how many failed that nobody waited for, and calls f for each. p.mu is held.
func (o *outcome) unclaimed(f func(error)) int {
	n := 0
	for i, err := range o.errs {
		if err == nil || o.claimed[i] {
			continue
		}
		n++
		if f != nil {
			f(fmt.Errorf("topic %q: %w", o.topic, err))
		}
	}
	return n
}

// unclaimed returns a *PublisherError for what failed, once.
func (p *Publisher) unclaimed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &PublisherError{Failed: p.unlisted}
	for _, o := range p.failed {
		e.Failed += o.unclaimed(func(err error) {
			if len(e.Causes) < maxCauses {
				e.Causes = append(e.Causes, err)
			}
		})
	}
	p.failed, p.unlisted = slices.Delete(p.failed, 0, len(p.failed)), 0
	if e.Failed == 0 {
		return nil
	}
	return e
}
