package queuetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
)

func delayIDCases() []testCase {
	needs := []queue.Feature{queue.CanDelay, queue.CanDedup, queue.CanRead}
	return []testCase{
		{name: "DelayedIDIsKnown", run: delayedIDs, needs: needs},
		{name: "DelayedIDCancelled", run: delayedIDCancelled, needs: needs},
		{name: "DelayedIDRescheduled", run: delayedIDRescheduled, needs: needs},
		{name: "DelayedIDsInBatches", run: delayedIDsInBatches, needs: append(needs, queue.CanBatch)},
		{name: "DelayedIDInACommit", run: delayedIDInCommit, needs: append(needs, queue.CanCommit)},
		{name: "DelayedIDsAtOnce", run: delayedIDsAtOnce, needs: needs},
		{name: "DelayedIDsCancelledAtOnce", run: delayedIDsCancelledAtOnce, needs: needs},
		{name: "DelayedIDsAreForgottenWithTime", run: delayedIDsGrowOld, needs: needs, asks: asksBubble},
		{name: "DelayedIDsAreForgottenByNumber", run: delayedIDsByNumber, needs: needs},
		{name: "DelayedIDsThatAreNames", run: delayedIDsOff, needs: needs},
		{name: "DelayedIDThatExpires", run: delayedIDExpires, needs: append(needs, queue.CanExpireMessages), asks: asksBubble},
		{name: "DelayedIDsInMemory", run: delayedIDsInMemory, needs: append(needs, queue.CanStoreInMemory)},
		{name: "DelayedIDsAfterARestart", run: delayedIDsRestarted, needs: needs, asks: asksRestart},
		{name: "DelayedIDsOfADeletedTopic", run: delayedIDsDeleted, needs: needs, asks: asksTopics},
	}
}

// inAnHour is a message of topic "t" with an ID that is delayed by an hour.
func (s *stage) inAnHour(id string) queue.Message {
	m := s.identified(id)
	m.NotBefore = time.Now().Add(time.Hour)
	return m
}

// soon is one that is delayed for a moment.
func (s *stage) soon(id string) queue.Message {
	m := s.identified(id)
	m.NotBefore = in(50)
	return m
}

// wantWaiting publishes m and wants it to wait.
func (s *stage) wantWaiting(m queue.Message) queue.Receipt {
	s.Helper()
	r := s.publish(m)[0]
	if r.Duplicate || r.Timer == "" || !r.Position.IsZero() || r.Durability == 0 {
		s.Errorf("ID %q in %q: receipt %+v, want it delayed", m.ID, m.Topic, r)
	}
	return r
}

// arrives waits until the message of an ID is in a topic, and returns the receipt that its duplicates get from then on.
func (s *stage) arrives(topic, id string, first queue.Receipt) queue.Receipt {
	s.Helper()
	s.eventually(fmt.Sprintf("ID %q comes", id), func() bool {
		for _, r := range s.records(topic) {
			if r.ID == id {
				first.Position = r.Position
			}
		}
		return !first.Position.IsZero()
	})
	first.Timer = ""
	return first
}

// wantIDOnce wants each ID of a topic once in it, and as many as that.
func (s *stage) wantIDOnce(topic string, ids int) {
	s.Helper()
	times := map[string]int{}
	for _, r := range s.records(topic) {
		times[r.ID]++
	}
	for id, n := range times {
		if n > 1 && id != "" {
			s.Errorf("ID %q is %d times in %q", id, n, topic)
		}
	}
	if len(times) != ids {
		s.Errorf("%d IDs in %q, want %d", len(times), topic, ids)
	}
}

func (s *stage) cancel(r queue.Receipt) {
	s.Helper()
	if err := s.broker.Cancel(s.within(), r.Timer); err != nil {
		s.Errorf("cancelling %q: %v", r.Timer, err)
	}
}

func (s *stage) reschedule(r queue.Receipt, at time.Time) queue.Receipt {
	s.Helper()
	var err error
	if r.Timer, err = s.broker.Reschedule(s.within(), r.Timer, at); err != nil {
		s.Errorf("rescheduling: %v", err)
	}
	return r
}

