// Command idempotent charges payments, each once, though its producers publish many of them several times, as producers do that got no answer, and
// though handlers fail and the queue delivers at least once. Eight workers take them in no order, so that the copies of a payment meet.
//
//	go run ./examples/idempotent
//
// Output:
//
//	300 payments were published 600 times
//	30 attempts failed, before they charged anything
//	the handler was called 630 times and charged 300 times
//	payments 300 charged 300 missing 0 repeated 0
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/leatmq/leat/dedup"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

const (
	payments = 300
	workers  = 8
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "idempotent:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) (err error) {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	if err := broker.EnsureTopic(ctx, "payments", queue.TopicConfig{Partitions: 4}); err != nil {
		return err
	}
	published, err := publish(ctx, broker)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d payments were published %d times\n", payments, published)

	// The marks are in memory, as the charges are. Where charges are rows of a database, the store of package dedup/sqlstore has the marks in it too, and the
	// function gets the transaction in which it charges.
	marks, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		return err
	}
	once, err := dedup.NewIdempotent[dedup.NoTx](marks, dedup.IdempotentOptions{})
	if err != nil {
		return err
	}
	b := &bank{once: once, charges: map[string]int{}, failed: map[string]bool{}}
	if err := b.consume(ctx, broker); err != nil {
		return err
	}
	return b.report(out)
}

// publish publishes each payment one to three times.
func publish(ctx context.Context, broker *queue.Broker) (published int, err error) {
	for copy := range 3 {
		for n := range payments {
			if n%3 < copy {
				continue
			}
			if _, err := broker.Publish(ctx, queue.Message{Topic: "payments", Value: fmt.Appendf(nil, "payment %d", n)}); err != nil {
				return published, err
			}
			published++
		}
	}
	return published, nil
}

// bank is what must not be charged twice.
type bank struct {
	once *dedup.Idempotent[dedup.NoTx]

	mu      sync.Mutex
	called  int
	charges map[string]int  // by payment
	failed  map[string]bool // payments whose first attempt failed
}

func (b *bank) consume(ctx context.Context, broker *queue.Broker) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		group := queue.Group{Name: "bank", Topics: []string{"payments"}, Order: queue.Unordered, Concurrency: workers}
		ended <- broker.Consume(ctx, group, b.handle)
	}()
	err := broker.WaitIdle(ctx, "bank")
	stop()
	return errors.Join(err, <-ended)
}

// handle charges a payment unless that is done. Copies that come while another one is being charged wait for its outcome.
func (b *bank) handle(ctx context.Context, d *queue.Delivery) error {
	b.mu.Lock()
	b.called++
	b.mu.Unlock()
	key := dedup.KeyOf([]byte(d.Topic), d.Value).String()
	return b.once.Do(ctx, key, func(context.Context, dedup.NoTx) error { return b.charge(string(d.Value)) })
}

// charge fails for every tenth payment, once.
func (b *bank) charge(payment string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if payment[len(payment)-1] == '7' && !b.failed[payment] {
		b.failed[payment] = true
		return errors.New("the bank does not answer")
	}
	b.charges[payment]++
	return nil
}

func (b *bank) report(out io.Writer) error {
	done, missing, repeated := 0, 0, 0
	for n := range payments {
		count := b.charges[fmt.Sprintf("payment %d", n)]
		done += count
		switch {
		case count == 0:
			missing++
		case count > 1:
			repeated++
		}
	}
	fmt.Fprintf(out, "%d attempts failed, before they charged anything\n", len(b.failed))
	fmt.Fprintf(out, "the handler was called %d times and charged %d times\n", b.called, b.once.Stats().Done)
	fmt.Fprintf(out, "payments %d charged %d missing %d repeated %d\n", payments, done, missing, repeated)
	if missing+repeated > 0 {
		return errors.New("not every payment was charged once")
	}
	return nil
}
