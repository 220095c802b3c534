package disktest_test

import (
	"context"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// What was acknowledged is there after the power went away; what was not need not be.
func Example() {
	d, ctx := disktest.New(), context.Background()
	s, _ := d.Open(disk.Options{})
	t, _ := s.CreateTopic(ctx, storage.TopicSpec{Name: "t", Partitions: 1})
	_, err := s.Append(ctx, &storage.Entry{Batches: []storage.Batch{{Partition: t.First, Records: []storage.Record{{Value: []byte("v")}}}}})
	if err != nil {
		fmt.Println(err)
	}
	after := d.PowerLost(0, 1)
	s.Close(ctx)

	s, _ = after.Open(disk.Options{})
	rs, _, _ := s.Read(nil, t.First, 0, 1<<20)
	fmt.Printf("%d record: %s\n", len(rs), rs[0].Value)
	s.Close(ctx)
	// Output: 1 record: v
}