// delayedIDs: duplicates of a message that waits get its timer, and its position as soon as it has one, whether they are to be delayed or not.
func delayedIDs(s *stage) {
	s.topic("t", 3)
	waits := s.wantWaiting(s.inAnHour("a"))
	soon := s.wantWaiting(s.soon("b"))
	now := s.wantStored(s.identified("c"))
	for range 2 {
		s.wantDuplicate(s.inAnHour("a"), waits)
		s.wantDuplicate(s.identified("a"), waits)
		s.wantDuplicate(s.inAnHour("c"), now)
	}
	soon = s.arrives("t", "b", soon)
	s.wantDuplicate(s.identified("b"), soon)
	s.wantDuplicate(s.inAnHour("b"), soon)
	s.wantDuplicate(s.identified("a"), waits)
	s.wantDelayed("t", 1)
	s.wantIDOnce("t", 2)
	if t, ok := s.topicStats("t"); ok && (t.Published != 2 || t.Duplicates != 9) {
		s.Errorf("counted: %+v, want 2 published and 9 duplicates", t)
	}
	for _, r := range s.records("t") {
		if len(r.Headers) > 0 || !r.NotBefore.IsZero() {
			s.Errorf("%+v, want it as it was published", r.Message)
		}
	}
}

// delayedIDCancelled: what was cancelled was never there.
func delayedIDCancelled(s *stage) {
	s.topic("t", 2)
	for round := range 3 {
		waits := s.wantWaiting(s.inAnHour("a"))
		s.wantDuplicate(s.identified("a"), waits)
		s.cancel(waits)
		s.wantError("cancelled twice", s.broker.Cancel(s.within(), waits.Timer), queue.ErrNotFound)
		if round == 1 {
			waits = s.reschedule(s.wantWaiting(s.inAnHour("a")), time.Now().Add(2*time.Hour))
			s.cancel(waits)
		}
	}
	stored := s.wantStored(s.identified("a"))
	s.wantDuplicate(s.inAnHour("a"), stored)
	s.wantDelayed("t", 0)
}

// delayedIDRescheduled: duplicates get the timer as it is.
func delayedIDRescheduled(s *stage) {
	s.topic("t", 2)
	waits := s.wantWaiting(s.inAnHour("a"))
	for i := range 3 {
		at := time.Now().Add(time.Duration(i+2) * time.Hour)
		moved := s.reschedule(waits, at)
		s.wantDuplicate(s.inAnHour("a"), moved)
		if again := s.reschedule(waits, at); again != moved {
			s.Errorf("rescheduled again: %+v, want %+v", again, moved)
		}
		s.wantDuplicate(s.identified("a"), moved)
		waits = moved
	}
	waits = s.arrives("t", "a", s.reschedule(waits, in(30)))
	s.wantDuplicate(s.inAnHour("a"), waits)
	s.wantIDOnce("t", 1)
}

func delayedIDsInBatches(s *stage) {
	s.topic("t", 2)
	s.topic("u", 1)
	a, b := s.wantWaiting(s.inAnHour("a")), s.wantStored(s.identified("b"))
	u := s.inAnHour("a")
	u.Topic = "u"
	batch := func() []queue.Receipt {
		rs, err := s.broker.PublishBatch(s.within(), s.identified("a"), s.inAnHour("c"), s.inAnHour("b"), u, s.identified("d"), s.inAnHour(""))
		if err != nil {
			s.Fatal(err)
		}
		return rs
	}
	first := batch()
	a.Duplicate, b.Duplicate = true, true
	for i, want := range []struct{ timer, duplicate bool }{{true, true}, {true, false}, {false, true}, {true, false}, {false, false}, {true, false}} {
		if r := first[i]; (r.Timer != "") != want.timer || r.Position.IsZero() != want.timer || r.Duplicate != want.duplicate || r.Durability == 0 {
			s.Errorf("receipt %d: %+v, want %+v", i, r, want)
		}
	}
	if first[0] != a || first[2] != b {
		s.Errorf("receipts %+v and %+v, want the first ones, %+v and %+v", first[0], first[2], a, b)
	}
	for i, r := range batch()[:5] {
		want := first[i]
		want.Duplicate = true
		if r != want {
			s.Errorf("receipt %d of what was published again: %+v, want %+v", i, r, want)
		}
	}
	_, err := s.broker.PublishBatch(s.within(), s.inAnHour("e"), s.identified("e"))
	s.wantError("two with one ID", err, queue.ErrConflict)
	s.cancel(s.wantWaiting(s.inAnHour("e")))
	s.wantDelayed("t", 4)
	s.wantDelayed("u", 1)
}

