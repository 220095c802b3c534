package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/retry"
)

// Func works on several items in one call. It returns nil if all are done, else one entry for each, in the order they were given, nil for done; any other length, a panic and
// runtime.Goexit mean that all failed. Several of one key are in their order, and a failure fails those of its key behind it: they come again behind it, without counting the
// attempt of those that were done. An error wrapped by retry.Permanent is not tried again. ctx ends when the ctx of a Close has. items must not be kept after the return.
type Func[T any] func(ctx context.Context, items []T) []error

// Config says how a Processor gathers and works. The zero value is as the comments say.
type Config[T any] struct {
	MaxBatchSize  int            // most items of one batch; 0: 100
	MaxBatchBytes int            // most bytes, as Size says; a larger item is a batch of its own; 0: 1 MiB. Needs Size
	MaxWaitTime   time.Duration  // how long an item waits for others while a batch could be run; 0: 10ms; negative: not at all
	MaxBufferSize int            // most items that are not settled: those that wait, are worked on, or wait for an attempt; 0: 10,000
	Parallelism   int            // most batches at once; 0: 1
	Key           func(T) string // items of one key are worked on one after the other, in the order in which they came; nil: in no order
	Size          func(T) int    // bytes of an item, not negative; nil: not counted
	Retry         retry.Policy   // whether and when an item that failed is tried again; zero: 8 attempts, 100ms doubling to a minute, full jitter
}

// ErrConfig is wrapped by what New returns for a Config that cannot be, with each fault.
var ErrConfig = errors.New("batch: a configuration that cannot be")

// The errors of items that were not worked on, or of which it is not known.
var (
	// ErrNotRun: the Func was not called with the item, and will not be.
	ErrNotRun = errors.New("batch: not run")
	// ErrUnknown: the wait ended while the Func was at work on the item. It may succeed or not.
	ErrUnknown = errors.New("batch: done or not")
	// ErrClosed: the processor was closed, or is closing. It comes with ErrNotRun.
	ErrClosed = errors.New("batch: closed")
	// ErrStuck: a Func has not returned though its ctx has ended. Close gave up waiting for it.
	ErrStuck = errors.New("batch: a function has not returned")
)

// errGoexit is the failure of the items of a Func that ended its goroutine.
var errGoexit = errors.New("batch: the function called runtime.Goexit")

// PanicError is the failure of the items of a Func that panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // of its goroutine
}

// Error names the value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("batch: the function panicked: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

func (c Config[T]) withDefaults() (Config[T], error) {
	var faults []error
	check := func(ok bool, field string, have any, rule string) {
		if !ok {
			faults = append(faults, fmt.Errorf("%w: %s %v: %s", ErrConfig, field, have, rule))
		}
	}
	check(c.MaxBatchSize >= 0, "MaxBatchSize", c.MaxBatchSize, "must not be negative")
	check(c.MaxBatchBytes >= 0, "MaxBatchBytes", c.MaxBatchBytes, "must not be negative")
	check(c.MaxBatchBytes == 0 || c.Size != nil, "MaxBatchBytes", c.MaxBatchBytes, "needs Size")
	check(c.MaxBufferSize >= 0, "MaxBufferSize", c.MaxBufferSize, "must not be negative")
	check(c.Parallelism >= 0, "Parallelism", c.Parallelism, "must not be negative")
	if err := c.Retry.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("%w: Retry: %w", ErrConfig, err))
	}
	setDefault(&c.MaxBatchSize, 100)
	setDefault(&c.MaxBatchBytes, 1<<20)
	setDefault(&c.MaxBufferSize, 10_000)
	setDefault(&c.Parallelism, 1)
	if c.MaxWaitTime == 0 {
		c.MaxWaitTime = 10 * time.Millisecond
	}
	return c, errors.Join(faults...)
}

func setDefault(field *int, to int) {
	if *field == 0 {
		*field = to
	}
}
