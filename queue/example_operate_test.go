package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// A message that is delayed is moved while it waits, and cancelled.
func ExampleBroker_Reschedule() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "unpaid", queue.TopicConfig{}))

	now := time.Now()
	receipt, err := broker.Publish(ctx, queue.Message{Topic: "unpaid", NotBefore: now.Add(time.Hour), Expires: now.Add(24 * time.Hour)})
	must(err)
	timer, err := broker.Reschedule(ctx, receipt.Timer, now.Add(2*time.Hour)) // the customer asks for more time
	must(err)
	fmt.Println("delayed:", broker.Stats().Topics[0].Delayed)
	fmt.Println("the old timer is gone:", errors.Is(broker.Cancel(ctx, receipt.Timer), queue.ErrNotFound))
	must(broker.Cancel(ctx, timer)) // and pays
	fmt.Println("delayed:", broker.Stats().Topics[0].Delayed)
	// Output:
	// delayed: 1
	// the old timer is gone: true
	// delayed: 0
}

// A group gets again what was stored since a time, or everything, or nothing of what is there.
func ExampleAdmin_Seek() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "orders", queue.TopicConfig{}))
	admin := broker.Admin()
	must(admin.CreateGroup(ctx, queue.Group{Name: "billing", Topics: []string{"orders"}}))
	for range 3 {
		_, err := broker.Publish(ctx, queue.Message{Topic: "orders"})
		must(err)
	}
	for _, to := range []queue.Start{queue.Latest(), queue.Since(time.Now().Add(-time.Hour)), queue.After(queue.PositionAt("orders", 0, 0)), queue.Earliest()} {
		must(admin.Seek(ctx, "billing", to))
		info, err := admin.Group(ctx, "billing")
		must(err)
		fmt.Println(info.Ready, "ready")
	}
	// Output:
	// 0 ready
	// 3 ready
	// 2 ready
	// 3 ready
}

// Dead letters are looked at before some of them go back, no faster than their handlers can bear. A run that was cut short is gone on with by another plan.
func ExampleDeadLetters_Plan() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "orders", queue.TopicConfig{}))
	for _, text := range []string{"in dollars", "in euros", "no address"} {
		_, err := broker.Publish(ctx, queue.Message{Topic: "orders", Value: []byte(text)})
		must(err)
	}
	consuming, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		g := queue.Group{Name: "billing", Topics: []string{"orders"}, Failure: queue.Failure{MaxAttempts: 1}}
		must(broker.Consume(consuming, g, func(_ context.Context, d *queue.Delivery) error {
			return errors.New("cannot bill " + string(d.Value))
		}))
	})
	must(broker.WaitIdle(ctx, "billing"))
	stop()
	done.Wait()

	letters := broker.DeadLetters("orders.dead")
	currency := func(l *queue.DeadLetter) bool { return strings.HasPrefix(l.Error, "cannot bill in ") }
	plan, err := letters.Plan(ctx, queue.Redrive{Match: currency, PerSecond: 1000})
	must(err)
	fmt.Println(plan)
	n, err := plan.Run(ctx)
	must(err)
	left, err := letters.Plan(ctx, queue.Redrive{})
	must(err)
	fmt.Println(n, "went back,", left.Letters, "is left")
	// Output:
	// 2 letters go back: 2 to "orders"
	// 2 went back, 1 is left
}

// An exclusive group gives everything to one member, however many there are.
func ExampleGroup_exclusive() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 4}))
	for p := range 4 {
		_, err := broker.Publish(ctx, queue.Message{Topic: "orders", Partition: queue.PinTo(p)})
		must(err)
	}
	consuming, stop := context.WithCancel(ctx)
	var members sync.WaitGroup
	var got [2]atomic.Int64
	for i := range got {
		members.Go(func() {
			must(broker.Consume(consuming, queue.Group{Name: "ledger", Topics: []string{"orders"}, Exclusive: true}, func(context.Context, *queue.Delivery) error {
				got[i].Add(1)
				return nil
			}))
		})
	}
	must(broker.WaitIdle(ctx, "ledger"))
	fmt.Println("one has all:", got[0].Load() == 4 || got[1].Load() == 4)
	stop()
	members.Wait()
	// Output: one has all: true
}

// A handler that keeps nothing borrows what it is given: it costs no fresh memory, and in memory no copy.
func ExampleGroup_borrowed() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "readings", queue.TopicConfig{Partitions: 4, Durability: queue.Memory}))
	for i := range 1000 {
		_, err := broker.Publish(ctx, queue.Message{Topic: "readings", Value: strconv.AppendInt(nil, int64(i), 10)})
		must(err)
	}
	consuming, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var sum atomic.Int64
	go func() {
		ended <- broker.Consume(consuming, queue.Group{Name: "sums", Topics: []string{"readings"}, Borrowed: true}, func(_ context.Context, d *queue.Delivery) error {
			n, err := strconv.ParseInt(string(d.Value), 10, 64) // d.Value is not to be kept: string copies it
			sum.Add(n)
			return err
		})
	}()
	must(broker.WaitIdle(ctx, "sums"))
	stop()
	must(<-ended)
	fmt.Println(sum.Load())
	// Output: 499500
}