// delayedIDInCommit: what a handler publishes later, many times over, comes once.
func delayedIDInCommit(s *stage) {
	const n, ids = 30, 10
	s.topic("t", 2)
	s.topic("out", 2)
	s.fill("t", n, 5)
	r := s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error {
		i := num(string(d.Value))
		m := queue.Message{Topic: "out", ID: fmt.Sprint(i % ids), Value: d.Value, NotBefore: in(20 * (i % 3))}
		if err := d.Publish(m); err != nil {
			return err
		}
		if d.Attempt == 1 && i%4 == 0 {
			return errAgain
		}
		return nil
	})
	s.idle("g")
	r.stop()
	s.eventually("all have come", func() bool { return len(s.records("out")) >= ids })
	s.wantDelayed("out", 0)
	s.wantIDOnce("out", ids)
	if !s.can(queue.CanBatch) {
		return
	}
	var waits queue.Receipt
	for round := range 2 {
		rs, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error { return tx.Publish(s.inAnHour("a"), s.identified("b")) })
		if err != nil {
			s.Fatal(err)
		}
		if waits = rs[0]; waits.Timer == "" || waits.Duplicate != (round > 0) || rs[1].Duplicate != waits.Duplicate {
			s.Errorf("receipts %+v of a transaction", rs)
		}
	}
	s.cancel(waits)
	s.wantStored(s.identified("a"))
}

// delayedIDsAtOnce: of all that come with an ID at a time, delayed or not, while some become due, one comes to the topic; and whoever has a position has the one of that.
func delayedIDsAtOnce(s *stage) {
	const publishers, ids = 8, 60
	s.topic("t", 3)
	receipts := make([][2 * ids]queue.Receipt, publishers)
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range 2 * ids { // all IDs twice
				m := queue.Message{Topic: "t", ID: fmt.Sprint(i % ids), Partition: queue.PinTo(p % 3)}
				if (p+i)%4 > 0 {
					m.NotBefore = time.Now().Add(time.Duration((p*i)%9) * time.Millisecond)
				}
				r, err := s.broker.Publish(s.Context(), m)
				if err != nil {
					s.Error(err)
				}
				receipts[p][i] = r
			}
		})
	}
	all.Wait()
	s.eventually("all have come", func() bool { return len(s.records("t")) >= ids })
	s.wantDelayed("t", 0)
	s.wantIDOnce("t", ids)
	at := map[string]queue.Position{}
	for _, r := range s.records("t") {
		at[r.ID] = r.Position
	}
	for i := range ids {
		first, timers := 0, map[queue.TimerID]bool{}
		for p := range publishers {
			for _, r := range []queue.Receipt{receipts[p][i], receipts[p][ids+i]} {
				if !r.Duplicate {
					first++
				}
				if timers[r.Timer] = true; r.Timer == "" && r.Position != at[fmt.Sprint(i)] {
					s.Errorf("ID %d: receipt %+v, and it is at %s", i, r, at[fmt.Sprint(i)])
				}
			}
		}
		delete(timers, "")
		if first != 1 || len(timers) > 1 {
			s.Errorf("ID %d: %d publishes say that they stored it, under the timers %v", i, first, timers)
		}
	}
}

