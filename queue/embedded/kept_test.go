package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// rot closes b and ruins records of a topic of the library's own: of those of partition n of the first topic whose name begins so, those that choose returns.
func rot(t *testing.T, b *queue.Broker, d *disktest.Disk, prefix string, n int, choose func(rs []storage.Record) []storage.Record) {
	t.Helper()
	e := From(b)
	for _, stored := range e.engine.store.Topics() {
		if !strings.HasPrefix(stored.Name, prefix) || n >= stored.Partitions {
			continue
		}
		id := stored.Partition(n)
		var rs []storage.Record
		if _, err := e.ReadRaw(t.Context(), id, 0, func(r *storage.Record) bool {
			rs = append(rs, storage.Record{Offset: r.Offset, Key: []byte(string(r.Key)), Value: []byte(string(r.Value)), Headers: storage.Headers(string(r.Headers))})
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if len(rs) == 0 {
			continue
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		for _, r := range choose(rs) {
			bytes := append(binary.AppendUvarint(nil, uint64(len(r.Value))), r.Value...) // as they stand in a frame: a value alone may be so short that it is found in a header, too
			if len(r.Headers) > 0 {
				bytes = append(binary.AppendUvarint(bytes, uint64(len(r.Headers))), r.Headers...)
			}
			if len(bytes) < 8 {
				t.Fatalf("%d bytes may be anywhere in %s/%d", len(bytes), stored.Name, n)
			}
			if d.Rot(id, bytes) == 0 {
				t.Fatalf("%d bytes of %s/%d are in no segment", len(bytes), stored.Name, n)
			}
		}
		return
	}
	t.Fatalf("nothing is in partition %d of a topic called %s...", n, prefix)
}

func firstOf(rs []storage.Record) []storage.Record  { return rs[:1] }
func secondOf(rs []storage.Record) []storage.Record { return rs[1:2] }
func lastOf(rs []storage.Record) []storage.Record   { return rs[len(rs)-1:] }
func allOf(rs []storage.Record) []storage.Record    { return rs }

// wantKept wants err to say what is damaged, and what to do.
func wantKept(t *testing.T, what string, err error, kept Kept, of string) *storage.DamageError {
	t.Helper()
	var k *KeptError
	if !errors.As(err, &k) || k.What != kept || k.Of != of || !strings.Contains(err.Error(), "Engine.Skip") {
		t.Fatalf("%s: %v, want damage of %s of %q", what, err, kept, of)
	}
	var d *storage.DamageError
	if !errors.As(err, &d) || d != k.Damage || d.Next <= d.First {
		t.Fatalf("%s: %v wraps %v", what, err, d)
	}
	return d
}

// giveUp wants Verify to find damage of that kind, has it skipped, and wants the report of what is lost to say so.
func giveUp(t *testing.T, b *queue.Broker, kept Kept, of string) {
	t.Helper()
	e := From(b)
	v, err := e.Verify(t.Context(), disk.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, d := range v.Damage {
		var k *KeptError
		if errors.As(e.Explain(d), &k) && k.What == kept {
			wantKept(t, "Verify", e.Explain(d), kept, of)
			found = true
			if err := e.Skip(t.Context(), d); err != nil {
				t.Fatal("Skip:", err)
			}
		}
	}
	lost, err := e.Damaged()
	var k *KeptError
	if err != nil || !found || len(lost) == 0 || !errors.As(e.Explain(lost[len(lost)-1]), &k) || !strings.Contains(k.Error(), "given up") {
		t.Fatalf("found %v, %d are known to be lost, the last as %v, %v", found, len(lost), k, err)
	}
}

// TestDamagedParking: what is parked of one partition is damaged. It is not handed out, the others are; the group is told, and goes on when that is given up.
func TestDamagedParking(t *testing.T) {
	for _, while := range []string{"a member is there", "nobody is there"} {
		synctest.Test(t, func(t *testing.T) {
			d := disktest.New()
			b := ondisk(t, d)
			ensure(t, b, "t", 2)
			g := parkingGroup(queue.ParkKey)
			fill(t, b, 2, 3, 1)
			stop := consume(t, b, g, func(context.Context, *queue.Delivery) error { return errBroken })
			time.Sleep(time.Minute)
			if got := groupStats(b, "g"); got.Parked != 6 {
				t.Fatalf("%+v, want 6 parked", got)
			}
			stop()
			rot(t, b, d, parkNames, 0, firstOf)

			var mu sync.Mutex
			var damaged []queue.DamagedEvent
			var missed int64
			s, err := d.Open(disk.Options{})
			if err != nil {
				t.Fatal(err)
			}
			b, err = open(s, onDisk, Options{Broker: queue.Options{Events: queue.Events{
				Damaged: func(e queue.DamagedEvent) { mu.Lock(); damaged = append(damaged, e); mu.Unlock() },
				Missed:  func(e queue.MissedEvent) { mu.Lock(); missed += e.Records; mu.Unlock() },
			}}})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			fill(t, b, 2, 3, 1)
			var done [2]int
			run := func() func() {
				return consume(t, b, g, func(_ context.Context, d *queue.Delivery) error {
					mu.Lock()
					defer mu.Unlock()
					done[d.Position.Partition()]++
					return nil
				})
			}
			stop = run()
			time.Sleep(2 * time.Hour)
			mu.Lock()
			if len(damaged) != 1 || damaged[0].Partition != 0 || done[0] != 0 || done[1] != 6 {
				t.Fatalf("%v are done, told of %v", done, damaged)
			}
			wantKept(t, "the event", damaged[0].Err, KeptParked, `group "g", topic t/0`)
			mu.Unlock()
			if got := groupStats(b, "g"); got.Ready+got.Parked == 0 || got.Idle == "" {
				t.Errorf("%+v: a group that cannot go on is idle", got)
			}
			if while == "nobody is there" {
				stop()
			}
			giveUp(t, b, KeptParked, `group "g", topic t/0`)
			if while == "nobody is there" {
				stop = run()
			}
			wantIdle(t, b)
			stop()
			if missed == 0 || done[0]+int(missed) != 6 || done[1] != 6 || groupStats(b, "g").Missed != missed {
				t.Errorf("%s: %v are done of 6 each, %d are missed", while, done, missed)
			}
		})
	}
}

// TestDamagedParkingOfAll: with no other partition left Consume ends with what is wrong, and Seek is a way out, too.
func TestDamagedParkingOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 1)
		fill(t, b, 1, 3, 1)
		g := parkingGroup(queue.ParkKey)
		stop := consume(t, b, g, func(context.Context, *queue.Delivery) error { return errBroken })
		time.Sleep(time.Minute)
		stop()
		rot(t, b, d, parkNames, 0, firstOf)
		b = ondisk(t, d)
		done := 0
		handle := func(context.Context, *queue.Delivery) error { done++; return nil }
		wantKept(t, "Consume", b.Consume(t.Context(), g, handle), KeptParked, `group "g", topic t/0`)
		if err := b.Admin().Seek(t.Context(), "g", queue.Earliest()); err != nil {
			t.Fatal(err)
		}
		stop = consume(t, b, g, handle)
		wantIdle(t, b)
		stop()
		if done != 3 {
			t.Errorf("%d of 3 are done again", done)
		}
	})
}

