package leat_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// The program of README.md, word for word but for the directory.
func Example() {
	dir, err := os.MkdirTemp("", "leat-")
	must(err)
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	broker, err := embedded.Open(dir, embedded.Options{}) // embedded.InMemory(embedded.Options{}) in a unit test
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 8}))

	order := queue.Message{Topic: "orders", Key: []byte("customer 17"), Value: []byte("two books")}
	receipt, err := broker.Publish(ctx, order)
	must(err)
	fmt.Println("stored:", receipt.Durability) // it survives a power cut from here on

	billing := queue.Group{Name: "billing", Topics: []string{"orders"}, Order: queue.ByKey, Concurrency: 16}
	must(broker.Consume(ctx, billing, func(ctx context.Context, d *queue.Delivery) error {
		fmt.Printf("attempt %d: %s, %s\n", d.Attempt, d.Key, d.Value)
		if d.Attempt == 1 {
			return errors.New("the bank does not answer") // it comes again, within 100 ms
		}
		stop() // Consume returns when its handlers have
		return nil
	}))
	// Output:
	// stored: Synced
	// attempt 1: customer 17, two books
	// attempt 2: customer 17, two books
}
