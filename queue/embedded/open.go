package embedded

import (
	"context"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/mem"
)

// Options of Open and InMemory. The zero value is the safe default.
type Options struct {
	Broker queue.Options
	// MemoryBytes bounds the memory for stored messages; 0 is what the store says, 256 MiB in memory and 128 MiB on disk. On disk a publish
	// waits for room. In memory room is made by forgetting what all groups finished, and a publish that finds none is refused
	// with ErrFull.
	MemoryBytes int64
}

// Open opens the queue in the directory dir, which is made if it is not there. One process at a time holds it; a second Open is an error
// that says so. The broker must be closed; if it was not, the next Open finds all the same what was acknowledged.
func Open(dir string, o Options) (*queue.Broker, error) {
	s, err := disk.Open(dir, disk.Options{MemoryBytes: o.MemoryBytes})
	if err != nil {
		return nil, fmt.Errorf("queue: opening %s: %w", dir, err)
	}
	return open(s, false, o)
}

// InMemory opens an empty queue in memory, in microseconds and with the same semantics, for unit tests and for data that may be lost
// with the process. Receipts say Memory, whatever the topic asked for. It works inside a testing/synctest bubble.
func InMemory(o Options) (*queue.Broker, error) {
	s, err := mem.Open(mem.Options{MemoryBytes: o.MemoryBytes})
	if err != nil {
		return nil, fmt.Errorf("queue: opening in memory: %w", err)
	}
	return open(s, true, o)
}

func open(s storage.Store, memory bool, o Options) (*queue.Broker, error) {
	e := newEngine(s, memory)
	b, err := queue.New(e, o.Broker)
	if err != nil {
		e.Close(context.Background()) // nothing was written; the first error is the one to tell
		return nil, err
	}
	return b, nil
}
