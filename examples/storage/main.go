// Command storage keeps the same lines of a log in four topics of one directory, one of each level: in memory only, in memory and on disk, on disk only,
// and compressed. It then makes a backup while the broker runs, loses the directory, restores it, and counts what is there.
//
//	go run ./examples/storage
//
// Output:
//
//	20000 lines in each of 4 topics
//	memory: Memory
//	both: OS
//	disk: OS
//	compressed: OS
//	the newest 5000 lines of "disk" are left, as its retention says: true
//	backed up, lost, restored and verified: 0 damaged
//	memory: 0 lines
//	both: 20000 lines
//	disk: 5000 lines
//	compressed: 20000 lines
//	lost 0
//	memory: has files: false
//	both: has files: true
//	disk: has files: true
//	compressed: has files: true
//	compressed takes less than a quarter of both: true
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

const (
	lines = 20_000
	kept  = 5_000 // by the retention of one topic
	batch = 500
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "storage:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "storage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	data, backup := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	if err := use(ctx, out, data, backup); err != nil {
		return err
	}
	if err := os.RemoveAll(data); err != nil { // the disk is lost
		return err
	}
	if _, err := embedded.Restore(ctx, backup, data, disk.RestoreOptions{}); err != nil {
		return err
	}
	return check(ctx, out, data)
}

// topics are the four levels. Syncing each batch would be all that this program waits for, so it leaves that to the operating system.
func topics() []topic {
	return []topic{
		{"memory", storage.Strategy{Level: storage.MemoryOnly}, 0},
		{"both", storage.Strategy{Level: storage.MemoryAndDisk, Sync: storage.SyncOS}, lines},
		{"disk", storage.Strategy{Level: storage.DiskOnly, Sync: storage.SyncOS}, kept},
		{"compressed", storage.Strategy{Level: storage.Compressed, Sync: storage.SyncOS}, lines},
	}
}

type topic struct {
	name     string
	strategy storage.Strategy
	left     int // lines after the restore
}

// use fills the topics and makes a backup of them.
func use(ctx context.Context, out io.Writer, data, backup string) (err error) {
	small := disk.Tuning{SegmentBytes: 256 << 10, SpillBytes: 1 << 20} // of a program that stores little
	broker, err := embedded.Open(data, embedded.Options{Disk: disk.Options{Tuning: small}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	engine := embedded.From(broker)
	reached := map[string]queue.Durability{}
	for _, t := range topics() {
		if err := engine.EnsureTopic(ctx, t.name, queue.TopicConfig{}, t.strategy); err != nil {
			return err
		}
		if reached[t.name], err = fill(ctx, broker, t.name); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d lines in each of 4 topics\n", lines)
	for _, t := range topics() {
		fmt.Fprintf(out, "%s: %v\n", t.name, reached[t.name])
	}

	// A strategy is changed while the topic is used.
	bounded := topics()[2].strategy
	bounded.Cleanup.MaxRecords = kept
	if err := errors.Join(engine.AlterTopic(ctx, "disk", queue.TopicConfig{}, bounded), engine.Clean(ctx)); err != nil {
		return err
	}
	left, err := count(ctx, broker, "disk")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the newest %d lines of \"disk\" are left, as its retention says: %v\n", kept, left == kept)
	_, err = engine.Snapshot(ctx, backup, disk.SnapshotOptions{})
	return err
}

// fill publishes the lines, and returns how durable the last of them is.
func fill(ctx context.Context, broker *queue.Broker, topic string) (queue.Durability, error) {
	var last queue.Durability
	ms := make([]queue.Message, batch)
	for i := 0; i < lines; i += batch {
		for j := range ms {
			ms[j] = queue.Message{Topic: topic, Value: line(i + j)}
		}
		rs, err := broker.PublishBatch(ctx, ms...)
		if err != nil {
			return 0, err
		}
		last = rs[batch-1].Durability
	}
	return last, nil
}

func line(n int) []byte {
	return fmt.Appendf(nil, `10.0.%d.%d - - [24/Nov/2026:10:%02d:%02d +0000] "GET /products/%d?page=%d HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; Linux x86_64)"`,
		n/7%4, n*31%250, n/60%60, n%60, n*7%900, n%5, []int{200, 200, 200, 304, 404}[n*13%5], 500+n*17%9000)
}

// sizes tells where the lines are and what they take.
func sizes(ctx context.Context, out io.Writer, engine *embedded.Engine) error {
	if err := engine.Clean(ctx); err != nil { // compresses what waits for it
		return err
	}
	bytes := map[string]int64{}
	for _, t := range topics() {
		n, size, err := engine.Files(t.name)
		if err != nil {
			return err
		}
		bytes[t.name] = size
		fmt.Fprintf(out, "%s: has files: %v\n", t.name, n > 0)
	}
	fmt.Fprintf(out, "compressed takes less than a quarter of both: %v\n", bytes["compressed"] < bytes["both"]/4)
	return nil
}

// check opens what was restored and counts it.
func check(ctx context.Context, out io.Writer, data string) (err error) {
	broker, err := embedded.Open(data, embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	report, err := embedded.From(broker).Verify(ctx, disk.VerifyOptions{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "backed up, lost, restored and verified: %d damaged\n", len(report.Damage))
	lost := 0
	for _, t := range topics() {
		n, err := count(ctx, broker, t.name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d lines\n", t.name, n)
		lost += t.left - n
	}
	fmt.Fprintln(out, "lost", lost)
	return sizes(ctx, out, embedded.From(broker))
}

// count reads a topic, and wants its lines to be those that were published, the last ones to the end.
func count(ctx context.Context, broker *queue.Broker, topic string) (int, error) {
	var values []string
	for r, err := range broker.Read(ctx, queue.Range{Topic: topic}) {
		if err != nil {
			return 0, err
		}
		values = append(values, string(r.Value))
	}
	for i, v := range values {
		if n := lines - len(values) + i; v != string(line(n)) {
			return 0, fmt.Errorf("topic %q: %q is not line %d", topic, v, n)
		}
	}
	return len(values), nil
}
