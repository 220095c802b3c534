package queue_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// Messages are published in the background, many a batch. What has to be known is waited for, and of the rest Close tells.
func ExamplePublisher() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "clicks", queue.TopicConfig{}))

	publisher, err := broker.Publisher(queue.PublisherOptions{})
	must(err)
	for i := range 1000 {
		_, err := publisher.Go(ctx, queue.Message{Topic: "clicks", Value: fmt.Append(nil, "click ", i)}) // waits for room alone
		must(err)
	}
	last, err := publisher.Go(ctx, queue.Message{Topic: "clicks", Value: []byte("the last")})
	must(err)
	receipt, err := last.Wait(ctx)
	offset, _ := receipt.Position.Offset()
	fmt.Println(offset, err)

	_, err = publisher.Go(ctx, queue.Message{Topic: "nowhere"}) // nobody waits for it
	must(err)
	err = publisher.Close(ctx)
	fmt.Println(errors.Is(err, queue.ErrNotFound))
	fmt.Println(err)
	// Output:
	// 1000 <nil>
	// true
	// queue: 1 messages of a publisher failed that nobody waited for, one of them: topic "nowhere": queue: not found: topic "nowhere"
}
