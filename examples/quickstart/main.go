// Command quickstart shows the whole way of a message: three producers publish orders to a topic of eight partitions, two groups
// read them, each in order per customer, one attempt fails and comes again, and in the middle of it all the broker is closed
// and opened again, and goes on where it stopped. It counts what each group handled and fails if anything was lost or repeated.
//
//	go run ./examples/quickstart
//
// Given a directory, it keeps its messages there, to be looked at with go run ./cmd/leat inspect DIR.
//
// Output:
//
//	3 producers published 600 orders to 8 partitions
//	closed with orders left over, opened again
//	billing handled 600 orders, after 1 failed attempt
//	shipping handled 600 orders, after 0 failed attempts
//	lost 0, repeated 0, out of order 0
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

const (
	producers   = 3
	perProducer = 200
	customers   = 10 // of each producer
)

func main() {
	dir := ""
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(os.Stdout, dir); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run keeps its messages in dir, or in a directory of its own that it removes.
func run(out io.Writer, dir string) error {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "quickstart-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	billing, shipping := newLedger("billing"), newLedger("shipping")
	billing.failing = "producer 1, order 17"

	if err := publishAndStop(dir, billing, shipping); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d producers published %d orders to 8 partitions\n", producers, producers*perProducer)
	if billing.total == producers*perProducer {
		return errors.New("nothing was left over for the second run")
	}
	fmt.Fprintln(out, "closed with orders left over, opened again")
	if err := finish(dir, billing, shipping); err != nil {
		return err
	}
	return report(out, billing, shipping)
}

// publishAndStop publishes all orders while the groups work, until billing has handled a third of them.
func publishAndStop(dir string, billing, shipping *ledger) (err error) {
	broker, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()

	ctx := context.Background()
	if err := broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 8}); err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	billing.mark, billing.reached = producers*perProducer/3, stop

	var tasks tasks
	tasks.run(func() error { return billing.consume(working, broker) })
	tasks.run(func() error { return shipping.consume(working, broker) })
	for p := range producers {
		tasks.run(func() error { return produce(ctx, broker, p) })
	}
	return tasks.wait()
}

// finish lets the groups go on, without publishing anything, until they have nothing left to do.
func finish(dir string, billing, shipping *ledger) (err error) {
	broker, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()

	working, stop := context.WithCancel(context.Background())
	defer stop()
	var tasks tasks
	tasks.run(func() error { return billing.consume(working, broker) })
	tasks.run(func() error { return shipping.consume(working, broker) })
	tasks.run(func() error {
		defer stop()
		return broker.WaitIdle(working, "billing", "shipping")
	})
	return tasks.wait()
}

// produce publishes orders; each is on disk when Publish returns. Those of one customer share a key, and so a partition.
func produce(ctx context.Context, broker *queue.Broker, producer int) error {
	for order := range perProducer {
		_, err := broker.Publish(ctx, queue.Message{
			Topic: "orders",
			Key:   fmt.Appendf(nil, "customer %d-%d", producer, order%customers),
			Value: fmt.Appendf(nil, "producer %d, order %d", producer, order),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func report(out io.Writer, ledgers ...*ledger) error {
	var lost, repeated, disordered int
	for _, l := range ledgers {
		attempts := "attempts"
		if l.failed == 1 {
			attempts = "attempt"
		}
		fmt.Fprintf(out, "%s handled %d orders, after %d failed %s\n", l.group, l.total, l.failed, attempts)
		lost += producers*perProducer - len(l.times)
		repeated += l.total - len(l.times)
		disordered += l.disordered
	}
	fmt.Fprintf(out, "lost %d, repeated %d, out of order %d\n", lost, repeated, disordered)
	if lost+repeated+disordered > 0 {
		return errors.New("that should all be 0")
	}
	return nil
}

// tasks runs functions at once and collects their errors.
type tasks struct {
	running sync.WaitGroup
	mu      sync.Mutex
	err     error // guarded by mu
}

func (t *tasks) run(f func() error) {
	t.running.Go(func() {
		err := f()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.err = errors.Join(t.err, err)
	})
}

func (t *tasks) wait() error {
	t.running.Wait()
	return t.err
}
