package disk_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// What was appended is there when the directory is opened again, and so is how far a group had come.
func Example() {
	dir, err := os.MkdirTemp("", "leat-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	store, err := disk.Open(dir, disk.Options{})
	if err != nil {
		panic(err)
	}
	topic, err := store.CreateTopic(ctx, storage.TopicSpec{Name: "orders", Partitions: 1})
	if err != nil {
		panic(err)
	}
	group, err := store.CreateGroup(ctx, "billing")
	if err != nil {
		panic(err)
	}
	p := topic.Partition(0)
	durability, err := store.Append(ctx, &storage.Entry{
		Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: []byte("two books")}, {Value: []byte("a lamp")}}}},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("synced:", durability == storage.Synced)
	_, err = store.Append(ctx, &storage.Entry{Cursors: []storage.Cursor{{Group: group.ID, Partition: p, Floor: 1, Passed: 1}}})
	if err != nil {
		panic(err)
	}
	if err := store.Close(ctx); err != nil {
		panic(err)
	}

	store, err = disk.Open(dir, disk.Options{})
	if err != nil {
		panic(err)
	}
	defer store.Close(ctx)
	cursor, _ := store.Cursor(group.ID, p)
	records, _, err := store.Read(nil, p, cursor.Floor, 64<<10)
	if err != nil {
		panic(err)
	}
	fmt.Printf("closed cleanly: %v, left to do: %d %s\n", store.Report().Clean, records[0].Offset, records[0].Value)
	// Output:
	// synced: true
	// closed cleanly: true, left to do: 1 a lamp
}

// A snapshot is taken while the store goes on. Restored, it is a store of its own, as of that moment.
func ExampleStore_Snapshot() {
	dir, err := os.MkdirTemp("", "leat-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := disk.Open(filepath.Join(dir, "store"), disk.Options{})
	if err != nil {
		panic(err)
	}
	defer store.Close(ctx)
	topic, err := store.CreateTopic(ctx, storage.TopicSpec{Name: "orders", Partitions: 1})
	if err != nil {
		panic(err)
	}
	publish := func(value string) {
		batch := storage.Batch{Partition: topic.Partition(0), Records: []storage.Record{{Value: []byte(value)}}}
		if _, err := store.Append(ctx, &storage.Entry{Batches: []storage.Batch{batch}}); err != nil {
			panic(err)
		}
	}
	publish("two books")
	report, err := store.Snapshot(ctx, filepath.Join(dir, "monday"), disk.SnapshotOptions{})
	if err != nil {
		panic(err)
	}
	publish("a lamp")
	fmt.Println("in the snapshot:", report.Records)

	if _, err := disk.Restore(ctx, filepath.Join(dir, "monday"), filepath.Join(dir, "again"), disk.RestoreOptions{}); err != nil {
		panic(err)
	}
	again, err := disk.Open(filepath.Join(dir, "again"), disk.Options{})
	if err != nil {
		panic(err)
	}
	defer again.Close(ctx)
	restored, _ := again.Topic("orders")
	for offset := range int64(2) {
		fmt.Println("offset", offset, "is of the topic as it was:", restored.Holds(topic.Incarnation, 0, offset))
	}
	// Output:
	// in the snapshot: 1
	// offset 0 is of the topic as it was: true
	// offset 1 is of the topic as it was: false
}
