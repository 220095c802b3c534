package batch

import (
	"context"
	"fmt"
)

// flight is the items that came between two flushes.
type flight struct {
	held    int           // that are not settled
	hurried bool          // they do not wait for others
	landed  chan struct{} // closed when these and all before are settled
}

func newFlight() *flight { return &flight{landed: make(chan struct{})} }

// Flush has everything that was added before worked on without waiting for more, and returns when it is settled, attempts after failures included. It returns a *FailedError if
// items failed of which nobody was told: those of Add, and of a Do whose ctx had ended. When ctx ends before, that is ErrUnknown and ctx's error, and the work goes on.
func (p *Processor[T]) Flush(ctx context.Context) error {
	landed := p.hurry()
	select {
	case <-landed:
		return p.tell()
	case <-ctx.Done():
		return fmt.Errorf("%w: items are worked on, or wait: %w", ErrUnknown, ctx.Err())
	}
}

// hurry begins a new flight, unless the last one is empty.
func (p *Processor[T]) hurry() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.flights[len(p.flights)-1]
	if last.held == 0 && len(p.flights) > 1 {
		return p.flights[len(p.flights)-2].landed
	}
	last.hurried = true
	p.flights = append(p.flights, newFlight())
	p.land()
	p.dispatch()
	return last.landed
}

// settled notes that an item of f is settled.
func (p *Processor[T]) settled(f *flight) {
	f.held--
	p.land()
}

// land ends the flights that have nothing before them that is not settled. The last one stays open.
func (p *Processor[T]) land() {
	for len(p.flights) > 1 && p.flights[0].held == 0 {
		close(p.flights[0].landed)
		p.flights = p.flights[1:]
	}
}

// maxCauses bounds what a FailedError tells of.
const maxCauses = 16

// FailedError tells of items that failed for good, of which nobody was told. It wraps some of the causes.
type FailedError struct {
	Failed int     // items
	Causes []error // of the first 16
}

// Error names the number and a cause.
func (e *FailedError) Error() string {
	return fmt.Sprintf("batch: %d items failed that nobody waited for, one of them: %v", e.Failed, e.Causes[0])
}

// Unwrap returns the causes.
func (e *FailedError) Unwrap() []error { return e.Causes }

// failures are those that Flush has not told of.
type failures struct {
	count  int
	causes []error
}

func (f *failures) note(err error) {
	f.count++
	if len(f.causes) < maxCauses {
		f.causes = append(f.causes, err)
	}
}

// tell returns a *FailedError for what failed, once.
func (p *Processor[T]) tell() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.failures
	p.failures = failures{}
	if f.count == 0 {
		return nil
	}
	return &FailedError{Failed: f.count, Causes: f.causes}
}
