package queue_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
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
	for {
		info, err := broker.Admin().Group(ctx, "ledger")
		if err == nil && info.Members == len(got) {
			break
		}
		runtime.Gosched()
	}
	for p := range 4 {
		_, err := broker.Publish(ctx, queue.Message{Topic: "orders", Partition: queue.PinTo(p)})
		must(err)
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

// What is past its Expires is of no use to the handler, and this group wants to know of it: it is in the dead letters.
func ExampleFailure_buryExpired() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "offers", queue.TopicConfig{}))
	for name, until := range map[string]time.Time{"of yesterday": time.Now().Add(-time.Hour), "of today": time.Now().Add(time.Hour)} {
		_, err := broker.Publish(ctx, queue.Message{Topic: "offers", Value: []byte(name), Expires: until})
		must(err)
	}
	consuming, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		g := queue.Group{Name: "mail", Topics: []string{"offers"}, Failure: queue.Failure{BuryExpired: true}}
		ended <- broker.Consume(consuming, g, func(_ context.Context, d *queue.Delivery) error {
			fmt.Printf("sent the offer %s\n", d.Value)
			return nil
		})
	}()
	must(broker.WaitIdle(ctx, "mail"))
	stop()
	must(<-ended)
	for l, err := range broker.DeadLetters("offers.dead").All(ctx) {
		must(err)
		fmt.Printf("the offer %s: %s\n", l.Value, l.Error)
	}
	// Output:
	// sent the offer of today
	// the offer of yesterday: queue: expired
}

// A run that is cut short has sent what it has sent: another plan has the rest, and no letter goes twice.
func ExampleRedrivePlan_Run() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 1}))
	for i := range 10 {
		_, err := broker.Publish(ctx, queue.Message{Topic: "orders", Value: strconv.AppendInt(nil, int64(i), 10)})
		must(err)
	}
	var mended atomic.Bool
	var billed atomic.Int64
	consuming, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		g := queue.Group{Name: "billing", Topics: []string{"orders"}, Failure: queue.Failure{MaxAttempts: 1}}
		ended <- broker.Consume(consuming, g, func(context.Context, *queue.Delivery) error {
			if !mended.Load() {
				return errors.New("the bank does not answer")
			}
			billed.Add(1)
			return nil
		})
	}()
	must(broker.WaitIdle(ctx, "billing"))
	mended.Store(true)

	letters := broker.DeadLetters("orders.dead")
	cutShort, cancel := context.WithCancel(ctx)
	plan, err := letters.Plan(ctx, queue.Redrive{PerSecond: 1000, Progress: func(done, letters int) {
		if done == 4 {
			cancel()
		}
	}})
	must(err)
	n, err := plan.Run(cutShort)
	fmt.Println(n, "went back, then:", errors.Is(err, context.Canceled))
	rest, err := letters.Plan(ctx, queue.Redrive{PerSecond: 1000})
	must(err)
	n, err = rest.Run(ctx)
	fmt.Println(n, "went back, then:", err)
	must(broker.WaitIdle(ctx, "billing"))
	fmt.Println(billed.Load(), "are billed")
	stop()
	must(<-ended)
	// Output:
	// 4 went back, then: true
	// 6 went back, then: <nil>
	// 10 are billed
}

// What nobody uses any more is deleted: a group, so that it holds up neither publishers nor retention, and a topic with all that is in it.
func ExampleAdmin_DeleteGroup() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	must(err)
	defer broker.Close()
	admin := broker.Admin()
	for _, topic := range []string{"orders", "drafts"} {
		must(broker.EnsureTopic(ctx, topic, queue.TopicConfig{}))
		must(admin.CreateGroup(ctx, queue.Group{Name: "of-" + topic, Topics: []string{topic}}))
	}
	_, err = broker.Publish(ctx, queue.Message{Topic: "drafts"})
	must(err)
	info, err := admin.Group(ctx, "of-drafts")
	must(err)
	fmt.Println(info.Name, "has", info.Ready, "ready, the oldest for some time:", info.OldestReady > 0, "and", info.Members, "members")

	must(admin.DeleteGroup(ctx, "of-drafts"))
	must(admin.DeleteTopic(ctx, "drafts"))
	topics, err := admin.Topics(ctx)
	must(err)
	groups, err := admin.Groups(ctx)
	must(err)
	fmt.Println(slices.Collect(func(yield func(string) bool) {
		for _, t := range topics {
			yield(t.Name)
		}
		for _, g := range groups {
			yield(g.Name)
		}
	}))
	// Output:
	// of-drafts has 1 ready, the oldest for some time: true and 0 members
	// [orders of-orders]
}