// openDelayed opens a queue that writes runs of delayed messages when there are so many.
func openDelayed(t *testing.T, d *disktest.Disk, references int) *queue.Broker {
	t.Helper()
	s, err := d.Open(disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(s, onDisk, Options{references: references})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// delay publishes messages of topic "t" from a number up to another, due after a time.
func delay(t *testing.T, b *queue.Broker, from, to int, after time.Duration) (ids []queue.TimerID) {
	t.Helper()
	for i := from; i < to; i++ {
		r, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: fmt.Appendf(nil, "message %d.", i), NotBefore: time.Now().Add(after)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Timer)
	}
	return ids
}

// came counts how often each message is in topic "t".
func came(t *testing.T, b *queue.Broker) map[string]int {
	t.Helper()
	n := map[string]int{}
	for r, err := range b.Read(t.Context(), queue.Range{Topic: "t"}) {
		if err != nil {
			t.Fatal(err)
		}
		n[string(r.Value)]++
	}
	return n
}

// TestDamagedDelays: in the inbox, and in a run. What is delayed waits, and goes on without what is given up.
func TestDamagedDelays(t *testing.T) {
	for _, c := range []struct {
		name, prefix string
		references   int
	}{{"inbox", delayedTopics + "synced", 100}, {"run", delayedTopics + "synced.runs", 8}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := disktest.New()
				b := openDelayed(t, d, c.references)
				ensure(t, b, "t", 1)
				ids := delay(t, b, 0, 30, time.Hour)
				time.Sleep(time.Minute)
				rot(t, b, d, c.prefix, 0, firstOf)
				b = openDelayed(t, d, c.references)
				time.Sleep(2 * time.Hour)
				if s := b.Stats(); !strings.Contains(s.DelayError, "Engine.Skip") || len(came(t, b)) > 0 {
					t.Fatalf("%d came, %+v", len(came(t, b)), s)
				}
				if c.name == "inbox" { // else it is known what is to be cancelled
					wantKept(t, "Cancel", b.Cancel(t.Context(), ids[29]), KeptDelayed, "class synced")
				}
				giveUp(t, b, KeptDelayed, "class synced")
				time.Sleep(time.Minute)
				lost, err := From(b).Damaged()
				if err != nil {
					t.Fatal(err)
				}
				got := came(t, b)
				for text, n := range got {
					if n != 1 {
						t.Errorf("%s came %d times", text, n)
					}
				}
				if int64(len(got))+lost[0].Records != 30 || lost[0].Records == 0 {
					t.Errorf("%d of 30 came, %d are lost", len(got), lost[0].Records)
				}
				if s := b.Stats(); s.DelayError != "" || s.Topics[0].Delayed != 0 && c.name == "inbox" {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestDamagedLedger: without the newest account of what was delivered, nothing that waits is lost, in memory or in runs, and none of it comes twice. An old account is needed by nobody.
func TestDamagedLedger(t *testing.T) {
	for _, c := range []struct {
		name   string
		choose func([]storage.Record) []storage.Record
		needed bool
	}{{"the oldest", firstOf, false}, {"the newest", lastOf, true}, {"all", allOf, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := disktest.New()
				b := openDelayed(t, d, 8)
				ensure(t, b, "t", 1)
				delay(t, b, 0, 40, 10*time.Minute)
				delay(t, b, 40, 83, time.Hour)
				cancelled := delay(t, b, 83, 90, 50*time.Minute)
				time.Sleep(20 * time.Minute)
				for _, id := range cancelled {
					if err := b.Cancel(t.Context(), id); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
				if got := came(t, b); len(got) != 40 {
					t.Fatalf("%d of 40 came", len(got))
				}
				rot(t, b, d, delayedTopics+"synced", 1, c.choose)
				b = openDelayed(t, d, 8)
				time.Sleep(time.Second)
				if !c.needed {
					if s := b.Stats(); s.DelayError != "" {
						t.Errorf("of an old account: %s", s.DelayError)
					}
				} else {
					if s := b.Stats(); !strings.Contains(s.DelayError, string(KeptLedger)) {
						t.Errorf("the error is %q", s.DelayError)
					}
					giveUp(t, b, KeptLedger, "class synced")
				}
				time.Sleep(2 * time.Hour)
				got := came(t, b)
				for i := range 83 {
					if n := got[fmt.Sprintf("message %d.", i)]; n == 0 || n > 1 && (i >= 40 || !c.needed) {
						t.Errorf("message %d came %d times", i, n)
					}
				}
				if s := b.Stats(); s.DelayError != "" || s.Topics[0].Delayed != 0 {
					t.Errorf("%+v", s)
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				b = openDelayed(t, d, 8)
				before := len(got)
				time.Sleep(time.Hour)
				if got := came(t, b); len(got) != before || b.Stats().DelayError != "" {
					t.Errorf("after another open %d are there, %d were; %+v", len(got), before, b.Stats())
				}
			})
		})
	}
}

// TestDamagedIDs: what the index has lost is found in the topic.
func TestDamagedIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 2)
		before := withIDs(t, b, 0, 10)
		time.Sleep(3 * indexEvery)
		before = append(before, withIDs(t, b, 10, 20)...)
		rot(t, b, d, indexNames, 0, secondOf)
		b = ondisk(t, d)
		_, err := b.Publish(t.Context(), queue.Message{Topic: "t", ID: "0"})
		wantKept(t, "Publish", err, KeptIDs, "topic t")
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "t"}); err != nil {
			t.Error("a message without an ID:", err)
		}
		giveUp(t, b, KeptIDs, "topic t")
		wantDuplicates(t, b, 0, before)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = ondisk(t, d)
		wantDuplicates(t, b, 0, before)
	})
}

