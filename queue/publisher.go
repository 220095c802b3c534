package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/backpressure"
)

// PublisherOptions says how a Publisher gathers. The zero value is as the comments say.
type PublisherOptions struct {
	BatchMessages int           // most messages in one batch; 0: 1,000
	BatchBytes    int           // most bytes of keys, values and headers in one; a larger message is a batch of its own; 0: 192 KiB
	Linger        time.Duration // how long the first of a batch waits for others while nothing of its topic is on its way; 0: 1ms; negative: not at all
	BufferBytes   int           // of all that is not settled, 128 bytes a message added; a larger message passes alone; 0: 16 MiB
	Refuse        bool          // Go returns ErrFull when the buffer has no room; false: it waits
}

// Publisher publishes in the background, many messages a batch, for those who do not wait for each. [Publisher.Go] copies a message into a bounded buffer and returns
// a [Pending]; batches go when they are full, when their first message has lingered, and when Flush or Close says so. Each topic has its own, so that
// one that is full or gone does not hold up others, as long as the buffer has room.
//
// A batch is one PublishBatch. If that is refused, it is divided until the messages at fault are alone: each message has the outcome that it would have had alone.
// ErrIndeterminate is that of the whole batch, which is stored or not. Messages that one goroutine gives to Go for one partition are stored in that order; one that
// fails does not hold back those behind it.
//
// Its methods may be called at the same time. It must be closed; a broker that is closed closes its publishers before, and returns the error.
type Publisher struct {
	broker  *Broker
	o       PublisherOptions
	room    *backpressure.Gate
	ctx     context.Context // of what is on its way; ended when the ctx of a Close has
	cancel  context.CancelFunc
	parcels sync.Pool      // of *parcel
	running sync.WaitGroup // one for each outbox

	mu       sync.Mutex
	outboxes map[string]*outbox // guarded by mu; by topic, those that hold something
	closing  bool               // guarded by mu
	failed   []*outcome         // guarded by mu; not told of by Flush yet
	unlisted int                // guarded by mu; messages that failed and are not in failed any more
	stats    PublisherStats     // guarded by mu

	closed func() error // once
}

// PublisherStats counts what a Publisher has done since it was made, and what it holds.
type PublisherStats struct {
	Published, Failed int64 // messages that were settled, duplicates among the first
	Batches           int64 // that were settled
	Held              int64 // messages that are not settled
}

// messageWeight is what a message weighs in the buffer besides its bytes.
const messageWeight = 128

