package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/leatmq/leat/dedup"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// A bit of a file turns over. Verify finds the place, reads of it are refused, and Mend takes it from a copy, while the queue is at work; without one, Skip gives it up.
func ExampleEngine_Mend() {
	dir, err := os.MkdirTemp("", "leat")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	data, backup := filepath.Join(dir, "data"), filepath.Join(dir, "backup")

	ctx := context.Background()
	broker, err := embedded.Open(data, embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	topicErr := broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 1})
	var publishErr error
	for range 100 {
		_, err := broker.Publish(ctx, queue.Message{Topic: "orders", Value: []byte("two chairs")})
		publishErr = errors.Join(publishErr, err)
	}
	_, snapshotErr := embedded.From(broker).Snapshot(ctx, backup, disk.SnapshotOptions{})
	fmt.Println("copied:", errors.Join(topicErr, publishErr, snapshotErr, broker.Close()))

	turnBit(data)

	if broker, err = embedded.Open(data, embedded.Options{}); err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	engine := embedded.From(broker)
	read := func() (n int, err error) {
		for _, err := range broker.Read(ctx, queue.Range{Topic: "orders"}) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	report, err := engine.Verify(ctx, disk.VerifyOptions{})
	if err != nil || len(report.Damage) != 1 {
		fmt.Println(report.Damage, err)
		return
	}
	fmt.Println("verified: records", report.Damage[0].First, "to", report.Damage[0].Next-1, "are damaged")
	n, err := read()
	fmt.Println("read:", n, "records, then damage:", errors.As(err, new(*storage.DamageError)))
	mended, err := engine.Mend(ctx, backup, disk.MendOptions{})
	fmt.Println("mended:", len(mended.Mended), "of", len(mended.Mended)+len(mended.Left), err)
	n, err = read()
	fmt.Println("read:", n, "records,", err)
	// Output:
	// copied: <nil>
	// verified: records 50 to 50 are damaged
	// read: 50 records, then damage: true
	// mended: 1 of 1 <nil>
	// read: 100 records, <nil>
}

// turnBit turns a bit over in the middle of the only file of messages in a directory.
func turnBit(dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "seg", "*", "*"))
	if err != nil || len(files) != 1 {
		panic(fmt.Sprint(files, err))
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		panic(err)
	}
	at := bytes.Index(b, []byte("two chairs"))
	for range 50 {
		at += 1 + bytes.Index(b[at+1:], []byte("two chairs"))
	}
	b[at] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		panic(err)
	}
}

// A queue in a directory: what was published and not done is there when it is opened again.
func Example() {
	dir, err := os.MkdirTemp("", "leat")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	for range 2 {
		broker, err := embedded.Open(filepath.Join(dir, "data"), embedded.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 8}); err != nil {
			fmt.Println(err)
		}
		if embedded.From(broker).Report().New {
			receipt, err := broker.Publish(ctx, queue.Message{Topic: "orders", Key: []byte("customer-17"), Value: []byte("two chairs")})
			fmt.Println("published:", receipt.Durability, err)
			broker.Close()
			continue
		}
		working, stop := context.WithCancel(ctx)
		err = broker.Consume(working, queue.Group{Name: "billing", Topics: []string{"orders"}}, func(_ context.Context, d *queue.Delivery) error {
			fmt.Printf("%s: %s, attempt %d\n", d.Key, d.Value, d.Attempt)
			if d.Attempt == 1 {
				return errors.New("the printer is out of paper") // again within 100 ms
			}
			stop()
			return nil
		})
		fmt.Println("consumed:", err)
		broker.Close()
	}
	// Output:
	// published: Synced <nil>
	// customer-17: two chairs, attempt 1
	// customer-17: two chairs, attempt 2
	// consumed: <nil>
}

