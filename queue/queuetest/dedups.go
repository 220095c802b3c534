package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func dedupCases() []testCase {
	needs := []queue.Feature{queue.CanDedup}
	batch := []queue.Feature{queue.CanDedup, queue.CanBatch}
	return []testCase{
		{name: "DuplicatesGetTheFirstReceipt", run: duplicates, needs: needs},
		{name: "IDsAreBytes", run: idsAreBytes, needs: needs},
		{name: "IDsThatAreTooLong", run: longIDs, needs: needs},
		{name: "IDsComeBack", run: idsComeBack, needs: needs},
		{name: "MessagesKeepTheirIDOnTheWay", run: idsOnTheWay, needs: needs},
		{name: "DuplicatesInBatches", run: duplicatesInBatches, needs: batch},
		{name: "TwoOfOneIDInABatch", run: conflicts, needs: batch},
		{name: "DuplicatesAtOnce", run: duplicatesAtOnce, needs: needs},
		{name: "BatchesWithTheSameIDsAtOnce", run: sameIDsAtOnce, needs: batch},
		{name: "IDsAreForgottenWithTime", run: idsGrowOld, needs: needs, asks: asksBubble},
		{name: "IDsAreForgottenByNumber", run: idsByNumber, needs: needs},
		{name: "IDsThatAreNames", run: idsOff, needs: needs},
		{name: "IDsOutliveTheirMessages", run: idsOutlive, needs: []queue.Feature{queue.CanDedup, queue.CanRetain}},
		{name: "IDsInMemory", run: idsInMemory, needs: []queue.Feature{queue.CanDedup, queue.CanStoreInMemory}},
		{name: "IDsAfterARestart", run: idsRestarted, needs: needs, asks: asksRestart},
		{name: "IDsOfADeletedTopic", run: idsDeleted, needs: needs, asks: asksTopics},
	}
}

// identified is a message of topic "t" with an ID and a value that no other one has.
func (s *stage) identified(id string) queue.Message {
	return queue.Message{Topic: "t", ID: id, Value: fmt.Append(nil, "value ", s.groups.Add(1))}
}

// wantDuplicate publishes m and wants the receipt of the first of its ID.
func (s *stage) wantDuplicate(m queue.Message, first queue.Receipt) {
	s.Helper()
	first.Duplicate = true
	if r := s.publish(m)[0]; r != first {
		s.Errorf("ID %q in %q: receipt %+v, want the first one's, %+v", m.ID, m.Topic, r, first)
	}
}

// wantStored publishes m and wants it stored.
func (s *stage) wantStored(m queue.Message) queue.Receipt {
	s.Helper()
	r := s.publish(m)[0]
	if r.Duplicate || r.Position.IsZero() {
		s.Errorf("ID %q in %q: receipt %+v, want it stored", m.ID, m.Topic, r)
	}
	return r
}

// wantCount wants so many messages in a topic.
func (s *stage) wantCount(topic string, want int) {
	s.Helper()
	if got := len(s.delivered(topic)); got != want {
		s.Errorf("%d messages in %q, want %d", got, topic, want)
	}
}

func duplicates(s *stage) {
	s.topic("t", 4)
	s.topic("u", 1)
	a := s.wantStored(s.identified("a"))
	b := s.wantStored(s.identified("b"))
	for p := range 4 {
		m := s.identified("a")
		m.Partition = queue.PinTo(p)
		s.wantDuplicate(m, a)
	}
	s.wantDuplicate(s.identified("b"), b)
	s.wantStored(queue.Message{Topic: "u", ID: "a"}) // IDs are a topic's own
	for range 2 {
		s.wantStored(s.identified("")) // no ID
	}
	s.wantCount("t", 4)
	s.wantCount("u", 1)
	for _, t := range s.broker.Stats().Topics {
		if t.Name == "t" && (t.Published != 4 || t.Duplicates != 5) {
			s.Errorf("counted: %+v, want 4 published and 5 duplicates", t)
		}
	}
}

