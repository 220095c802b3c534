package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

// inbox is where answers come: a topic, read without a group from when the inbox was made on, and who waits for which. One topic serves all calls of a bus, over restarts too: what
// nobody waits for is passed by, and removed by its retention.
type inbox struct {
	topic string
	ended chan struct{} // closed when it is not read any more
	err   error         // why; set before ended is closed

	mu      sync.Mutex
	waiting map[string]chan *queue.Record // guarded by mu; by correlation
}

// What a topic of answers keeps of those that were read.
const (
	answersAge   = 10 * time.Minute
	answersBytes = 64 << 20
	clockSkew    = time.Minute // how far before now the reading begins
)

// inbox returns the one for answers to questions of a topic, made and read from now on.
func (b *Bus) inbox(ctx context.Context, topic string) (*inbox, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life.Err() != nil {
		return nil, queue.ErrClosed
	}
	inMemory, err := b.inMemory(ctx, topic)
	if err != nil {
		return nil, err
	}
	if in := b.inboxes[inMemory]; in != nil && !in.over() {
		return in, nil
	}
	in := &inbox{topic: firstOfReplies + "." + b.o.Name, ended: make(chan struct{}), waiting: map[string]chan *queue.Record{}}
	c := queue.TopicConfig{
		Durability: queue.OS, MaxBytes: b.broker.Engine().Capabilities().MaxBytes, Retention: queue.Retention{Age: answersAge, Bytes: answersBytes}, Dedup: queue.Dedup{Off: true},
	}
	if inMemory {
		in.topic, c.Durability = in.topic+".memory", queue.Memory
	}
	if err := b.broker.EnsureTopic(ctx, in.topic, c); err != nil {
		return nil, fmt.Errorf("bus: the topic of answers: %w", err)
	}
	b.inboxes[inMemory] = in
	from := queue.Since(time.Now().Add(-clockSkew))
	b.reading.Go(func() { in.read(b.life, b.broker, from) })
	return in, nil
}

// inMemory tells whether a topic is in memory: answers to its questions are, then, since one commit is either. It is called with mu held.
func (b *Bus) inMemory(ctx context.Context, topic string) (bool, error) {
	if class, known := b.classes[topic]; known {
		return class, nil
	}
	info, err := b.broker.Admin().Topic(ctx, topic)
	switch {
	case errors.Is(err, queue.ErrUnsupported):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("topic %q: %w", topic, err)
	}
	b.classes[topic] = info.Config.Durability == queue.Memory
	return b.classes[topic], nil
}

func (in *inbox) over() bool {
	select {
	case <-in.ended:
		return true
	default:
		return false
	}
}

// read hands answers to those who wait for them, until ctx ends or the topic cannot be read.
func (in *inbox) read(ctx context.Context, b *queue.Broker, from queue.Start) {
	defer close(in.ended)
	for r, err := range b.Read(ctx, queue.Range{Topic: in.topic, From: from, Follow: true}) {
		if err != nil {
			in.err = fmt.Errorf("bus: reading answers: %w", err)
			break
		}
		in.deliver(r)
	}
	if ctx.Err() != nil || in.err == nil {
		in.err = queue.ErrClosed
	}
}

// deliver gives an answer to who waits for it. The first one counts.
func (in *inbox) deliver(r *queue.Record) {
	id := r.Headers.Get(HeaderCorrelation)
	in.mu.Lock()
	defer in.mu.Unlock()
	if c := in.waiting[id]; c != nil {
		c <- r
		delete(in.waiting, id)
	}
}

// expect returns a new correlation, and where its answer comes.
func (in *inbox) expect() (id string, answer <-chan *queue.Record) {
	id = rand.Text()
	c := make(chan *queue.Record, 1)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.waiting[id] = c
	return id, c
}

func (in *inbox) forget(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.waiting, id)
}
