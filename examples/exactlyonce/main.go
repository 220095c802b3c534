// Command exactlyonce kills a chain of two groups 20 times while it works, with SIGKILL, and counts what came of it. The first group reads orders and publishes an
// invoice for each, the second reads invoices and publishes a letter for each. What a handler publishes through its delivery is one commit with its
// message being done, so each order has one letter at the end, wherever the process died. Go on as it likes, a handler may run again; its output is there once.
//
// The chain runs in a process of its own, which is this program again: it is killed as soon as it has printed how far it is, some work later.
//
//	go run ./examples/exactlyonce
//
// Output:
//
//	published 2000 orders
//	killed the chain 20 times while it worked, then let it finish
//	inputs 2000 outputs 2000 missing 0 repeated 0
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

const (
	orders = 2000
	kills  = 20
	chain  = "chain" // the argument of the process that is killed
)

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == chain {
		err = work(os.Args[2], os.Stdout)
	} else {
		err = run(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "exactlyonce:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	dir, err := os.MkdirTemp("", "exactlyonce-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := publish(dir); err != nil {
		return err
	}
	fmt.Fprintf(out, "published %d orders\n", orders)
	for n := range kills {
		if err := kill(dir, (n+1)*orders/(kills+2)); err != nil {
			return err
		}
	}
	if err := command(dir).Run(); err != nil {
		return fmt.Errorf("letting the chain finish: %w", err)
	}
	fmt.Fprintf(out, "killed the chain %d times while it worked, then let it finish\n", kills)
	return count(dir, out)
}

// publish stores the orders.
func publish(dir string) (err error) {
	b, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ctx := context.Background()
	for _, topic := range []string{"orders", "invoices", "letters"} {
		if err := b.EnsureTopic(ctx, topic, queue.TopicConfig{Partitions: 4}); err != nil {
			return err
		}
	}
	ms := make([]queue.Message, orders)
	for i := range ms {
		ms[i] = queue.Message{Topic: "orders", Key: fmt.Append(nil, i%50), Value: fmt.Appendf(nil, "order %d", i)}
	}
	_, err = b.PublishBatch(ctx, ms...)
	return err
}

func command(dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], chain, dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// kill starts the chain and kills it a little after it has written so many letters in all.
func kill(dir string, letters int) error {
	cmd := command(dir)
	progress, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	reached := false
	for lines := bufio.NewScanner(progress); !reached && lines.Scan(); {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "letters %d", &n); err == nil {
			reached = n >= letters
		}
	}
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("the chain ended before it was killed: %w", err)
	}
	go io.Copy(io.Discard, progress) // until it is gone
	if err := cmd.Wait(); err == nil || !reached {
		return fmt.Errorf("the chain ended by itself (%v) before %d letters were written", err, letters)
	}
	return nil
}

// work runs the chain until all is done, and prints how far it is.
func work(dir string, out io.Writer) (err error) {
	b, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var letters progress
	if letters.n, err = written(ctx, b); err != nil {
		return err
	}
	var running sync.WaitGroup
	errs := make([]error, 2)
	running.Go(func() { errs[0] = b.Consume(ctx, group("invoicing", "orders"), into("invoices", nil)) })
	running.Go(func() {
		errs[1] = b.Consume(ctx, group("mailing", "invoices"), into("letters", func() { letters.add(out) }))
	})
	idle := b.WaitIdle(ctx, "invoicing", "mailing")
	stop()
	running.Wait()
	return errors.Join(append(errs, idle)...)
}

func group(name, topic string) queue.Group {
	return queue.Group{
		Name: name, Topics: []string{topic}, Guarantee: queue.ExactlyOnce, Concurrency: 8,
		Failure: queue.Failure{MaxCrashes: -1}, // it is not the messages that kill the process here
	}
}

// into returns a handler that makes a message of topic out of each.
func into(topic string, done func()) queue.Handler {
	return func(_ context.Context, d *queue.Delivery) error {
		if done != nil {
			done()
		}
		what := strings.TrimSuffix(topic, "s")
		return d.Publish(queue.Message{Topic: topic, Key: d.Key, Value: fmt.Appendf(nil, "%s for %s", what, d.Value)})
	}
}

// progress counts letters.
type progress struct {
	mu sync.Mutex
	n  int
}

func (p *progress) add(out io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	fmt.Fprintf(out, "letters %d\n", p.n)
}

// written counts the letters that are there.
func written(ctx context.Context, b *queue.Broker) (n int, err error) {
	for _, err := range b.Read(ctx, queue.Range{Topic: "letters"}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// count compares what went in with what came out.
func count(dir string, out io.Writer) (err error) {
	b, err := embedded.OpenReadOnly(dir, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	letters, outputs := map[string]int{}, 0
	for r, err := range b.Read(context.Background(), queue.Range{Topic: "letters"}) {
		if err != nil {
			return err
		}
		letters[string(r.Value)]++
		outputs++
	}
	missing, repeated := 0, 0
	for i := range orders {
		switch n := letters[fmt.Sprintf("letter for invoice for order %d", i)]; {
		case n == 0:
			missing++
		case n > 1:
			repeated++
		}
	}
	fmt.Fprintf(out, "inputs %d outputs %d missing %d repeated %d\n", orders, outputs, missing, repeated)
	if outputs != orders || missing+repeated > 0 {
		return errors.New("not exactly once")
	}
	return nil
}