// delayedIDsCancelledAtOnce: while some publish an ID, others cancel what waits under it, and it becomes due. As many messages wait or come as were published and not cancelled, and at
// most one comes.
func delayedIDsCancelledAtOnce(s *stage) {
	const publishers, ids = 4, 25
	s.topic("t", 2)
	var published, cancelled [ids]atomic.Int64
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range 4 * ids {
				id := i % ids
				m := queue.Message{Topic: "t", ID: fmt.Sprint(id), NotBefore: time.Now().Add(time.Duration((p+i)%3) * 2 * time.Millisecond)}
				r, err := s.broker.Publish(s.Context(), m)
				if err != nil {
					s.Error(err)
				}
				if !r.Duplicate {
					published[id].Add(1)
				}
				if r.Timer != "" && s.broker.Cancel(s.Context(), r.Timer) == nil {
					cancelled[id].Add(1)
				}
			}
		})
	}
	all.Wait()
	s.wantDelayed("t", 0)
	times := map[string]int64{}
	for _, r := range s.records("t") {
		times[r.ID]++
	}
	for id := range ids {
		p, c, n := published[id].Load(), cancelled[id].Load(), times[fmt.Sprint(id)]
		if p-c != n || n > 1 {
			s.Errorf("ID %d was stored %d times and cancelled %d times, and came %d times", id, p, c, n)
		}
	}
}

// delayedIDsGrowOld: the window begins with the publish.
func delayedIDsGrowOld(s *stage) {
	s.deduping("t", queue.Dedup{Window: 2 * time.Hour})
	long := s.inAnHour("long")
	long.NotBefore = time.Now().Add(10 * time.Hour)
	waits, first := s.wantWaiting(long), s.wantWaiting(s.inAnHour("a"))
	time.Sleep(time.Hour + time.Minute)
	first = s.arrives("t", "a", first)
	s.wantDuplicate(s.identified("a"), first)
	s.wantDuplicate(s.identified("long"), waits)
	time.Sleep(59*time.Minute - time.Second)
	s.wantDuplicate(s.inAnHour("a"), first) // neither that it came nor a duplicate begins its time anew
	s.wantDuplicate(s.identified("long"), waits)
	time.Sleep(time.Second)
	s.wantStored(s.identified("a"))
	again := s.wantStored(s.identified("long"))
	time.Sleep(time.Hour)
	s.wantDuplicate(s.inAnHour("long"), again)
	time.Sleep(8 * time.Hour)
	if n := len(s.records("t")); n != 4 { // the first one with the ID came, too
		s.Errorf("%d records, want 4", n)
	}
	s.wantStored(s.identified("long")) // it was forgotten long before
}

func delayedIDsByNumber(s *stage) {
	const kept = 20
	s.deduping("t", queue.Dedup{IDs: kept})
	firsts := make([]queue.Receipt, 2*kept)
	for i := range firsts {
		if firsts[i] = s.wantWaiting(s.inAnHour(fmt.Sprint(i))); i%3 == 0 {
			firsts[i] = s.reschedule(firsts[i], in(-1))
			firsts[i] = s.arrives("t", fmt.Sprint(i), firsts[i])
		}
	}
	for i := kept; i < 2*kept; i++ {
		s.wantDuplicate(s.identified(fmt.Sprint(i)), firsts[i])
	}
	for _, i := range []int{1, 2, 4} { // what was forgotten comes, and drives out nothing
		s.arrives("t", fmt.Sprint(i), s.reschedule(firsts[i], in(0)))
	}
	for i := kept; i < 2*kept; i++ {
		if i%3 > 0 {
			s.wantDuplicate(s.identified(fmt.Sprint(i)), firsts[i])
		}
	}
	s.wantStored(s.identified("1"))
	s.wantStored(s.identified(fmt.Sprint(kept))) // which that drove out, and no other one
	for i := kept + 2; i < 2*kept; i++ {
		s.wantDuplicate(s.identified(fmt.Sprint(i)), firsts[i])
	}
}

