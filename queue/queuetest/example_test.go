package queuetest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/queue/queuetest"
)

// A handler is tried with failures in front of it. In a test, Broker, Consume and Drain do the rest.
func ExampleFailFirst() {
	b, err := embedded.InMemory(embedded.Options{Broker: queue.Options{Events: queue.Events{
		Failed: func(f queue.FailedEvent) { fmt.Printf("attempt %d: %v, again in %v\n", f.Attempt, f.Err, f.After) },
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
	// attempt 1: db down, again in 100ms
	// attempt 2: db down, again in 200ms
	// attempt 3: charged o1
	// ended: <nil>
}
