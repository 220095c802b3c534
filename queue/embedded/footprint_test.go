package embedded_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// What idle things may take.
const (
	maxIdleBytes  = 4 << 10  // of memory, for a topic or a group
	maxFreshBytes = 16 << 20 // of a fresh directory
)

// TestIdleInMemory makes 10,000 topics, and 1,000 groups that have consumed, and looks at what they take.
func TestIdleInMemory(t *testing.T) {
	br, err := embedded.InMemory(embedded.Options{})
	must(t, err)
	defer br.Close()
	checkIdle(t, br, 10_000, 1000)
}

// TestIdleOnDisk does it in a directory. There each topic and group waits for the disk.
func TestIdleOnDisk(t *testing.T) {
	br, err := embedded.Open(t.TempDir(), embedded.Options{})
	must(t, err)
	defer br.Close()
	files := descriptors(t)
	checkIdle(t, br, 1000, 100)
	if n := descriptors(t) - files; n > 10 {
		t.Errorf("1,000 idle topics and 100 idle groups hold %d files open, want none for each", n)
	}
}

func checkIdle(t *testing.T, br *queue.Broker, topics, groups int) {
	t.Helper()
	topicBytes := idleTopics(t, br, topics)
	groupBytes := idleGroups(t, br, groups)
	t.Logf("an idle topic takes %d bytes, an idle group %d", topicBytes, groupBytes)
	if topicBytes > maxIdleBytes {
		t.Errorf("an idle topic takes %d bytes, at most %d allowed", topicBytes, maxIdleBytes)
	}
	if groupBytes > maxIdleBytes {
		t.Errorf("an idle group takes %d bytes, at most %d allowed", groupBytes, maxIdleBytes)
	}
}

// TestFreshDirectory looks at the size of a directory in which nothing was stored.
func TestFreshDirectory(t *testing.T) {
	dir := t.TempDir()
	br, err := embedded.Open(dir, embedded.Options{})
	must(t, err)
	open := dirBytes(t, dir)
	must(t, br.Close())
	if closed := dirBytes(t, dir); max(open, closed) > maxFreshBytes {
		t.Errorf("a fresh directory takes %d bytes while open and %d when closed, at most %d allowed", open, closed, maxFreshBytes)
	}
}

// idleTopics makes n topics and returns the memory that each takes.
func idleTopics(tb testing.TB, br *queue.Broker, n int) int64 {
	tb.Helper()
	return grown(tb, n, func(i int) {
		must(tb, br.EnsureTopic(tb.Context(), "idle-"+strconv.Itoa(i), queue.TopicConfig{}))
	})
}

// idleGroups makes n groups, each of which consumes a message and is left, and returns the memory that each takes.
func idleGroups(tb testing.TB, br *queue.Broker, n int) int64 {
	tb.Helper()
	must(tb, br.EnsureTopic(tb.Context(), "consumed", queue.TopicConfig{}))
	_, err := br.Publish(tb.Context(), queue.Message{Topic: "consumed"})
	must(tb, err)
	return grown(tb, n, func(i int) {
		ctx, leave := context.WithCancel(tb.Context())
		defer leave()
		g := queue.Group{Name: "idle-" + strconv.Itoa(i), Topics: []string{"consumed"}}
		must(tb, br.Consume(ctx, g, func(context.Context, *queue.Delivery) error {
			leave()
			return nil
		}))
	})
}

// grown makes n things and returns how much memory each holds; it fails if goroutines were left.
func grown(tb testing.TB, n int, make func(i int)) int64 {
	tb.Helper()
	make(n) // what the first costs, it costs once
	goroutines, before := runtime.NumGoroutine(), heap()
	for i := range n {
		make(i)
	}
	each := (heap() - before) / int64(n)
	if more := runtime.NumGoroutine() - goroutines; more > n/10 {
		tb.Errorf("%d idle things hold %d goroutines, want none for each", n, more)
	}
	return each
}

// heap returns the bytes that are in use when nothing is garbage.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what a pool held is garbage at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func dirBytes(tb testing.TB, dir string) (n int64) {
	tb.Helper()
	must(tb, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	}))
	return n
}

// TestPublishAllocates bounds the allocations of a publish that waits for the operating system: of one message a call, and of 100.
func TestPublishAllocates(t *testing.T) {
	br, err := embedded.Open(t.TempDir(), embedded.Options{})
	must(t, err)
	defer br.Close()
	must(t, br.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 1, Durability: queue.OS}))
	batch := make([]queue.Message, 100)
	for i := range batch {
		batch[i] = queue.Message{Topic: "t", Value: make([]byte, 100)}
	}
	one := testing.AllocsPerRun(2000, func() {
		_, err := br.Publish(context.Background(), batch[0])
		must(t, err)
	})
	many := testing.AllocsPerRun(200, func() {
		_, err := br.PublishBatch(context.Background(), batch...)
		must(t, err)
	})
	if !raced && (one > 2 || many > 10) {
		t.Errorf("a publish of one message makes %.0f allocations, at most 2 allowed; one of 100 %.0f, at most 10 allowed", one, many)
	}
}