// The same in memory, for a unit test: open in microseconds, and wait until all is done.
func ExampleInMemory() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	broker.EnsureTopic(ctx, "orders", queue.TopicConfig{})
	ended := make(chan error)
	go func() {
		ended <- broker.Consume(ctx, queue.Group{Name: "billing", Topics: []string{"orders"}}, func(_ context.Context, d *queue.Delivery) error {
			fmt.Printf("%s\n", d.Value)
			return nil
		})
	}()
	receipt, err := broker.Publish(ctx, queue.Message{Topic: "orders", Value: []byte("two chairs")})
	fmt.Println(receipt.Durability, err)
	fmt.Println(broker.WaitIdle(ctx, "billing"))
	stop()
	fmt.Println(<-ended, broker.Close())
	// Unordered output:
	// Memory <nil>
	// two chairs
	// <nil>
	// <nil> <nil>
}

// A topic with a storage strategy, which only the embedded engine has.
func ExampleEngine_EnsureTopic() {
	ctx := context.Background()
	broker, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	engine := embedded.From(broker)
	fmt.Println(engine.EnsureTopic(ctx, "metrics", queue.TopicConfig{Partitions: 4}, storage.Strategy{Sync: storage.SyncOS}))
	fmt.Println(broker.EnsureTopic(ctx, "metrics", queue.TopicConfig{Partitions: 4, Durability: queue.Synced}))
	// Output:
	// <nil>
	// queue: topic "metrics": Durability is OS, not Synced: EnsureTopic does not change a topic
}

// A backup while the queue is used, and the queue from it when the directory is lost.
func ExampleEngine_Snapshot() {
	dir, err := os.MkdirTemp("", "leat")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	data, backup, again := filepath.Join(dir, "data"), filepath.Join(dir, "backup"), filepath.Join(dir, "again")

	ctx := context.Background()
	broker, err := embedded.Open(data, embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	topicErr := broker.EnsureTopic(ctx, "orders", queue.TopicConfig{})
	_, publishErr := broker.Publish(ctx, queue.Message{Topic: "orders", Value: []byte("two chairs")})
	report, err := embedded.From(broker).Snapshot(ctx, backup, disk.SnapshotOptions{})
	fmt.Println("copied:", report.Records, "record,", errors.Join(topicErr, publishErr, err, broker.Close()))

	restored, err := embedded.Restore(ctx, backup, again, disk.RestoreOptions{})
	fmt.Println("restored:", restored.Records, "record,", err)
	// Output:
	// copied: 1 record, <nil>
	// restored: 1 record, <nil>
}

// A publish that is repeated with its ID, because it is not known what became of it for instance, stores nothing and returns the first receipt.
func Example_publishAgain() {
	broker, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	ctx := context.Background()
	if err := broker.EnsureTopic(ctx, "orders", queue.TopicConfig{Partitions: 8}); err != nil {
		fmt.Println(err)
	}
	order := queue.Message{Topic: "orders", ID: "order-4711", Value: []byte("two chairs")}
	first, err := broker.Publish(ctx, order)
	fmt.Println("duplicate:", first.Duplicate, err)
	again, err := broker.Publish(ctx, order)
	fmt.Println("duplicate:", again.Duplicate, err, "- at the same position:", again.Position == first.Position)
	// Output:
	// duplicate: false <nil>
	// duplicate: true <nil> - at the same position: true
}

// A payment is booked once, however often it is asked for: its mark and the message are one step.
func ExampleEngine_Marks() {
	broker, err := embedded.InMemory(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	ctx := context.Background()
	if err := broker.EnsureTopic(ctx, "booked", queue.TopicConfig{}); err != nil {
		fmt.Println(err)
	}
	once, err := dedup.NewIdempotent(embedded.From(broker).Marks("payments", 0), dedup.IdempotentOptions{})
	if err != nil {
		fmt.Println(err)
	}
	for range 3 {
		err := once.Do(ctx, "payment-17", func(_ context.Context, tx *queue.Tx) error {
			fmt.Println("booking")
			return tx.Publish(queue.Message{Topic: "booked", Value: []byte("payment-17")})
		})
		fmt.Println(err)
	}
	fmt.Println("messages:", broker.Stats().Topics[0].Records)
	// Output:
	// booking
	// <nil>
	// <nil>
	// <nil>
	// messages: 1
}
