package bus_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/bus"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/embedded"
)

// One part of an application says what happened, others listen, and one is asked.
func Example() {
	type Order struct{ ID, SKU string }
	created := queue.TopicOf("orders.created", codec.JSON[Order]{})
	stock := bus.RequestOf(queue.TopicOf("stock.asked", codec.String{}), codec.JSON[int]{})

	b, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	events, err := bus.New(b, bus.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer events.Close()
	err = errors.Join(b.EnsureTopic(ctx, "orders.created", queue.TopicConfig{}), b.EnsureTopic(ctx, "stock.asked", queue.TopicConfig{}))
	if err != nil {
		fmt.Println(err)
		return
	}

	clerk, err := events.Subscribe(ctx, queue.Group{Name: "stock"}, stock.Answer(func(context.Context, *queue.Delivery, string) (int, error) { return 7, nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	shipping, err := events.Subscribe(ctx, queue.Group{Name: "shipping"}, bus.On(created, func(ctx context.Context, _ *queue.Delivery, o Order) error {
		left, err := stock.Call(ctx, events, o.SKU)
		fmt.Printf("order %s: %d of %s, %v\n", o.ID, left, o.SKU, err)
		stop()
		return err
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	clerking := make(chan error, 1)
	go func() { clerking <- clerk.Run(context.WithoutCancel(ctx)) }() // until the broker is closed
	if _, err := created.Publish(ctx, b, Order{"17", "apple"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println("shipping ended:", shipping.Run(ctx))
	b.Close()
	fmt.Println("stock ended:", <-clerking)
	// Output:
	// order 17: 7 of apple, <nil>
	// shipping ended: <nil>
	// stock ended: queue: closed
}
