package embedded

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestClockJumps sets the wall clock while messages are delayed and others expire: that changes when they do, by no more than the second in which it is noticed, and nothing is lost or
// repeated.
func TestClockJumps(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2026, 11, 30, 4, 0, 0, 0, time.UTC)
	jumps := []struct {
		name string
		by   []time.Duration // one after the other, a second apart
		late bool            // messages that wait are still waiting afterwards
	}{
		{"back a second", []time.Duration{-time.Second}, true},
		{"back a day", []time.Duration{-day}, true},
		{"back to 1970", []time.Duration{time.Unix(60, 0).Sub(start)}, true},
		{"ahead a second", []time.Duration{time.Second}, true},
		{"ahead ten years", []time.Duration{3652 * day}, false},
		{"ahead ten years and back", []time.Duration{3652 * day, -3652 * day}, false},
		{"stairs ahead", slices.Repeat([]time.Duration{128 * time.Millisecond}, 20), true},
		{"stairs back", slices.Repeat([]time.Duration{-128 * time.Millisecond}, 20), true},
	}
	n := max(1, sized(t, 16, 200, 10_000)/len(jumps))
	t.Logf("%d jumps, %d times each", len(jumps), n)
	for _, j := range jumps {
		t.Run(j.name, func(t *testing.T) {
			for seed := range n {
				synctest.Test(t, func(t *testing.T) { clockJump(t, start, j.by, j.late, seed) })
			}
		})
	}
}

func clockJump(t *testing.T, start time.Time, by []time.Duration, late bool, seed int) {
	var told atomic.Int64
	b, err := InMemory(Options{Broker: queue.Options{Events: queue.Events{Expired: func(queue.ExpiredEvent) { told.Add(1) }}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	began := time.Now()
	var off atomic.Int64
	b.Engine().(*engine).wall = func() time.Time { return start.Add(time.Since(began) + time.Duration(off.Load())) }
	now := b.Engine().(*engine).wall
	ctx := context.Background()
	if err := b.EnsureTopic(ctx, "t", queue.TopicConfig{}); err != nil {
		t.Fatal(err)
	}
	const n = 20
	publish := func(value string, due time.Duration, m queue.Message) {
		t.Helper()
		m.Topic, m.Value, m.NotBefore = "t", []byte(value), now().Add(due)
		if _, err := b.Publish(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		publish(fmt.Sprint(i), time.Minute+time.Duration(i*(seed+7)%n)*time.Second, queue.Message{})
	}
	publish("expires", time.Minute, queue.Message{Expires: now().Add(90 * time.Second)})
	for _, d := range by {
		off.Add(int64(d))
		time.Sleep(lookAgainForClock)
		synctest.Wait()
	}
	got := values(t, b)
	if (len(got) == 0) != late {
		t.Errorf("%d messages are there after the clock was set by %v", len(got), by)
	}
	off.Store(0)
	time.Sleep(90 * time.Second)
	synctest.Wait()
	got = values(t, b)
	want := n
	if late {
		want++ // it became due in time
	} else if told.Load() != 1 {
		t.Errorf("told of %d expired messages, want that of which the time was over", told.Load())
	}
	slices.Sort(got)
	if len(got) != want || len(slices.Compact(got)) != want {
		t.Errorf("%d messages in the end, want each of %d once", len(got), want)
	}
}

// lookAgainForClock is in what time a clock that was set is noticed.
const lookAgainForClock = time.Second

// values returns what "t" holds, in order.
func values(t *testing.T, b *queue.Broker) []string {
	t.Helper()
	var vs []string
	for r, err := range b.Read(context.Background(), queue.Range{Topic: "t"}) {
		if err != nil {
			t.Fatal(err)
		}
		vs = append(vs, string(r.Value))
	}
	return vs
}

// TestDelayedMessagesTravel: they are in a snapshot and what is restored from it, once each, unless their topic is not; and timers are known there.
func TestDelayedMessagesTravel(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(filepath.Join(dir, "a"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ensure(t, b, "t", 1)
	if err := From(b).EnsureTopic(t.Context(), "private", queue.TopicConfig{}, storage.Strategy{NoBackup: true}); err != nil {
		t.Fatal(err)
	}
	due := time.Now().Add(time.Hour)
	publish := func(topic, value string) queue.TimerID {
		t.Helper()
		r, err := b.Publish(t.Context(), queue.Message{Topic: topic, Value: []byte(value), NotBefore: due})
		if err != nil {
			t.Fatal(err)
		}
		return r.Timer
	}
	publish("t", "kept")
	kept := publish("t", "cancelled in the copy")
	private := publish("private", "stays")
	if _, err := From(b).Snapshot(t.Context(), filepath.Join(dir, "copy"), disk.SnapshotOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), filepath.Join(dir, "copy"), filepath.Join(dir, "b"), disk.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := Open(filepath.Join(dir, "b"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	after, err := c.Publish(t.Context(), queue.Message{Topic: "t", NotBefore: due})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Cancel(t.Context(), kept); err != nil {
		t.Error("a timer of before the copy: ", err)
	}
	if err := c.Cancel(t.Context(), private); err == nil {
		t.Error("a timer of a topic that is not in the copy is there")
	}
	if err := b.Cancel(t.Context(), after.Timer); err == nil {
		t.Error("a timer of the copy is known where it was made from")
	}
	for _, s := range c.Stats().Topics {
		if s.Name == "t" && s.Delayed != 2 {
			t.Errorf("%d delayed in the copy, want 2", s.Delayed)
		}
		if strings.HasPrefix(s.Name, internalPrefix) {
			t.Errorf("topic %s is listed", s.Name)
		}
	}
}
