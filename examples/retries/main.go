// Command retries has orders fail in every way that a handler can fail, and shows when each comes again and what becomes of it: some pass after a while, some go to the dead letters, where
// they are looked at, mended and sent back. Another group, that had no trouble, sees none of it twice.
//
//	go run ./examples/retries
//
// Output:
//
//	0s  order 1, attempt 1: the bank does not answer; again after 1s
//	0s  order 2, attempt 1: no such currency: XYZ; to the dead letters
//	0s  order 3, attempt 1: too many requests; again after 5s
//	0s  order 4, attempt 1: queue: the handler panicked: index out of stock; again after 1s
//	0s  order 5, attempt 1: charged
//	0s  order 6, attempt 1: no such currency: ???; to the dead letters
//	1s  order 1, attempt 2: the bank does not answer; again after 2s
//	1s  order 4, attempt 2: queue: the handler panicked: index out of stock; again after 2s
//	3s  order 1, attempt 3: charged
//	3s  order 4, attempt 3: queue: the handler panicked: index out of stock; to the dead letters
//	5s  order 3, attempt 2: charged
//	The dead letters:
//	order 2, 20 XYZ, failed group "billing" 1 times: no such currency: XYZ
//	order 4, 40 EUR, failed group "billing" 3 times: queue: the handler panicked: index out of stock
//	order 6, 60 ???, failed group "billing" 1 times: no such currency: ???
//	The plan: 1 letters go back: 1 to "orders"; 1 left: nobody knows how to mend it
//	It was run: 1
//	orders 6 billed 4 audited 6 letters left 2
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/retry"
)

// second is one of the time line's: it passes faster here.
const second = 40 * time.Millisecond

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "retries:", err)
		os.Exit(1)
	}
}

// billing charges orders, each of which has its own kind of trouble.
var billing = queue.Group{
	Name: "billing", Topics: []string{"orders"}, Concurrency: 5,
	Failure: queue.Failure{
		Retry:       retry.Policy{First: second, Max: 60 * second, Jitter: retry.NoJitter}, // without NoJitter, spread at random
		MaxAttempts: 3,
	},
}

func charge(_ context.Context, d *queue.Delivery) error {
	switch order := string(d.Key); {
	case order == "1" && d.Attempt < 3:
		return errors.New("the bank does not answer")
	case !bytes.HasSuffix(d.Value, []byte("EUR")):
		return retry.Permanent(fmt.Errorf("no such currency: %s", d.Value[3:])) // no other attempt would help
	case order == "3" && d.Attempt == 1:
		return retry.After(5*second, errors.New("too many requests")) // the other side says when
	case order == "4":
		panic("index out of stock")
	}
	return nil
}

func run(out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	line := &timeline{names: map[queue.Position]string{}, clocks: map[string]time.Duration{}}
	broker, err := embedded.InMemory(embedded.Options{Broker: queue.Options{Events: queue.Events{
		Failed: func(e queue.FailedEvent) {
			line.add(line.name(e.Position), e.After, "attempt %d: %v; again after %v", e.Attempt, e.Err, shown(e.After))
		},
		DeadLettered: func(e queue.DeadLetteredEvent) {
			line.add(line.name(e.Position), 0, "attempt %d: %v; to the dead letters", e.Attempts, e.Err)
		},
	}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	if err := publish(ctx, broker, line); err != nil {
		return err
	}
	if err := consume(ctx, broker, line); err != nil {
		return err
	}
	line.print(out)
	left, err := redrive(ctx, out, broker)
	if err == nil {
		err = consume(ctx, broker, line)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "orders %d billed %d audited %d letters left %d\n", len(trouble), line.billed, line.audited, left)
	return nil
}

// trouble is what the orders are in, by their amounts.
var trouble = []string{"10 EUR", "20 XYZ", "30 EUR", "40 EUR", "50 EUR", "60 ???"}

func publish(ctx context.Context, broker *queue.Broker, line *timeline) error {
	if err := broker.EnsureTopic(ctx, "orders", queue.TopicConfig{}); err != nil {
		return err
	}
	for i, amount := range trouble {
		order := fmt.Sprint(i + 1)
		r, err := broker.Publish(ctx, queue.Message{Topic: "orders", Key: []byte(order), Value: []byte(amount)})
		if err != nil {
			return err
		}
		line.names[r.Position] = order
	}
	return nil
}

// consume runs both groups until they have nothing left to do.
func consume(ctx context.Context, broker *queue.Broker, line *timeline) error {
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() {
		ended <- broker.Consume(working, billing, func(ctx context.Context, d *queue.Delivery) error {
			err := charge(ctx, d)
			if err == nil {
				line.add(string(d.Key), 0, "attempt %d: charged", d.Attempt)
				line.count(&line.billed)
			}
			return err
		})
	}()
	go func() {
		audit := queue.Group{Name: "audit", Topics: []string{"orders"}}
		ended <- broker.Consume(working, audit, func(context.Context, *queue.Delivery) error {
			line.count(&line.audited)
			return nil
		})
	}()
	err := broker.WaitIdle(ctx, "billing", "audit")
	stop()
	return errors.Join(err, <-ended, <-ended)
}

// redrive shows the dead letters, and sends back those that can be mended. It returns how many are left.
func redrive(ctx context.Context, out io.Writer, broker *queue.Broker) (left int, err error) {
	dead := broker.DeadLetters("orders.dead")
	var letters []*queue.DeadLetter
	for l, err := range dead.All(ctx) {
		if err != nil {
			return 0, err
		}
		letters = append(letters, l)
	}
	slices.SortFunc(letters, func(a, b *queue.DeadLetter) int { return bytes.Compare(a.Key, b.Key) })
	fmt.Fprintln(out, "The dead letters:")
	for _, l := range letters {
		fmt.Fprintf(out, "order %s, %s, failed group %q %d times: %s\n", l.Key, l.Value, l.Group, l.Attempts, l.Error)
	}
	plan, err := dead.Plan(ctx, queue.Redrive{
		Match: func(l *queue.DeadLetter) bool { return strings.HasPrefix(l.Error, "no such currency") },
		Edit: func(m *queue.Message) error {
			amount, ok := strings.CutSuffix(string(m.Value), "XYZ")
			if !ok {
				return errors.New("nobody knows how to mend it")
			}
			m.Value = []byte(amount + "EUR")
			return nil
		},
	})
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "The plan: %v\n", plan)
	n, err := plan.Run(ctx)
	fmt.Fprintf(out, "It was run: %d\n", n)
	return len(letters) - n, err
}

// timeline is what happens to each order on a clock of its own, which begins at 0 and goes on by what it waits: what else the machine does meanwhile is left out.
type timeline struct {
	mu              sync.Mutex
	names           map[queue.Position]string
	clocks          map[string]time.Duration
	entries         []entry
	billed, audited int
}

type entry struct {
	at          time.Duration
	order, text string
}

func (l *timeline) name(p queue.Position) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[p]
}

// add notes what happened to an order that waits for a while from now on.
func (l *timeline) add(order string, wait time.Duration, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{l.clocks[order], order, fmt.Sprintf(format, args...)})
	l.clocks[order] += wait
}

func (l *timeline) count(n *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*n++
}

func (l *timeline) print(out io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortStableFunc(l.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order))
	})
	for _, e := range l.entries {
		fmt.Fprintf(out, "%-3v order %s, %s\n", shown(e.at), e.order, e.text)
	}
}

// shown is a time as if a second took as long as it does.
func shown(d time.Duration) time.Duration { return d / second * time.Second }