// TestDamagedIDsThatWait: what the index has lost of delayed messages is found in their log; and if that is damaged the IDs that the index has are known, under timers that nobody knows.
func TestDamagedIDsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 1)
		first := publishOne(t, b, delayedID("a", time.Hour))
		time.Sleep(3 * indexEvery)
		publishOne(t, b, queue.Message{Topic: "t", ID: "b"})
		rot(t, b, d, indexNames, 0, secondOf)
		b = ondisk(t, d)
		_, err := b.Publish(t.Context(), delayedID("a", time.Hour))
		wantKept(t, "Publish", err, KeptIDs, "topic t")
		giveUp(t, b, KeptIDs, "topic t")
		if r := publishOne(t, b, delayedID("a", time.Hour)); !r.Duplicate || r.Timer != first.Timer {
			t.Errorf("%+v, want the first one's, %+v", r, first)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 1)
		publishOne(t, b, delayedID("a", time.Hour))
		publishOne(t, b, queue.Message{Topic: "t", ID: "b"})
		rot(t, b, d, waitNames, 0, allOf)
		b = ondisk(t, d)
		_, err := b.Publish(t.Context(), delayedID("a", time.Hour))
		wantKept(t, "Publish", err, KeptWaiting, "topic t")
		if r := publishOne(t, b, queue.Message{Topic: "t", ID: "b"}); !r.Duplicate {
			t.Errorf("%+v, of what does not wait", r)
		}
		giveUp(t, b, KeptWaiting, "topic t")
		if r := publishOne(t, b, delayedID("a", time.Hour)); !r.Duplicate || r.Timer != "" || !r.Position.IsZero() {
			t.Errorf("%+v, want a duplicate of what nobody knows the timer of", r)
		}
	})
}

