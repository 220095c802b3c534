package queue_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// A loop over messages, each held by a lease until it is settled, here or in another goroutine.
func ExampleBroker_Deliveries() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	broker.EnsureTopic(ctx, "films", queue.TopicConfig{})
	broker.Publish(ctx, queue.Message{Topic: "films", Value: []byte("a film")})

	studio := queue.Group{Name: "encoders", Topics: []string{"films"}, Order: queue.Unordered, Lease: time.Minute}
	for job, err := range broker.Deliveries(ctx, studio) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch job.Attempt {
		case 1: // Context ends with the lease: who lost it stops working
			err = job.NackAfter(job.Context(), 10*time.Millisecond, errors.New("the encoder is busy"))
		case 2:
			err = job.Extend(job.Context(), time.Hour) // it takes longer than a minute
			if err == nil {
				stop()
				err = job.Ack(ctx) // it counts, though ctx has ended
			}
		}
		fmt.Printf("%s, attempt %d, lost: %v\n", job.Value, job.Attempt, errors.Is(err, queue.ErrLeaseLost))
	}
	fmt.Println("done:", broker.Stats().Groups[0].Done)
	// Output:
	// a film, attempt 1, lost: false
	// a film, attempt 2, lost: false
	// done: 1
}
