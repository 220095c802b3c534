// Command bus is a shop whose parts know events and not each other: orders are placed, the warehouse reserves stock, the bank is asked, and what came of each is told. Every event is stored once, however many
// listen. The auditor listens to everything that happens to orders, topics that are made later included; a screen, which is there for a while and leaves nothing behind, shows what is
// published while it is there. The bank is asked and answers, once for each question; when it is closed nobody works on what is asked.
//
//	go run ./examples/bus
//
// Output:
//
//	before the screen was there: order 1 was shipped
//	order 2 was shipped
//	order 3 was cancelled: the bank refused: no such card
//	order 4 was cancelled: nobody at the bank answered in time
//	screen: orders.placed 2, 3, 4; orders.reserved 2, 3, 4; orders.shipped 2; orders.cancelled 3, 4
//	audit: orders.placed 1, 2, 3, 4; orders.reserved 1, 2, 3, 4; orders.shipped 1, 2; orders.cancelled 3, 4
//	the bank worked on 3 questions and gave 3 answers
//	12 events are stored once each, for 20 deliveries to groups that stay
//	groups: audit, bank, checkout, warehouse
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/bus"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/retry"
)

// Order is what all events are about.
type Order struct {
	ID   int    `json:"id"`
	Card string `json:"card"`
	Why  string `json:"why,omitempty"`
}

func event(name string) queue.Topic[Order] {
	return queue.TopicOf(name, codec.JSON[Order]{}).Keyed(func(o Order) string { return fmt.Sprint(o.ID) })
}

// The events, and the one question.
var (
	placed    = event("orders.placed")
	reserved  = event("orders.reserved")
	shipped   = event("orders.shipped")
	cancelled = event("orders.cancelled")
	payment   = bus.RequestOf(event("bank.asked"), codec.String{})
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bus:", err)
		os.Exit(1)
	}
}

// shop is the broker, the bus, and who runs on it.
type shop struct {
	broker  *queue.Broker
	events  *bus.Bus
	running sync.WaitGroup
	mu      sync.Mutex
	failed  error
	worked  atomic.Int64 // questions
	ended   chan Order
}

func run(out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s := &shop{ended: make(chan Order, 4)}
	if s.broker, err = embedded.InMemory(embedded.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.broker.Close()) }()
	if s.events, err = bus.New(s.broker, bus.Options{Rescan: 10 * time.Millisecond}); err != nil {
		return err
	}
	defer s.events.Close()
	for _, topic := range []string{"orders.placed", "orders.reserved", "bank.asked"} {
		if err := s.broker.EnsureTopic(ctx, topic, queue.TopicConfig{}); err != nil {
			return err
		}
	}
	all, stop := context.WithCancel(ctx)
	err = s.open(ctx, all, out)
	stop()
	s.running.Wait()
	return errors.Join(err, s.failed)
}

// start subscribes and runs until ctx ends.
func (s *shop) start(ctx context.Context, g queue.Group, bindings ...bus.Binding) error {
	subscriber, err := s.events.Subscribe(ctx, g, bindings...)
	if err != nil {
		return err
	}
	s.running.Go(func() {
		if err := subscriber.Run(ctx); err != nil {
			s.mu.Lock()
			s.failed = errors.Join(s.failed, err)
			s.mu.Unlock()
		}
	})
	return nil
}

