package embedded

import (
	"context"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// TestPlainGroupsHaveNoRoster: a group that is only consumed makes no topic.
func TestPlainGroupsHaveNoRoster(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		ensure(t, b, "t", 1)
		fill(t, b, 1, 3, 1)
		m := join(t, b, queue.Group{Exclusive: true})
		m.ack(m.one())
		m.leave()
		a, e := b.Admin(), From(b).engine
		if _, err := a.Group(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		if err := a.Resume(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		if _, ok := e.store.Topic(rosterTopic); ok {
			t.Error("there is a roster, though nothing was set")
		}
		if err := a.Pause(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		if _, ok := e.store.Topic(rosterTopic); !ok {
			t.Error("there is no roster, though a group is paused")
		}
		for _, topic := range b.Stats().Topics {
			if topic.Name != "t" {
				t.Errorf("stats of topic %q", topic.Name)
			}
		}
		_, err := a.Topic(t.Context(), rosterTopic)
		wantError(t, "Topic", err, queue.ErrNotFound)
		_, err = a.Purge(t.Context(), rosterTopic)
		wantError(t, "Purge", err, queue.ErrNotFound)
		_, err = b.Publish(t.Context(), queue.Message{Topic: rosterTopic})
		wantError(t, "Publish", err, queue.ErrNotFound)
	})
}

// TestStandingIsKept: whatever is set comes back, and what a newer version wrote is refused.
func TestStandingIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := reopen(t, dir)
	ensure(t, b, "t", 1)
	ensure(t, b, "u", 1)
	g := queue.Group{Name: "g", Topics: []string{"u", "t"}, Order: queue.ByPartition, Guarantee: queue.ExactlyOnce, Exclusive: true, ExpireAfter: time.Hour}
	a := b.Admin()
	for _, do := range []error{a.CreateGroup(t.Context(), g), a.Pause(t.Context(), "g")} {
		if do != nil {
			t.Fatal(do)
		}
	}
	before := *From(b).engine.existing("g").kept
	b.Close()
	b = reopen(t, dir)
	e := From(b).engine
	if err := e.roster.load(); err != nil {
		t.Fatal(err)
	}
	after := *e.existing("g").kept
	if after.Unused <= 0 || after.Unused > time.Minute {
		t.Errorf("%v without members is noted", after.Unused)
	}
	if info, err := b.Admin().Group(t.Context(), "g"); err != nil || info.Guarantee != queue.ExactlyOnce {
		t.Errorf("%+v, %v", info, err)
	}
	before.Unused = after.Unused
	if !reflect.DeepEqual(before, after) {
		t.Errorf("%+v came back as %+v", before, after)
	}
	newer := storage.Entry{Batches: []storage.Batch{{Partition: e.roster.topic, Records: []storage.Record{{Key: []byte("77"), Value: []byte(`{"version":2}`)}}}}}
	if _, err := e.store.Append(t.Context(), &newer); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = reopen(t, dir)
	_, err := b.Admin().Group(t.Context(), "g")
	if err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a record of a newer version: %v", err)
	}
	err = b.Consume(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}}, func(context.Context, *queue.Delivery) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("Consume, with a record of a newer version, which may say that the group is paused: %v", err)
	}
}

// TestExpiryAcrossRestarts: the time without members adds up over processes, begins anew when somebody joins, and does not follow the wall clock.
func TestExpiryAcrossRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := reopen(t, dir)
	ensure(t, b, "t", 1)
	g := queue.Group{ExpireAfter: time.Hour}
	join(t, b, g).leave()
	// pass has the group be without members for so long, in a process of its own.
	pass := func(d time.Duration) (there bool) {
		e := From(b).engine
		if err := e.roster.load(); err != nil {
			t.Fatal(err)
		}
		x := e.existing("g")
		x.mu.Lock()
		x.vacant -= d
		x.mu.Unlock()
		e.expire(t.Context())
		if x.lock(t.Context()) == nil { // the engine may be at it of its own accord
			x.unlock()
		}
		there = e.existing("g") != nil
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = reopen(t, dir)
		return there
	}
	for range 2 {
		if !pass(25 * time.Minute) {
			t.Fatal("gone after 50 minutes")
		}
	}
	join(t, b, g).leave()
	for range 2 {
		if !pass(25 * time.Minute) {
			t.Fatal("gone after 50 minutes since it had a member")
		}
	}
	if pass(15 * time.Minute) {
		t.Error("still there after 65 minutes")
	}
	if got := From(b).engine.store.Groups(); len(got) != 0 {
		t.Errorf("groups after a restart: %v", got)
	}
	if all := From(b).engine; all.roster.load() != nil || len(all.allGroups()) != 0 {
		t.Error("the roster has something to say of a group that is gone")
	}
}

// TestExpiryBeginsWhenItIsSet: what passed before somebody asked for it does not count.
func TestExpiryBeginsWhenItIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		join(t, b, queue.Group{}).leave()
		time.Sleep(3 * time.Hour)
		there := func(want bool) {
			t.Helper()
			if _, err := b.Admin().Group(t.Context(), "g"); (err == nil) != want {
				t.Error(err)
			}
		}
		for range 3 { // and each time counts as a use
			if err := b.Admin().CreateGroup(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}, ExpireAfter: time.Hour}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(59 * time.Minute)
			there(true)
		}
		time.Sleep(2 * time.Minute)
		there(false)
	})
}

// TestJoinWhileExpiring: whoever joins a group that is being deleted makes it anew.
func TestJoinWhileExpiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 3, 1)
		g := queue.Group{ExpireAfter: time.Hour}
		m := join(t, b, g)
		m.ack(m.one())
		m.leave()
		e := From(b).engine
		x := e.existing("g")
		<-x.setup // as expireGroup does
		joined := make(chan *testMember)
		go func() { joined <- join(t, b, g) }()
		synctest.Wait()
		if err := e.deleteGroup(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		x.unlock()
		m = <-joined
		if got := m.drain(); len(got) != 3 {
			t.Errorf("the group made anew got %v, want all three", got)
		}
	})
}
