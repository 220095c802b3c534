package embedded

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/ledger"
	"github.com/leatmq/leat/storage"
)

// The ID of a message that is delayed is known to its topic while the message is not in its log. So it is in another log, that of IDs that wait: a topic of the engine's own beside the
// topic, with one partition, made when it is first needed. Each record has an ID in its headers, and says under which timer its message waits, or that it was cancelled. It is stored
// in one entry with that, so neither is there without the other. The table of the topic learns from it as from the topic's own partitions, of which it is one that no topic has.

const (
	waitNames = internalPrefix + "waiting." // begins the names of the topics; the ID of the first partition of the other topic follows
	waitSlack = time.Minute                 // so much longer than its ID is remembered a record is kept
)

func waitName(first storage.PartitionID) string {
	return waitNames + strconv.FormatUint(uint64(first), 10)
}

// What a record in a log of IDs that wait says: the first byte of its value. A TimerID follows.
const (
	waitsAs      = 'w' // the message waits under that timer
	wasCancelled = 'c'
)

// The partitions of entries that are of none: numbers that no topic has, however many it is given.
const (
	partWaiting = queue.MaxPartitions     // of messages that wait; their offsets are those of the log of IDs that wait
	partEnded   = queue.MaxPartitions + 1 // of entries in the index that end one of a message that waits, which has the same offset
	partNoted   = queue.MaxPartitions + 2 // added to the partitions of entries in the index that come in place of one of a message that waits
)

// waitStrategy is how the log of IDs that wait is stored, and what waits of t is.
func (t *topic) waitStrategy() storage.Strategy {
	m := t.manner.Load()
	_, s := classOf(&m.strategy)
	s.Cleanup = storage.CleanupPolicy{MaxAge: m.config.Dedup.Window + waitSlack}
	return s
}

// waitLog returns the log of IDs that wait, if there is one.
func (s *ids) waitLog() (p storage.PartitionID, ok bool) {
	if t := s.waits.Load(); t != nil {
		return t.First, true
	}
	t, ok := s.engine.store.Topic(waitName(s.topic.First))
	if ok {
		s.waits.Store(&t)
	}
	return t.First, ok
}

// makeWaitLog makes it if there is none.
func (s *ids) makeWaitLog(ctx context.Context) (storage.PartitionID, error) {
	if p, ok := s.waitLog(); ok {
		return p, nil
	}
	strategy := s.topic.waitStrategy()
	t, err := s.engine.store.CreateTopic(ctx, storage.TopicSpec{Name: waitName(s.topic.First), Partitions: 1, Strategy: strategy})
	if err != nil && !errors.Is(err, storage.ErrExists) {
		return 0, fmt.Errorf("queue: IDs of topic %q: %w", s.topic.Name, translate(err))
	}
	if err == nil {
		s.engine.cleaned(&strategy)
		s.waits.Store(&t)
	}
	p, ok := s.waitLog()
	if !ok {
		return 0, fmt.Errorf("%w: topic %q, which was deleted", queue.ErrNotFound, s.topic.Name)
	}
	return p, nil
}

// waitRecord is a record of the log of IDs that wait. The headers are those of the ID.
func waitRecord(says byte, t queue.TimerID, headers storage.Headers) storage.Record {
	return storage.Record{Value: append([]byte{says}, t...), Headers: headers}
}

// waitRecord is that of a message with an ID that is about to wait, and is published now. It is made of p's memory.
func (p *publish) waitRecord(id string, now time.Time, t queue.TimerID) storage.Record {
	from := len(p.headers)
	p.headers = appendTime(p.headers, sinceHeader, now)
	p.headers = storage.AppendHeader(p.headers, idHeader, []byte(id))
	to := len(p.headers)
	p.headers = append(append(p.headers, waitsAs), t...)
	return storage.Record{Headers: p.headers[from:to:to], Value: p.headers[to:len(p.headers):len(p.headers)]}
}