// open runs the shop for four orders.
func (s *shop) open(ctx, all context.Context, out io.Writer) error {
	var audit, screen seen
	bank, closeBank := context.WithCancel(all)
	defer closeBank()
	err := errors.Join(
		s.start(all, queue.Group{Name: "warehouse"}, bus.On(placed, func(_ context.Context, d *queue.Delivery, o Order) error {
			return reserved.PublishIn(d, o) // one commit with the order being done
		})),
		s.start(all, queue.Group{Name: "checkout"}, bus.On(reserved, s.checkout)),
		s.start(bank, queue.Group{Name: "bank"}, payment.Answer(s.pay)),
		s.start(all, queue.Group{Name: "audit"}, bus.Match("orders.#", audit.see)),
		s.broker.EnsureTopic(ctx, "orders.shipped", queue.TopicConfig{}), // the auditor finds them
		s.broker.EnsureTopic(ctx, "orders.cancelled", queue.TopicConfig{}),
	)
	if err != nil {
		return err
	}
	order := func(id int, card string) {
		if _, err = placed.Publish(ctx, s.broker, Order{ID: id, Card: card}); err != nil {
			return
		}
		select {
		case o := <-s.ended:
			fmt.Fprintln(out, o.Why)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	fmt.Fprint(out, "before the screen was there: ")
	order(1, "gold")
	err = errors.Join(err, audit.await(ctx, 3))
	leave, hang := context.WithCancel(all)
	if err := errors.Join(err, s.start(leave, queue.Group{}, bus.Match("orders.*", screen.see))); err != nil {
		hang()
		return err
	}
	order(2, "gold")
	order(3, "none")
	closeBank()
	if idle := s.broker.WaitIdle(ctx, "bank"); idle != nil {
		err = errors.Join(err, idle)
	}
	order(4, "gold")
	err = errors.Join(err, screen.await(ctx, 9), audit.await(ctx, 12))
	hang()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "screen: %s\naudit: %s\n", &screen, &audit)
	return s.report(ctx, out)
}

// checkout asks the bank, and says what came of the order.
func (s *shop) checkout(ctx context.Context, d *queue.Delivery, o Order) error {
	wait, cancel := context.WithTimeout(ctx, patience(o))
	defer cancel()
	_, err := payment.Call(wait, s.events, o)
	var refused *bus.RefusalError
	to := cancelled
	switch {
	case err == nil:
		to, o.Why = shipped, fmt.Sprintf("order %d was shipped", o.ID)
	case errors.As(err, &refused):
		o.Why = fmt.Sprintf("order %d was cancelled: the bank refused: %s", o.ID, refused.Reason)
	case errors.Is(err, bus.ErrNoAnswer):
		o.Why = fmt.Sprintf("order %d was cancelled: nobody at the bank answered in time", o.ID)
	default:
		return err
	}
	if err := to.PublishIn(d, o); err != nil {
		return err
	}
	s.ended <- o
	return nil
}

// patience is long but for the last order, for which the bank is closed.
func patience(o Order) time.Duration {
	if o.ID == 4 {
		return 50 * time.Millisecond
	}
	return time.Minute
}

func (s *shop) pay(_ context.Context, d *queue.Delivery, o Order) (string, error) {
	s.worked.Add(1)
	if o.Card == "none" {
		return "", retry.Permanent(errors.New("no such card"))
	}
	return "paid", nil
}

func (s *shop) report(ctx context.Context, out io.Writer) error {
	if err := s.broker.WaitIdle(ctx, "audit", "checkout", "warehouse"); err != nil {
		return err
	}
	answers, events, deliveries := int64(0), int64(0), int64(0)
	stats := s.broker.Stats()
	for _, t := range stats.Topics {
		switch {
		case strings.HasPrefix(t.Name, "orders."):
			events += t.Records
		case strings.HasPrefix(t.Name, "replies."):
			answers += t.Records
		}
	}
	var groups []string
	for _, g := range stats.Groups {
		if strings.HasPrefix(g.Name, "bus.") {
			continue
		}
		groups = append(groups, g.Name)
		if g.Name != "bank" {
			deliveries += g.Done
		}
	}
	fmt.Fprintf(out, "the bank worked on %d questions and gave %d answers\n", s.worked.Load(), answers)
	fmt.Fprintf(out, "%d events are stored once each, for %d deliveries to groups that stay\n", events, deliveries)
	fmt.Fprintf(out, "groups: %s\n", strings.Join(groups, ", "))
	return nil
}

// seen is what a listener was given.
type seen struct {
	mu     sync.Mutex
	events map[string][]int
	n      int
}

func (s *seen) see(_ context.Context, d *queue.Delivery) error {
	o, err := placed.Decode(&d.Record) // all events are of one type
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events == nil {
		s.events = map[string][]int{}
	}
	s.events[d.Topic] = append(s.events[d.Topic], o.ID)
	s.n++
	return nil
}

// await waits for so many events.
func (s *seen) await(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		there := s.n
		s.mu.Unlock()
		if there >= n {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// String lists events in the order of an order's life.
func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, t := range []queue.Topic[Order]{placed, reserved, shipped, cancelled} {
		ids := slices.Sorted(slices.Values(s.events[t.Name()]))
		parts = append(parts, t.Name()+" "+strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ", "), "[]"))
	}
	return strings.Join(parts, "; ")
}
