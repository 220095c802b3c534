// Command delay gives up orders that are not paid in time. Each order is published together with a message that is delayed until then, which is cancelled when the
// order is paid, and moved when the customer asks for more time. In between the broker is closed and opened again. At the end every order was either paid or given up, once, and
// none before its time.
//
//	go run ./examples/delay
//
// Output:
//
//	200 orders, each to be given up unless it is paid in time
//	120 were paid: their timers are cancelled
//	40 customers got more time: their timers are moved
//	closed and opened again, with 80 timers
//	a timer that became due cannot be cancelled: not found
//	orders 200 paid 120 given up 80 missing 0 repeated 0 early 0
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

const (
	orders = 200
	paid   = 120
	longer = 40

	inTime   = 1500 * time.Millisecond
	moreTime = 500 * time.Millisecond
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "delay:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	dir, err := os.MkdirTemp("", "delay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &shop{out: out, due: map[string]time.Time{}, givenUp: map[string]int{}}
	if err := s.sell(dir); err != nil {
		return err
	}
	return s.giveUp(dir)
}

// shop is what the application knows. The timers would be a column of its table of orders.
type shop struct {
	out    io.Writer
	timers [orders]queue.TimerID

	mu      sync.Mutex
	due     map[string]time.Time // guarded by mu; of orders that are not paid
	givenUp map[string]int       // guarded by mu; how often
	early   int                  // guarded by mu
}

func name(n int) string { return fmt.Sprintf("order %d", n) }

// sell takes orders, has some of them paid, and gives others more time.
func (s *shop) sell(dir string) (err error) {
	ctx := context.Background()
	broker, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	for _, topic := range []string{"orders", "unpaid"} {
		if err := broker.EnsureTopic(ctx, topic, queue.TopicConfig{Partitions: 4}); err != nil {
			return err
		}
	}
	if err := s.order(ctx, broker); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d orders, each to be given up unless it is paid in time\n", orders)
	for n := range paid {
		delete(s.due, name(n))
		if err := broker.Cancel(ctx, s.timers[n]); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.out, "%d were paid: their timers are cancelled\n", paid)
	for n := paid; n < paid+longer; n++ {
		at := s.due[name(n)].Add(moreTime)
		s.due[name(n)] = at
		if s.timers[n], err = broker.Reschedule(ctx, s.timers[n], at); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.out, "%d customers got more time: their timers are moved\n", longer)
	return nil
}

// order publishes all orders, each in one step with its timer.
func (s *shop) order(ctx context.Context, broker *queue.Broker) error {
	due := time.Now().Add(inTime)
	var ms []queue.Message
	for n := range orders {
		s.due[name(n)] = due
		ms = append(ms,
			queue.Message{Topic: "orders", Key: []byte(name(n)), Value: []byte("two books")},
			queue.Message{Topic: "unpaid", Key: []byte(name(n)), NotBefore: due})
	}
	receipts, err := broker.PublishBatch(ctx, ms...)
	if err != nil {
		return err
	}
	for n := range orders {
		s.timers[n] = receipts[2*n+1].Timer
	}
	return nil
}

// giveUp has a broker that was opened again tell of the orders whose time is over, until all are paid or given up.
func (s *shop) giveUp(dir string) (err error) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	broker, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	unpaid, err := broker.Admin().Topic(ctx, "unpaid")
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "closed and opened again, with %d timers\n", unpaid.Delayed+unpaid.Records)
	group := queue.Group{Name: "shop", Topics: []string{"unpaid"}}
	err = broker.Consume(ctx, group, func(_ context.Context, d *queue.Delivery) error {
		if s.handle(string(d.Key)) == orders-paid {
			stop() // Consume returns when its handlers have
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := broker.Cancel(context.Background(), s.timers[orders-1]); !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("cancelling what was due: %w", err)
	}
	fmt.Fprintln(s.out, "a timer that became due cannot be cancelled: not found")
	return s.report()
}

// handle gives an order up. It returns how many were.
func (s *shop) handle(order string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.due[order]) {
		s.early++
	}
	s.givenUp[order]++
	return len(s.givenUp)
}

func (s *shop) report() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing, repeated := 0, 0
	for order := range s.due {
		if s.givenUp[order] == 0 {
			missing++
		}
	}
	for order, n := range s.givenUp {
		if _, ok := s.due[order]; !ok || n > 1 {
			repeated++
		}
	}
	fmt.Fprintf(s.out, "orders %d paid %d given up %d missing %d repeated %d early %d\n", orders, paid, len(s.givenUp), missing, repeated, s.early)
	if missing+repeated+s.early > 0 {
		return errors.New("an order was forgotten, given up twice, or too early")
	}
	return nil
}
