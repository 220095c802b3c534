package compressed_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/compressed"
	"github.com/leatmq/leat/queue/embedded"
)

// A report is compressed on its way, and its reader sees nothing of it.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	if err := broker.EnsureTopic(ctx, "reports", queue.TopicConfig{}); err != nil {
		fmt.Println(err)
	}
	c, err := compressed.New(compressed.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	report := queue.Message{Topic: "reports", Value: []byte(strings.Repeat("nothing happened\n", 10_000))}
	packed := c.Pack(report)
	fmt.Println(packed.Headers.Get("compression"), len(packed.Value) < 1000)
	if _, err := broker.Publish(ctx, packed); err != nil {
		fmt.Println(err)
	}
	err = broker.Consume(ctx, queue.Group{Name: "readers", Topics: []string{"reports"}}, c.Handler(func(ctx context.Context, d *queue.Delivery) error {
		fmt.Println(len(d.Value), "bytes, headers:", len(d.Headers))
		stop()
		return nil
	}))
	fmt.Println(err)
	// Output:
	// zstd true
	// 170000 bytes, headers: 0
	// <nil>
}