// Publisher makes one. A *ConfigError tells of options that cannot be; ErrClosed.
func (b *Broker) Publisher(o PublisherOptions) (*Publisher, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if b.can(CanBatch) != nil {
		o.BatchMessages = 1
	}
	room, err := backpressure.NewGate(backpressure.Weight{Bytes: int64(o.BufferBytes)})
	if err != nil {
		return nil, err // cannot be: the bound is positive
	}
	p := &Publisher{broker: b, o: o, room: room, outboxes: map[string]*outbox{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.parcels.New = func() any { return new(parcel) }
	p.closed = sync.OnceValue(p.finish)
	if err := b.enlist(p); err != nil {
		p.cancel()
		return nil, err
	}
	return p, nil
}

func (o PublisherOptions) withDefaults() (PublisherOptions, error) {
	f := faults{subject: "publisher"}
	f.check(o.BatchMessages >= 0, "BatchMessages", o.BatchMessages, "not negative")
	f.check(o.BatchBytes >= 0 && o.BatchBytes <= 8<<20, "BatchBytes", o.BatchBytes, "0 to 8 MiB")
	f.check(o.BufferBytes >= 0, "BufferBytes", o.BufferBytes, "not negative")
	if o.BatchMessages == 0 {
		o.BatchMessages = 1000
	}
	if o.BatchBytes == 0 {
		o.BatchBytes = 192 << 10 // the store keeps what encodes 256 KiB
	}
	if o.Linger == 0 {
		o.Linger = time.Millisecond
	}
	if o.BufferBytes == 0 {
		o.BufferBytes = 16 << 20
	}
	return o, f.err()
}

// Go takes m, copies it, and returns when it is in the buffer. ctx bounds the wait for room, and nothing else: when it ends, and at once if
// PublisherOptions.Refuse is set, the error is ErrFull. Others are those that Publish returns before it asks the engine, and ErrClosed. With an error nothing was taken.
func (p *Publisher) Go(ctx context.Context, m Message) (Pending, error) {
	if err := p.broker.mayPublish(ctx); err != nil {
		return Pending{}, err
	}
	if err := p.broker.accept(&m); err != nil {
		return Pending{}, err
	}
	weight := backpressure.Weight{Bytes: int64(min(m.Size()+len(m.ID)+messageWeight, p.o.BufferBytes))}
	if err := p.enter(ctx, weight); err != nil {
		return Pending{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		p.room.Release(weight)
		return Pending{}, errPublisherClosed
	}
	p.stats.Held++
	return p.outbox(m.Topic).add(&m, weight), nil
}

// errPublisherClosed is what Go returns from Close on.
var errPublisherClosed = fmt.Errorf("%w: the publisher", ErrClosed)

func (p *Publisher) enter(ctx context.Context, weight backpressure.Weight) error {
	if p.room.TryAcquire(weight) {
		return nil
	}
	if p.o.Refuse && !p.isClosing() {
		return fmt.Errorf("%w: the publisher's buffer of %d bytes", ErrFull, p.o.BufferBytes)
	}
	err := p.room.Acquire(ctx, weight)
	if err == nil || err == errPublisherClosed {
		return err
	}
	return fmt.Errorf("%w: the publisher's buffer of %d bytes: %w", ErrFull, p.o.BufferBytes, ctx.Err())
}

func (p *Publisher) isClosing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing
}

// outbox returns the topic's, which has a goroutine as long as it holds something. mu is held.
func (p *Publisher) outbox(topic string) *outbox {
	o := p.outboxes[topic]
	if o == nil {
		o = &outbox{p: p, topic: topic, wake: make(chan struct{}, 1)}
		p.outboxes[topic] = o
		p.running.Go(o.run)
	}
	return o
}

// Flush has everything that Go took before sent at once, and waits until it is settled. It returns a *PublisherError if messages failed for which nobody called
// [Pending.Wait]. When ctx ends before, that is ErrIndeterminate and ctx's error, and messages go on their way all the same.
func (p *Publisher) Flush(ctx context.Context) error {
	p.mu.Lock()
	var held []*outcome
	for _, o := range p.outboxes {
		held = o.hurry(held)
	}
	p.mu.Unlock()
	for _, h := range held {
		select {
		case <-h.settled:
		case <-ctx.Done():
			return fmt.Errorf("%w: messages of a publisher are on their way: %w", ErrIndeterminate, ctx.Err())
		}
	}
	return p.unclaimed()
}

// Close takes no more messages, and returns when everything that was taken is settled. When ctx ends before, what is on its way is cut off, which is ErrIndeterminate or
// ErrFull as for Publish, and what is not sent yet is not sent: ErrClosed. It returns what Flush returns; closing again returns the same. Of several calls the ctx that ends first counts.
func (p *Publisher) Close(ctx context.Context) error {
	release := context.AfterFunc(ctx, p.cancel)
	defer release()
	return p.closed()
}

func (p *Publisher) finish() error {
	p.mu.Lock()
	p.closing = true
	for _, o := range p.outboxes {
		o.hurry(nil)
	}
	p.mu.Unlock()
	p.room.Close(errPublisherClosed)
	p.running.Wait()
	p.cancel()
	p.broker.delist(p)
	return p.unclaimed()
}

// Stats returns the counters as they are now.
func (p *Publisher) Stats() PublisherStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// send stores what is in the parcel and settles it.
func (p *Publisher) send(c *parcel) {
	out := c.outcome
	out.receipts = make([]Receipt, len(c.messages))
	err := p.maySend()
	if err == nil {
		p.store(c.messages, 0, out)
	} else {
		out.fail(0, len(c.messages), err)
	}
	failed := out.failures()
	p.mu.Lock()
	p.stats.Batches++
	p.stats.Failed += int64(failed)
	p.stats.Published += int64(len(c.messages) - failed)
	p.stats.Held -= int64(len(c.messages))
	if failed > 0 {
		p.noteFailed(out)
	}
	p.mu.Unlock()
	close(out.settled)
	p.room.Release(c.weight)
	p.recycle(c)
}

func (p *Publisher) maySend() error {
	switch {
	case p.broker.closed.Load():
		return ErrClosed
	case p.ctx.Err() != nil:
		return fmt.Errorf("%w: the time to close the publisher was over before its turn", ErrClosed)
	}
	return nil
}

// store stores ms, of which the first is the n-th of the outcome. What is refused as a whole is tried in halves.
func (p *Publisher) store(ms []Message, n int, out *outcome) {
	err := p.broker.engine.Publish(p.ctx, ms, out.receipts[n:n+len(ms)])
	switch {
	case err == nil:
	case len(ms) == 1 || indivisible(err) || p.ctx.Err() != nil:
		out.fail(n, n+len(ms), err)
	default:
		half := len(ms) / 2
		p.store(ms[:half], n, out)
		p.store(ms[half:], n+half, out)
	}
}

// indivisible tells whether an error is of all messages of a batch: it is not known whether they were stored, or none can be.
func indivisible(err error) bool {
	return errors.Is(err, ErrIndeterminate) || errors.Is(err, ErrClosed) || errors.Is(err, ErrStopped)
}