// waitHeaders returns what of the headers of a delayed message tells of its ID.
func waitHeaders(of storage.Headers) (kept storage.Headers) {
	for key, value := range of.All() {
		if key == idHeader || key == sinceHeader {
			kept = storage.AppendHeader(kept, key, value)
		}
	}
	return kept
}

// timerOf returns the timer that a record of the log of IDs that wait speaks of, and what it says of it.
func timerOf(r *storage.Record) (t queue.TimerID, says byte) {
	if len(r.Value) == 0 {
		return "", 0
	}
	return queue.TimerID(r.Value[1:]), r.Value[0]
}

// timerAt returns the timer of a message that waits, of which the entry has that offset; "" if that is damaged and was given up.
func (s *ids) timerAt(offset int64) (queue.TimerID, error) {
	p, ok := s.waitLog()
	if !ok {
		return "", nil
	}
	rs, _, err := s.engine.store.Read(nil, p, offset, 1)
	if err != nil || len(rs) == 0 || rs[0].Offset != offset {
		return "", err
	}
	t, _ := timerOf(&rs[0])
	return t, nil
}

// sameTimer tells whether both are of one message.
func sameTimer(a, b queue.TimerID) bool {
	class, one, ok := parseTimer(a)
	other, two, known := parseTimer(b)
	return ok && known && class == other && one.Same(two)
}

// found is an entry that was read from a log, and not learned yet.
type found struct {
	ledger.Entry
	from  origin
	timer queue.TimerID // of a message that waits
}

// readWaiting returns the entries of messages that waited where the log of IDs that wait ends, as far as the index does not have them. What else it finds is learned at once.
func (s *ids) readWaiting(ctx context.Context, from int64, c clock) (left []found, err error) {
	p, ok := s.waitLog()
	if !ok {
		return nil, nil
	}
	b, err := s.engine.store.Bounds(p)
	if err != nil {
		return nil, err
	}
	young, err := s.engine.store.OffsetAt(p, c.wall.Add(-s.window()))
	if err != nil {
		return nil, err
	}
	last := map[ledger.ID]found{}
	var order []ledger.ID
	err = s.read(ctx, p, max(from, young), b.Next, func(r *storage.Record) error {
		text, ok := idOf(r.Headers)
		if !ok {
			return nil
		}
		id := ledger.Of(text)
		born, _ := bornOf(r)
		now := found{Entry: ledger.Entry{ID: id, Born: born, Offset: r.Offset, Partition: partWaiting}, from: ofMessage}
		var says byte
		now.timer, says = timerOf(r)
		before, again := last[id]
		switch _, t, _ := parseTimer(now.timer); {
		case says == waitsAs && t.Version == 0:
			order = append(order, id)
			last[id] = now
		case again && sameTimer(before.timer, now.timer):
			if last[id] = now; says == wasCancelled {
				delete(last, id)
			}
		}
		return s.altered(id, now.timer, says, r.Offset)
	})
	for _, id := range order {
		if f, ok := last[id]; ok {
			left = append(left, f)
			delete(last, id)
		}
	}
	return left, err
}

// dropWaiting deletes the logs of IDs that wait of topics that are gone.
func (e *engine) dropWaiting(ctx context.Context) (all error) {
	ts := e.store.Topics()
	firsts := map[string]bool{}
	for _, t := range ts {
		firsts[waitName(t.First)] = true
	}
	for _, t := range ts {
		if !strings.HasPrefix(t.Name, waitNames) || firsts[t.Name] {
			continue
		}
		if err := e.store.DeleteTopic(ctx, t.Name); err != nil && !errors.Is(err, storage.ErrNotFound) {
			all = errors.Join(all, translate(err))
		}
	}
	return all
}

// alterWaiting has the log of IDs that wait be stored as what waits of t is.
func (e *engine) alterWaiting(ctx context.Context, t *topic) error {
	there, ok := e.store.Topic(waitName(t.First))
	if want := t.waitStrategy(); !ok || there.Strategy == want {
		return nil
	}
	err := e.store.AlterTopic(ctx, waitName(t.First), t.waitStrategy(), nil)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return translate(err)
}