// TestDamagedMarks: first the index of a scope, of which all is found in the marks, then a mark itself.
func TestDamagedMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		mark := func(key string) (first bool, err error) {
			_, failed := b.Transact(t.Context(), func(tx *queue.Tx) error {
				first, err = tx.Mark(t.Context(), "s", key)
				return err
			})
			return first, errors.Join(err, failed)
		}
		for i := range 3 {
			if first, err := mark(fmt.Sprintf("key %d", i)); !first || err != nil {
				t.Fatal(first, err)
			}
			time.Sleep(3 * indexEvery)
		}
		rot(t, b, d, indexNames, 0, secondOf)
		b = ondisk(t, d)
		_, err := mark("key 0")
		wantKept(t, "Mark", err, KeptIDs, `scope "s"`)
		giveUp(t, b, KeptIDs, `scope "s"`)
		if first, err := mark("key 0"); first || err != nil {
			t.Errorf("a mark that the index had lost: first %v, %v", first, err)
		}
		rot(t, b, d, markNames, 0, lastOf)
		b = ondisk(t, d)
		_, err = mark("key 0")
		wantKept(t, "Mark", err, KeptMarks, `scope "s"`)
		giveUp(t, b, KeptMarks, `scope "s"`)
		if first, err := mark("key 0"); first || err != nil {
			t.Errorf("a mark that is whole: first %v, %v", first, err)
		}
	})
}

// TestDamagedSettings: nobody joins a group of which it is not known whether it is paused. What is given up is to be set again.
func TestDamagedSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 1)
		fill(t, b, 1, 3, 1)
		g := queue.Group{Name: "g", Topics: []string{"t"}}
		if err := errors.Join(b.Admin().CreateGroup(t.Context(), g), b.Admin().Pause(t.Context(), "g")); err != nil {
			t.Fatal(err)
		}
		rot(t, b, d, rosterTopic, 0, lastOf)
		b = ondisk(t, d)
		done := 0
		handle := func(context.Context, *queue.Delivery) error { done++; return nil }
		wantKept(t, "Consume", b.Consume(t.Context(), g, handle), KeptSettings, "")
		_, err := b.Admin().Groups(t.Context())
		wantKept(t, "Groups", err, KeptSettings, "")
		giveUp(t, b, KeptSettings, "")
		stop := consume(t, b, g, handle)
		wantIdle(t, b)
		stop()
		if done != 3 {
			t.Errorf("%d of 3 are done when what was set is given up", done)
		}
	})
}

// TestMendParking: a copy of the directory brings back what was parked, while the group runs.
func TestMendParking(t *testing.T) {
	dir, whole := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "copy")
	b := reopen(t, dir)
	ensure(t, b, "t", 2)
	for i := range 4 {
		m := queue.Message{Topic: "t", Key: []byte("k"), Value: fmt.Appendf(nil, "message %d.", i), Partition: queue.PinTo(i % 2)}
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	g := parkingGroup(queue.ParkKey)
	g.Failure.Retry = retry.Constant(50 * time.Millisecond)
	stop := consume(t, b, g, func(context.Context, *queue.Delivery) error { return errBroken })
	for groupStats(b, "g").Parked < 4 {
		runtime.Gosched()
	}
	stop()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(whole, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	ruin(t, dir, "message 2.")
	told := make(chan queue.DamagedEvent, 10)
	b, err := Open(dir, Options{Broker: queue.Options{Events: queue.Events{Damaged: func(e queue.DamagedEvent) { told <- e }}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	stop = consume(t, b, g, func(context.Context, *queue.Delivery) error { return nil })
	wantKept(t, "the event", (<-told).Err, KeptParked, `group "g", topic t/0`)
	r, err := From(b).Mend(t.Context(), whole, disk.MendOptions{})
	if err != nil || len(r.Mended) != 2 || len(r.Left) != 0 { // in its topic, and where it is parked
		t.Errorf("Mend: %+v, %v", r, err)
	}
	wantIdle(t, b)
	stop()
	if got := groupStats(b, "g"); got.Done != 4 || got.Missed != 0 {
		t.Errorf("%+v, want 4 done", got)
	}
}
