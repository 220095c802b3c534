package dedup

import "context"

// Store keeps marks of keys that are done, together with what was done, for [Idempotent]. Package deduptest holds every store to this.
type Store[Tx any] interface {
	// Once runs fn in a transaction and marks key in the same one, unless it is marked: then fn does not run, first is false and err nil.
	//
	// If fn returns nil, what it did through tx and the mark become durable together, before Once returns true. If it returns an error, panics or ends its
	// goroutine, neither does; the error comes back so that errors.Is finds it, the panic goes on. fn must not end the transaction itself.
	//
	// Of several calls with a key at a time, in whatever process, one runs fn. The others wait for its outcome, or get [ErrInFlight] at once; if it
	// failed, one that waited may run its own.
	//
	// A key is [CheckKey]'s. Keys are bytes: they are the same only if all of them are. A mark is forgotten when it is as old as the store says, and the key is
	// then as new. If ctx has ended, fn does not run. An error that is not fn's and not ErrIndeterminate means that nothing was done.
	Once(ctx context.Context, key string, fn func(ctx context.Context, tx Tx) error) (first bool, err error)
}
