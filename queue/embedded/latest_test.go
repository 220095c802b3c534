package embedded

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// openSmall opens a directory whose segments are so small that a test has some that are sealed.
func openSmall(t *testing.T, dir string) *queue.Broker {
	t.Helper()
	b, err := Open(dir, Options{Disk: disk.Options{Tuning: disk.Tuning{
		SlotBytes: 64 << 10, SegmentBytes: 64 << 10, SpillBytes: 64 << 10, JournalBytes: 1 << 20, CleanEvery: -1, RewriteEvery: -1,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// TestLatestByKey: superseded messages vanish under groups that were half-way through: in memory, on disk, and on disk over a restart. Nothing of it is
// missed, no key loses its latest message, and nothing is left in the lag.
func TestLatestByKey(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		b, err := InMemory(Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		latestByKey(t, b, nil)
	})
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("on disk, restart %v", restart), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			var reopen func() *queue.Broker
			if restart {
				reopen = func() *queue.Broker { return openSmall(t, dir) }
			}
			latestByKey(t, openSmall(t, dir), reopen)
		})
	}
}

// latestByKey runs on b, and, from where half of a group's work is done and the rest was compacted, on what reopen returns if it is not nil.
func latestByKey(t *testing.T, b *queue.Broker, reopen func() *queue.Broker) {
	const messages, keys = 3000, 10
	ensureStrategy(t, b, "t", storage.Strategy{ // what is in memory would be read from there
		Level: storage.DiskOnly, Sync: storage.SyncOS, Cleanup: storage.CleanupPolicy{LatestByKey: true},
	})
	for i := range messages {
		m := queue.Message{Topic: "t", Key: fmt.Append(nil, i%keys), Value: fmt.Appendf(nil, "%d%0200d", i, 0)}
		if i%100 == 50 {
			m.Key = nil // it stays
		}
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	half := queue.Group{Order: queue.Unordered, Concurrency: 100}
	m := join(t, b, half)
	latest := map[string]int{}
	note := func(h queue.Handover) int {
		n, err := strconv.Atoi(string(h.Value[:len(h.Value)-200]))
		if err != nil {
			t.Fatal(err)
		}
		if h.Key != nil {
			latest[string(h.Key)] = max(latest[string(h.Key)], n)
		}
		return n
	}
	var held []queue.Handover
	for i := range 500 {
		if h := m.one(); i%10 == 0 && len(held) < 40 { // cursors with holes
			held = append(held, h)
		} else {
			note(h)
			m.ack(h)
		}
	}
	m.leave()
	if err := From(b).Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, bare := 0, 0
	for r, err := range b.Read(t.Context(), queue.Range{Topic: "t"}) {
		if err != nil {
			t.Fatal(err)
		}
		if left++; r.Key == nil {
			bare++
		}
	}
	if left > messages/2 || bare != messages/100 {
		t.Fatalf("%d of %d messages are left, %d without a key: nothing was removed, or too much", left, messages, bare)
	}
	if reopen != nil {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = reopen()
	}
	m = join(t, b, half)
	for _, v := range m.drain() {
		n, _ := strconv.Atoi(v[:len(v)-200])
		latest[strconv.Itoa(n%keys)] = max(latest[strconv.Itoa(n%keys)], n)
	}
	wantTold(t, m)
	wantIdle(t, b)
	if got := groupStats(b, "g"); got.Ready+got.Waiting+got.InFlight+got.Missed != 0 {
		t.Errorf("%+v", got)
	}
	for key := range keys {
		if want := messages - keys + key; latest[strconv.Itoa(key)] != want {
			t.Errorf("the latest of key %d is %d, want %d", key, latest[strconv.Itoa(key)], want)
		}
	}
	m.leave()
	fresh := join(t, b, queue.Group{Name: "fresh", Order: queue.Unordered})
	if got := len(fresh.drain()); got != left {
		t.Errorf("a new group got %d messages of %d", got, left)
	}
	if got := groupStats(b, "fresh"); got.Ready != 0 || got.Missed != 0 {
		t.Errorf("%+v", got)
	}
}
