// Command typed takes orders and writes an invoice for each, with topics whose messages are values of a Go type. Some of the orders come from a program that knows nothing of the type: a newer one,
// whose additional field is ignored, and a broken one, whose message cannot be decoded. That one does not reach the handler and is not tried again: it goes to the dead
// letters at once, with the reason, while the other orders, those of the same customer included, go their way. Then it is mended and sent back.
//
// An invoice commits in one step with its order being done, so there is one for each order.
//
//	go run ./examples/typed
//
// Output:
//
//	published 6 orders: 4 typed, 2 by hand, 1 of them twice with the same ID
//	a dead letter of customer bob after 1 attempt: queue: a message of topic "orders", "application/json" cannot be decoded: invalid character 'c' looking for beginning of value
//	1 letters go back: 1 to "orders"
//	ann owes 30.00 on 3 invoices
//	bob owes 12.50 on 2 invoices
//	eve owes 7.00 on 1 invoices
//	undecoded 1, failed attempts 0
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/embedded"
)

// Order is what customers send.
type Order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

// Invoice is what they get.
type Invoice struct {
	Order    string `json:"order"`
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

// The application's topics: a name, how values become bytes, what keeps order, and what is published once.
var (
	orders = queue.TopicOf("orders", codec.JSON[Order]{}).
		Keyed(func(o Order) string { return o.Customer }).
		Identified(func(o Order) string { return o.ID })
	invoices = queue.TopicOf("invoices", codec.JSON[Invoice]{}).
			Keyed(func(i Invoice) string { return i.Customer })
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "typed:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) (err error) {
	ctx := context.Background()
	b, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for _, name := range []string{orders.Name(), invoices.Name()} {
		if err := b.EnsureTopic(ctx, name, queue.TopicConfig{}); err != nil {
			return err
		}
	}
	if err := publish(ctx, b); err != nil {
		return err
	}
	fmt.Fprintln(out, "published 6 orders: 4 typed, 2 by hand, 1 of them twice with the same ID")
	ctx, stop := context.WithCancel(ctx)
	billed := make(chan error, 1)
	go func() { billed <- bill(ctx, b) }()
	err = errors.Join(b.WaitIdle(ctx, "billing"), mend(ctx, b, out), b.WaitIdle(ctx, "billing"))
	stop()
	if err := errors.Join(err, <-billed); err != nil {
		return err
	}
	return count(b, out)
}

func publish(ctx context.Context, b *queue.Broker) error {
	_, err := orders.PublishBatch(ctx, b,
		Order{"1", "ann", 1000}, Order{"2", "bob", 500}, Order{"3", "eve", 700})
	if err != nil {
		return err
	}
	for _, byHand := range []string{
		`{"id":"4","customer":"ann","cents":1500,"currency":"EUR"}`,
		`cents=750 id=5 customer=bob`,
	} {
		customer := "ann"
		if byHand[0] != '{' {
			customer = "bob"
		}
		if _, err := b.Publish(ctx, queue.Message{
			Topic: orders.Name(), Key: []byte(customer), Value: []byte(byHand), Headers: queue.Headers{}.With("content-type", "application/json"),
		}); err != nil {
			return err
		}
	}
	for range 2 {
		if _, err := orders.Publish(ctx, b, Order{"6", "ann", 500}); err != nil {
			return err
		}
	}
	return nil
}

// bill writes invoices until ctx ends.
func bill(ctx context.Context, b *queue.Broker) error {
	g := queue.Group{Name: "billing", Guarantee: queue.ExactlyOnce}
	return orders.Consume(ctx, b, g, func(_ context.Context, d *queue.Delivery, o Order) error {
		return invoices.PublishIn(d, Invoice{Order: o.ID, Customer: o.Customer, Cents: o.Cents})
	})
}

// mend shows the dead letters and sends them back as what they meant.
func mend(ctx context.Context, b *queue.Broker, out io.Writer) error {
	dead := b.DeadLetters("orders.dead")
	for l, err := range dead.All(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "a dead letter of customer %s after %d attempt: %s\n", l.Key, l.Attempts, l.Error)
	}
	plan, err := dead.Plan(ctx, queue.Redrive{Edit: func(m *queue.Message) error {
		var o Order
		if _, err := fmt.Fscanf(bytes.NewReader(m.Value), "cents=%d id=%s customer=%s", &o.Cents, &o.ID, &o.Customer); err != nil {
			return err
		}
		fixed, err := orders.Message(o)
		m.Value = fixed.Value
		return err
	}})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, plan)
	_, err = plan.Run(ctx)
	return err
}

func count(b *queue.Broker, out io.Writer) error {
	owed, n := map[string]int{}, map[string]int{}
	for r, err := range b.Read(context.Background(), queue.Range{Topic: invoices.Name()}) {
		if err != nil {
			return err
		}
		i, err := invoices.Decode(r)
		if err != nil {
			return err
		}
		owed[i.Customer] += i.Cents
		n[i.Customer]++
	}
	for _, customer := range slices.Sorted(maps.Keys(owed)) {
		fmt.Fprintf(out, "%s owes %d.%02d on %d invoices\n", customer, owed[customer]/100, owed[customer]%100, n[customer])
	}
	s := b.Stats()
	failed := int64(0)
	for _, g := range s.Groups {
		failed += g.Failed
	}
	fmt.Fprintf(out, "undecoded %d, failed attempts %d\n", s.Undecoded, failed)
	return nil
}