func delayedIDsOff(s *stage) {
	s.deduping("t", queue.Dedup{Off: true})
	s.wantWaiting(s.inAnHour("a"))
	s.wantWaiting(s.inAnHour("a"))
	s.wantWaiting(s.soon("a"))
	s.wantStored(s.identified("a"))
	s.eventually("both have come", func() bool { return len(s.records("t")) == 2 })
	s.wantDelayed("t", 2)
}

// delayedIDExpires: the ID of what expired stays known.
func delayedIDExpires(s *stage) {
	s.topic("t", 1)
	m := s.soon("a")
	m.Expires = m.NotBefore.Add(1)
	waits := s.wantWaiting(m)
	m = s.inAnHour("b")
	m.NotBefore = in(1000)
	s.wantWaiting(m)
	time.Sleep(time.Until(m.NotBefore))
	s.wantDelayed("t", 0)
	if r := s.publish(s.identified("a"))[0]; !r.Duplicate {
		s.Errorf("%+v, want a duplicate of %+v", r, waits)
	}
}

func delayedIDsInMemory(s *stage) {
	s.inMemory("t")
	a, b := s.wantWaiting(s.inAnHour("a")), s.wantWaiting(s.soon("b"))
	s.wantDuplicate(s.identified("a"), a)
	b = s.arrives("t", "b", b)
	s.wantDuplicate(s.inAnHour("b"), b)
	s.cancel(a)
	s.cancel(s.wantWaiting(s.inAnHour("a")))
	if s.harness.Restart == nil {
		return
	}
	s.restart()
	s.wantStored(s.identified("a"))
	s.wantStored(s.identified("b"))
}

// delayedIDsRestarted: what is known of an ID is known after a restart, whether there was time to note it or not.
func delayedIDsRestarted(s *stage) {
	s.topic("t", 3)
	known := map[string]queue.Receipt{}
	for round := range 4 {
		for i := range 12 {
			id := fmt.Sprint(round, " ", i)
			known[id] = s.wantWaiting(s.inAnHour(id))
			switch i % 4 {
			case 1:
				s.cancel(known[id])
				delete(known, id)
			case 2:
				known[id] = s.reschedule(known[id], time.Now().Add(3*time.Hour))
			case 3:
				known[id] = s.arrives("t", id, s.reschedule(known[id], in(0)))
			}
			if before := fmt.Sprint(round-1, " ", i); round > 0 && i%4 == 0 {
				s.cancel(known[before])
				delete(known, before)
			} else if round > 0 && i%4 == 2 {
				known[before] = s.arrives("t", before, s.reschedule(known[before], in(0)))
			}
		}
		s.restart()
		if round == 1 {
			continue // not asked for in one life
		}
		for id, first := range known {
			s.wantDuplicate(s.inAnHour(id), first)
		}
	}
	for round := range 4 {
		for i := range 12 {
			if id := fmt.Sprint(round, " ", i); known[id] == (queue.Receipt{}) {
				s.wantWaiting(s.inAnHour(id))
			}
		}
	}
	s.restart()
	for id, first := range known {
		s.wantDuplicate(s.identified(id), first)
	}
}

func delayedIDsDeleted(s *stage) {
	s.topic("t", 1)
	s.topic("u", 1)
	u := s.inAnHour("a")
	u.Topic = "u"
	waits, kept := s.wantWaiting(s.inAnHour("a")), s.wantWaiting(u)
	s.deleteTopic("t")
	s.topic("t", 1)
	again := s.wantWaiting(s.inAnHour("a"))
	s.cancel(waits) // an orphan
	s.wantDuplicate(s.identified("a"), again)
	s.wantDuplicate(u, kept)
	s.cancel(again)
	s.wantStored(s.identified("a"))
	if infos, err := s.broker.Admin().Topics(s.within()); err != nil || len(infos) != 2 {
		s.Errorf("%d topics are listed, %v; want 2, and not the engine's own", len(infos), err)
	}
}
