package mem_test

import (
	"context"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/mem"
)

// A record goes in by Append and comes out by Read.
func Example() {
	ctx := context.Background()
	store, err := mem.Open(mem.Options{})
	if err != nil {
		panic(err)
	}
	defer store.Close(ctx)
	topic, err := store.CreateTopic(ctx, storage.TopicSpec{Name: "orders", Partitions: 1})
	if err != nil {
		panic(err)
	}
	p := topic.Partition(0)
	entry := storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{
		{Key: []byte("customer-17"), Value: []byte("two books")},
		{Key: []byte("customer-18"), Value: []byte("a lamp")},
	}}}}
	if _, err := store.Append(ctx, &entry); err != nil {
		panic(err)
	}
	records, next, err := store.Read(nil, p, 0, 64<<10)
	if err != nil {
		panic(err)
	}
	for _, r := range records {
		fmt.Printf("%d %s %s\n", r.Offset, r.Key, r.Value)
	}
	fmt.Println("next", next)
	// Output:
	// 0 customer-17 two books
	// 1 customer-18 a lamp
	// next 2
}
