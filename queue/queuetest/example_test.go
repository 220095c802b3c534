package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/queue/queuetest"
)

// A handler is tried with failures in front of it. In a test, Broker, Consume and Drain do the rest.
func ExampleFailFirst() {
	b, err := embedded.InMemory(embedded.Options{Broker: queue.Options{Events: queue.Events{
		Failed: func(f queue.FailedEvent) { fmt.Printf("attempt %d: %v\n", f.Attempt, f.Err) },
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	ctx, stop := context.WithCancel(context.Background())
	if err := b.EnsureTopic(ctx, "orders", queue.TopicConfig{}); err != nil {
		fmt.Println(err)
	}
	if _, err := b.Publish(ctx, queue.Message{Topic: "orders", Value: []byte("o1")}); err != nil {
		fmt.Println(err)
	}
	charge := func(_ context.Context, d *queue.Delivery) error {
		fmt.Printf("attempt %d: charged %s\n", d.Attempt, d.Value)
		stop()
		return nil
	}
	err = b.Consume(ctx, queue.Group{Name: "billing", Topics: []string{"orders"}}, queuetest.FailFirst(2, errors.New("db down"), charge))
	fmt.Println("ended:", err)
	// Output:
	// attempt 1: db down
	// attempt 2: db down
	// attempt 3: charged o1
	// ended: <nil>
}

// example stands for the *testing.T of a test.
type example struct {
	testing.TB
	cleanups []func()
}

func (t *example) Name() string             { return "TestExample" }
func (t *example) Helper()                  {}
func (t *example) Context() context.Context { return context.Background() }
func (t *example) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *example) Errorf(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
}
func (t *example) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
func (t *example) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// invoice is the handler that the examples test.
func invoice(_ context.Context, d *queue.Delivery) error {
	return d.Publish(queue.Message{Topic: "invoices", Key: d.Key, Value: fmt.Appendf(nil, "invoice for %s", d.Value)})
}

// A handler by itself: no broker, no topics.
func ExampleRun() {
	t := &example{}
	defer t.end()
	out, err := queuetest.Run(t, invoice, queue.Message{Topic: "orders", Value: []byte("o1")})
	fmt.Printf("%s to %s, error %v\n", out[0].Value, out[0].Topic, err)
	// Output: invoice for o1 to invoices, error <nil>
}

// The usual test of an application.
func ExampleBroker() {
	t := &example{}
	defer t.end()
	b := queuetest.Broker(t, "orders", "invoices")
	queuetest.Consume(t, b, queue.Group{Name: "billing", Topics: []string{"orders"}}, invoice)
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "orders", Value: []byte("o1")}); err != nil {
		t.Fatal(err)
	}
	queuetest.Drain(t, b, "billing")
	for _, r := range queuetest.Records(t, b, "invoices") {
		fmt.Printf("%s\n", r.Value)
	}
	// Output: invoice for o1
}

// What is expected and not there is said, message by message.
func ExampleExpectPublished() {
	t := &example{}
	defer t.end()
	b := queuetest.Broker(t, "invoices")
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "invoices", Value: []byte("invoice for o1")}); err != nil {
		t.Fatal(err)
	}
	queuetest.ExpectPublished(t, b, "invoices", queue.Message{Value: []byte("invoice for o1")})
	queuetest.ExpectPublished(t, b, "invoices", queue.Message{Value: []byte("invoice for o1")}, queue.Message{Value: []byte("invoice for o2")})
	// Output:
	// topic "invoices" does not hold what was expected:
	// 	want value "invoice for o2", have nothing in its place
}

// The power goes away between two orders: nothing is lost, and nothing is invoiced twice.
func ExampleCrash() {
	t := &example{}
	defer t.end()
	billing := queue.Group{Name: "billing", Topics: []string{"orders"}, Guarantee: queue.ExactlyOnce}
	b := queuetest.Durable(t, "orders", "invoices")
	for _, order := range []string{"o1", "o2"} {
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "orders", Value: []byte(order)}); err != nil {
			t.Fatal(err)
		}
		queuetest.Consume(t, b, billing, invoice)
		queuetest.Drain(t, b, "billing")
		b = queuetest.Crash(t, b)
	}
	for _, r := range queuetest.Records(t, b, "invoices") {
		fmt.Printf("%s\n", r.Value)
	}
	// Output:
	// invoice for o1
	// invoice for o2
}

// A table for the documentation of an engine.
func ExampleCapabilityTable() {
	b, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	table := queuetest.CapabilityTable(b.Engine().Capabilities())
	fmt.Println(strings.Join(strings.SplitN(table, "\n", 4)[:3], "\n"))
	// Output:
	// | feature | asked for by | embedded |
	// | --- | --- | --- |
	// | order by key | `Group.Order`: `ByKey` | yes |
}
