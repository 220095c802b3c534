package claimcheck

import (
	"errors"
	"fmt"
	"time"
)

// Options says what a Store does. The zero value is as the comments say.
type Options struct {
	Threshold  int           // values of more bytes are checked in; 0: 64 KiB
	MaxBytes   int64         // most bytes of one value; 0: 16 GiB, 64 MiB in memory
	MaxTotal   int64         // most bytes of all values together; 0: 1 TiB, 256 MiB in memory
	Grace      time.Duration // how long nobody must have named a value before it is removed; 0: 1 minute
	SweepEvery time.Duration // how often the store sweeps by itself; 0: 10 minutes; negative: never
}

// The errors of this package; test for them with errors.Is. Besides, queue.ErrTooLarge is for a value that is larger than Options.MaxBytes, or than whoever fetches it allows, queue.ErrFull for
// values that have reached Options.MaxTotal, and queue.ErrClosed for a store that was closed, and a writer that has published or was aborted.
var (
	// ErrOption: a field of Options is negative.
	ErrOption = errors.New("claimcheck: an option that cannot be")
	// ErrOwner: the directory has the values of another queue.
	ErrOwner = errors.New("claimcheck: the directory belongs to another queue")
	// ErrClaim: a message says that it has a claim, and what it has is none.
	ErrClaim = errors.New("claimcheck: not a claim")
	// ErrMissing: the value that a claim names is not there.
	ErrMissing = errors.New("claimcheck: the value is missing")
	// ErrDamaged: a value is not what was stored. What was read of it must not be used.
	ErrDamaged = errors.New("claimcheck: the value is damaged")
)

func (o Options) withDefaults(memory bool) (Options, error) {
	if o.Threshold < 0 || o.MaxBytes < 0 || o.MaxTotal < 0 || o.Grace < 0 {
		return o, fmt.Errorf("%w: %+v: Threshold, MaxBytes, MaxTotal and Grace must not be negative", ErrOption, o)
	}
	most, total := int64(16<<30), int64(1<<40)
	if memory {
		most, total = 64<<20, 256<<20
	}
	setDefault(&o.Threshold, 64<<10)
	setDefault(&o.MaxBytes, most)
	setDefault(&o.MaxTotal, total)
	setDefault(&o.Grace, time.Minute)
	setDefault(&o.SweepEvery, 10*time.Minute)
	return o, nil
}

func setDefault[T ~int | ~int64](field *T, to T) {
	if *field == 0 {
		*field = to
	}
}
