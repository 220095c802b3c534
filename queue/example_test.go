package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A position kept beside an effect says, as text, how far the effects came.
func ExamplePosition() {
	delivered := queue.PositionAt("orders", 3, 42)
	text, _ := delivered.MarshalText()
	fmt.Println(string(text))

	var stored queue.Position
	if err := stored.UnmarshalText(text); err != nil {
		fmt.Println(err)
	}
	fmt.Println(stored.Covers(queue.PositionAt("orders", 3, 41)), stored.Covers(queue.PositionAt("orders", 3, 43)))
	// Output:
	// orders/3@42
	// true false
}

func ExampleHeaders() {
	m := queue.Message{Topic: "orders", Headers: queue.Headers{}.With("tenant", "acme").With("source", "web")}
	fmt.Println(m.Headers.Get("tenant"), m.Headers.Get("source"), len(m.Headers))
	// Output: acme web 2
}

func ExampleConfigError() {
	err := error(&queue.ConfigError{Subject: `topic "orders"`, Faults: queue.Differences(
		queue.TopicConfig{Partitions: 4, Durability: queue.Synced},
		queue.TopicConfig{Partitions: 8, Durability: queue.Synced},
	)})
	var config *queue.ConfigError
	if errors.As(err, &config) {
		fmt.Println(config.Faults[0].Field)
	}
	fmt.Println(err)
	// Output:
	// Partitions
	// queue: topic "orders": Partitions is 4, not 8: EnsureTopic does not change a topic
}

// Operators see what a group has before it and why nothing runs, hold it, move it, and let it go on.
func ExampleBroker_Admin() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 2}))

	admin := broker.Admin()
	must(admin.CreateGroup(ctx, queue.Group{Name: "billing", Topics: []string{"orders"}})) // it accumulates from here on
	for i := range 10 {
		_, err := broker.Publish(ctx, queue.Message{Topic: "orders", Value: fmt.Append(nil, "order ", i)})
		must(err)
	}
	tell := func() {
		info, err := admin.Group(ctx, "billing")
		must(err)
		fmt.Printf("%d ready, idle because: %q\n", info.Ready, info.Idle)
	}
	tell()
	must(admin.Pause(ctx, "billing"))
	tell()
	must(admin.Seek(ctx, "billing", queue.Latest())) // what is there is not wanted any more
	must(admin.Resume(ctx, "billing"))
	tell()
	purged, err := admin.Purge(ctx, "orders")
	must(err)
	fmt.Println(purged, "messages purged")
	// Output:
	// 10 ready, idle because: "no members"
	// 10 ready, idle because: "paused"
	// 0 ready, idle because: ""
	// 10 messages purged
}

// A topic is given partitions while publishers and groups work. A group that wants only what is new misses nothing of what is published there.
func ExampleAdmin_AddPartitions() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 2}))

	admin := broker.Admin()
	must(admin.CreateGroup(ctx, queue.Group{Name: "billing", Topics: []string{"orders"}, StartIfNew: queue.Latest()}))
	must(admin.AddPartitions(ctx, "orders", 4))
	for p := range 4 {
		_, err := broker.Publish(ctx, queue.Message{Topic: "orders", Partition: queue.PinTo(p)})
		must(err)
	}
	info, err := admin.Group(ctx, "billing")
	must(err)
	for _, p := range info.Partitions {
		fmt.Printf("partition %d: %d ready\n", p.Partition, p.Ready)
	}
	fmt.Println(admin.AddPartitions(ctx, "orders", 3))
	// Output:
	// partition 0: 1 ready
	// partition 1: 1 ready
	// partition 2: 1 ready
	// partition 3: 1 ready
	// queue: topic "orders": Partitions is 4, not 3: never fewer than before: make another topic, and move what it holds
}

// Middleware sees each call of a handler and what came of it.
func ExampleWrap() {
	logged := func(next queue.Handler) queue.Handler {
		return func(ctx context.Context, d *queue.Delivery) error {
			err := next(ctx, d)
			fmt.Printf("%s, attempt %d: %v\n", d.Value, d.Attempt, err)
			return err
		}
	}
	h := queue.Wrap(func(context.Context, *queue.Delivery) error { return nil }, logged)
	d := queue.NewDelivery(queue.Record{Message: queue.Message{Value: []byte("order 7")}})
	if err := h(context.Background(), d); err != nil {
		fmt.Println(err)
	}
	// Output:
	// order 7, attempt 1: <nil>
}