func idsAreBytes(s *stage) {
	s.topic("t", 2)
	ids := []string{
		"a", "A", "a ", " a", "a\x00", "\x00", "\x00a", "\xff", "\xff\xfe", "ä", "a\u0308", "ß", "ss", "1", "01", "1.0", "'", "''", `\`, "%", "NULL", "a\n",
		strings.Repeat("i", queue.MaxIDBytes), strings.Repeat("i", queue.MaxIDBytes-1), strings.Repeat("i", queue.MaxIDBytes-1) + "j",
	}
	firsts := map[string]queue.Receipt{}
	for _, id := range ids {
		firsts[id] = s.wantStored(s.identified(id))
	}
	for _, id := range ids {
		s.wantDuplicate(s.identified(id), firsts[id])
	}
	s.wantCount("t", len(ids))
}

func longIDs(s *stage) {
	s.topic("t", 1)
	long := s.identified(strings.Repeat("i", queue.MaxIDBytes+1))
	_, err := s.broker.Publish(s.within(), long)
	s.wantError("an ID that is too long", err, queue.ErrTooLarge)
	_, err = s.broker.PublishBatch(s.within(), long)
	s.wantError("an ID that is too long, in a batch", err, queue.ErrTooLarge)
	for field, d := range map[string]queue.Dedup{
		"Dedup.Window": {Window: -1}, "Dedup.IDs": {IDs: -1},
	} {
		s.wantFault("a bad "+field, s.broker.EnsureTopic(s.within(), "u", queue.TopicConfig{Dedup: d}), field)
		s.wantFault("with Off", s.broker.EnsureTopic(s.within(), "u", queue.TopicConfig{Dedup: queue.Dedup{Off: true, Window: time.Hour, IDs: 1}}), field)
	}
	s.wantCount("t", 0)
}

func idsComeBack(s *stage) {
	s.topic("t", 1)
	named, nameless := s.identified("the name"), s.identified("")
	named.Headers = queue.Headers{}.With("a", "b")
	s.publish(named, nameless)
	ds := s.delivered("t")
	if len(ds) != 2 {
		s.Fatalf("%d messages, want 2", len(ds))
	}
	s.wantSame("with an ID", ds[0].Message, named)
	s.wantSame("without", ds[1].Message, nameless)
	if got := ds[0].Identity(); got != "the name" {
		s.Errorf("its identity is %q, want its ID", got)
	}
	if got := ds[1].Identity(); got != ds[1].Position.String() || got == "" {
		s.Errorf("without an ID the identity is %q, want the position, %s", got, ds[1].Position)
	}
	if s.can(queue.CanRead) {
		s.wantSame("read", s.records("t")[0].Message, named)
	}
}

// idsOnTheWay: what was delivered can be published as it is, to another topic, where the attempts of one message are one.
func idsOnTheWay(s *stage) {
	s.topic("t", 1)
	s.topic("u", 1)
	s.publish(s.identified("a"), s.identified("b"))
	var attempts sync.Map
	c := s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}, func(ctx context.Context, d *queue.Delivery) error {
		m := d.Message
		m.Topic = "u"
		if _, err := s.broker.Publish(ctx, m); err != nil {
			return err
		}
		if _, again := attempts.LoadOrStore(d.ID, true); !again {
			return errors.New("after the publish")
		}
		return nil
	})
	s.idle("g")
	c.stop()
	s.wantCount("u", 2)
}

func duplicatesInBatches(s *stage) {
	s.topic("t", 3)
	s.topic("u", 2)
	first := s.wantStored(s.identified("a"))
	for round := range 2 {
		ms := []queue.Message{
			s.identified("b"), s.identified("a"), s.identified(""), s.identified("c"), {Topic: "u", ID: "a"}, {Topic: "u", ID: "b"},
		}
		rs, err := s.broker.PublishBatch(s.within(), ms...)
		if err != nil {
			s.Fatal(err)
		}
		for i, r := range rs {
			before := round > 0 && ms[i].ID != "" || i == 1
			if r.Duplicate != before || r.Position.IsZero() || r.Position.Topic() != ms[i].Topic || r.Durability == 0 {
				s.Errorf("round %d, message %d: %+v, want a duplicate: %v", round, i, r, before)
			}
		}
		if rs[1].Position != first.Position {
			s.Errorf("the duplicate is at %s, the first at %s", rs[1].Position, first.Position)
		}
	}
	rs, err := s.broker.PublishBatch(s.within(), s.identified("c"), s.identified("b"))
	if err != nil || !rs[0].Duplicate || !rs[1].Duplicate {
		s.Errorf("a batch of nothing but duplicates: %+v, %v", rs, err)
	}
	s.wantCount("t", 5)
	s.wantCount("u", 2)
}

func conflicts(s *stage) {
	s.topic("t", 3)
	s.topic("u", 1)
	for _, ms := range [][]queue.Message{
		{s.identified("a"), s.identified("a")},
		{s.identified("b"), s.identified("a"), {Topic: "u", ID: "a"}, s.identified("b")},
	} {
		rs, err := s.broker.PublishBatch(s.within(), ms...)
		if s.wantError("two with one ID", err, queue.ErrConflict); rs != nil {
			s.Errorf("receipts %+v of what was refused", rs)
		}
	}
	s.wantCount("t", 0)
	s.wantStored(s.identified("a")) // nothing of them is remembered
	s.wantStored(s.identified("b"))
	if _, err := s.broker.PublishBatch(s.within(), s.identified(""), s.identified("")); err != nil {
		s.Errorf("two without an ID: %v", err)
	}
}

// duplicatesAtOnce: of all that come with an ID at a time one is stored, and all get its place.
func duplicatesAtOnce(s *stage) {
	const publishers, ids = 8, 40
	s.topic("t", 3)
	receipts := make([][ids]queue.Receipt, publishers)
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range ids {
				m := queue.Message{Topic: "t", ID: fmt.Sprint(i), Partition: queue.PinTo(p % 3)}
				r, err := s.broker.Publish(s.Context(), m)
				if err != nil {
					s.Error(err)
				}
				receipts[p][i] = r
			}
		})
	}
	all.Wait()
	for i := range ids {
		stored := 0
		for p := range publishers {
			if r := receipts[p][i]; !r.Duplicate {
				stored++
			}
			if receipts[p][i].Position != receipts[0][i].Position {
				s.Errorf("ID %d is at %s and at %s", i, receipts[0][i].Position, receipts[p][i].Position)
			}
		}
		if stored != 1 {
			s.Errorf("ID %d: %d publishes say that they stored it", i, stored)
		}
	}
	s.wantCount("t", ids)
}

// sameIDsAtOnce: batches that have IDs in common, in every order, do not wait for each other for ever, and each ID is stored once.
func sameIDsAtOnce(s *stage) {
	const publishers, rounds, ids = 6, 15, 5
	s.topic("t", 2)
	s.topic("u", 1)
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range rounds {
				var ms []queue.Message
				for n := range ids {
					id := fmt.Sprint(i, " ", n)
					ms = append(ms, queue.Message{Topic: "t", ID: id}, queue.Message{Topic: "u", ID: id})
				}
				if p%2 == 0 {
					slices.Reverse(ms)
				}
				if _, err := s.broker.PublishBatch(s.within(), ms...); err != nil {
					s.Error(err)
				}
			}
		})
	}
	all.Wait()
	s.wantCount("t", rounds*ids)
	s.wantCount("u", rounds*ids)
}

func (s *stage) deduping(topic string, d queue.Dedup) {
	s.Helper()
	if err := s.broker.EnsureTopic(s.within(), topic, queue.TopicConfig{Partitions: 2, Dedup: d}); err != nil {
		s.Fatal(err)
	}
}

func idsGrowOld(s *stage) {
	s.deduping("t", queue.Dedup{Window: time.Hour})
	first := s.wantStored(s.identified("a"))
	time.Sleep(30 * time.Minute)
	b := s.wantStored(s.identified("b"))
	time.Sleep(30*time.Minute - time.Second)
	s.wantDuplicate(s.identified("a"), first) // which does not begin its time anew
	time.Sleep(time.Second)
	again := s.wantStored(s.identified("a"))
	s.wantDuplicate(s.identified("a"), again)
	s.wantDuplicate(s.identified("b"), b)
	s.wantCount("t", 3)
}

func idsByNumber(s *stage) {
	const kept = 20
	s.deduping("t", queue.Dedup{IDs: kept})
	firsts := make([]queue.Receipt, 3*kept)
	for i := range firsts {
		firsts[i] = s.wantStored(s.identified(fmt.Sprint(i)))
	}
	for i := 2 * kept; i < 3*kept; i++ {
		s.wantDuplicate(s.identified(fmt.Sprint(i)), firsts[i])
	}
	s.wantStored(s.identified("0"))
	s.wantStored(s.identified(fmt.Sprint(2 * kept))) // which that drove out
}

func idsOff(s *stage) {
	s.deduping("t", queue.Dedup{Off: true})
	s.wantStored(s.identified("a"))
	s.wantStored(s.identified("a"))
	if s.can(queue.CanBatch) {
		if _, err := s.broker.PublishBatch(s.within(), s.identified("a"), s.identified("a")); err != nil {
			s.Error(err)
		}
	}
	for _, d := range s.delivered("t") {
		if d.ID != "a" {
			s.Errorf("%s has the ID %q, want what was published", d.Position, d.ID)
		}
	}
}

// idsOutlive: a message that was removed is not stored again.
func idsOutlive(s *stage) {
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Retention: queue.Retention{Records: 1}}); err != nil {
		s.Fatal(err)
	}
	first := s.wantStored(s.identified("a"))
	for range 20 {
		s.publish(s.identified(""))
	}
	s.wantDuplicate(s.identified("a"), first)
}

func idsInMemory(s *stage) {
	s.inMemory("t")
	first := s.wantStored(s.identified("a"))
	s.wantDuplicate(s.identified("a"), first)
	if s.harness.Restart == nil {
		return
	}
	s.restart()
	if r := s.wantStored(s.identified("a")); r.Position == first.Position { // its message is gone
		s.Errorf("the position %s is used again", r.Position)
	}
}

// idsRestarted: what was published before a restart is a duplicate after it, whether there was time to note it or not, and what was not is not.
func idsRestarted(s *stage) {
	s.topic("t", 3)
	firsts := map[string]queue.Receipt{}
	for round := range 4 {
		for i := range 30 {
			id := fmt.Sprint(round, " ", i)
			firsts[id] = s.wantStored(s.identified(id))
		}
		for range 10 {
			s.wantStored(s.identified(""))
		}
		if round != 2 { // not asked for in one life
			for id, first := range firsts {
				s.wantDuplicate(s.identified(id), first)
			}
		}
		s.restart()
	}
	for id, first := range firsts {
		s.wantDuplicate(s.identified(id), first)
	}
	s.wantCount("t", 4*40)
}

func idsDeleted(s *stage) {
	s.topic("t", 1)
	s.topic("u", 1)
	first := s.wantStored(s.identified("a"))
	kept := s.wantStored(queue.Message{Topic: "u", ID: "a"})
	s.deleteTopic("t")
	_, err := s.broker.Publish(s.within(), s.identified("a"))
	s.wantError("publishing to what was deleted", err, queue.ErrNotFound)
	s.topic("t", 1)
	if again := s.wantStored(s.identified("a")); again.Position == first.Position {
		s.Errorf("position %s is used again", first.Position)
	}
	s.wantDuplicate(queue.Message{Topic: "u", ID: "a"}, kept)
	if s.harness.Restart == nil {
		return
	}
	s.restart()
	s.wantDuplicate(queue.Message{Topic: "u", ID: "a"}, kept)
}
