package embedded

import (
	"context"
	"fmt"

	"github.com/leatmq/leat/backpressure"
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
	// Limit bounds the backlogs of all topics together, as TopicConfig.Limit does for one; a zero field is no bound. What becomes of a publish that finds no room is for its topic's Limit.WhenFull
	// to say. A topic may have as much as is left free beside all, so that none takes all of it: one alone half, two a third each. Publishers of a topic are let in first come, first served, topics that have
	// publishers waiting in turn, and one that has no backlog is passed by none.
	Limit backpressure.Weight
	// StorageEvents is called with what an operator may want to know of the store as it happens: a disk that is full, damage, work in the
	// background that failed. It must not block. nil: nobody wants to.
	StorageEvents func(storage.Event)
	// Disk is what else there is to say about a directory, such as how often it is verified in the background. Its MemoryBytes and Events are those above unless
	// they are set here.
	Disk disk.Options

	references int // of a test, which wants to see runs: see timers.Options
}

// Open opens the queue in the directory dir, which is made if it is not there. One process at a time holds it; a second Open is an error
// that says so. The broker must be closed; if it was not, the next Open finds all the same what was acknowledged.
func Open(dir string, o Options) (*queue.Broker, error) {
	s, err := disk.Open(dir, o.disk())
	if err != nil {
		return nil, fmt.Errorf("queue: opening %s: %w", dir, err)
	}
	return open(s, onDisk, o)
}

// OpenOn opens the queue in a store that was opened for it, such as one on the disk in memory of package disktest, and takes it over: closing the broker closes it, as does an error. Of the
// options it takes Broker.
func OpenOn(s *disk.Store, o Options) (*queue.Broker, error) {
	return open(s, onDisk, Options{Broker: o.Broker, references: o.references})
}

// OpenReadOnly opens the queue in dir to be looked at: Read, Stats, and what [From] offers for reading. Nothing in the directory changes, and no permission to
// write is needed. Publishing, consuming and all else that would change something is queue.ErrUnsupported. Several processes may read one
// directory, but not while one has it open for writing.
func OpenReadOnly(dir string, o Options) (*queue.Broker, error) {
	s, err := disk.OpenReadOnly(dir, o.disk())
	if err != nil {
		return nil, fmt.Errorf("queue: opening %s to be read: %w", dir, err)
	}
	return open(s, readOnly, o)
}

func (o Options) disk() disk.Options {
	d := o.Disk
	if d.MemoryBytes == 0 {
		d.MemoryBytes = o.MemoryBytes
	}
	if d.Events == nil {
		d.Events = o.StorageEvents
	}
	return d
}

// InMemory opens an empty queue in memory, in microseconds and with the same semantics, for unit tests and for data that may be lost
// with the process. Receipts say Memory, whatever the topic asked for. It works inside a testing/synctest bubble.
func InMemory(o Options) (*queue.Broker, error) {
	s, err := mem.Open(mem.Options{MemoryBytes: o.MemoryBytes})
	if err != nil {
		return nil, fmt.Errorf("queue: opening in memory: %w", err)
	}
	return open(s, inMemory, o)
}

func open(s storage.Store, k kind, o Options) (*queue.Broker, error) {
	var pool *backpressure.Pool
	if o.Limit != (backpressure.Weight{}) {
		var err error
		if pool, err = backpressure.NewPool(o.Limit); err != nil {
			s.Close(context.Background()) // nothing was written
			return nil, &queue.ConfigError{Subject: "embedded.Options", Faults: []queue.Fault{{Field: "Limit", Have: fmt.Sprintf("%+v", o.Limit), Rule: "not negative"}}}
		}
	}
	e := newEngine(s, k)
	e.flows.pool, e.flows.bound, e.flows.tell = pool, o.Limit, o.Broker.Events.Backlog
	e.expired, e.delays.references = o.Broker.Events.Expired, o.references
	e.start()
	if k != readOnly {
		if err := e.delays.open(); err != nil {
			e.Close(context.Background()) // the first error is the one to tell
			return nil, err
		}
	}
	b, err := queue.New(e, o.Broker)
	if err != nil {
		e.Close(context.Background()) // nothing was written; the first error is the one to tell
		return nil, err
	}
	return b, nil
}
