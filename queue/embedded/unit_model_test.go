package embedded

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/leatmq/leat/queue"
)

// unitStep is a step of a script: what is done, and three numbers that say how.
type unitStep struct {
	what    string
	a, b, c int
}

// unitFigures counts what happened in all scripts.
type unitFigures struct {
	scripts, published, duplicates, units, failed, received, done, outputs, stale, crashes, again atomic.Int64
}

// TestUnitsFollowTheModel plays scripts of publishes, batches, transactions that commit or fail, and a group whose messages are done, with and without outputs and marks, fail or are given back, with handles that are
// good or not, while the queue is closed, or killed or loses power, and opened again. A plain model says what each call must come to, and what is in each partition after each open: of
// what was acknowledged nothing is missing or there twice, a unit is there whole or not at all, a key is in order, and an ID and a mark count once.
func TestUnitsFollowTheModel(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	checks.Value.Set(strconv.Itoa(sized(t, 30, 100, 50_000)))
	defer checks.Value.Set(before)
	step := rapid.Custom(func(rt *rapid.T) unitStep {
		return unitStep{
			rapid.SampledFrom(unitKinds).Draw(rt, "what"),
			rapid.IntRange(0, 99).Draw(rt, "a"), rapid.IntRange(0, 99).Draw(rt, "b"), rapid.IntRange(0, 99).Draw(rt, "c"),
		}
	})
	f := &unitFigures{}
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(step, 15, 100).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(t *testing.T) { err = playUnits(t, steps, f) })
		if err != nil {
			rt.Fatal(err)
		}
		f.scripts.Add(1)
	})
	t.Logf("%d scripts: %d published, %d duplicates, %d transactions and batches, %d failed, %d received, %d done, %d of them with outputs, %d handles that were not current, %d crashes, %d done again after one; lost 0",
		f.scripts.Load(), f.published.Load(), f.duplicates.Load(), f.units.Load(), f.failed.Load(), f.received.Load(), f.done.Load(), f.outputs.Load(), f.stale.Load(), f.crashes.Load(), f.again.Load())
	for _, n := range []*atomic.Int64{&f.published, &f.duplicates, &f.units, &f.failed, &f.received, &f.done, &f.outputs, &f.stale, &f.crashes} {
		if n.Load() == 0 {
			t.Error("17: a count is zero")
		}
	}
}

var unitKinds = []string{"publish", "publish", "batch", "transact", "transact", "receive", "receive", "receive", "receive", "settle", "settle", "settle", "settle", "settle", "reopen", "crash"}

// sureness says whether a message of the group is done.
type sureness uint8

const (
	undone sureness = iota
	maybe           // it was done, and that need not have been durable when the power went away
	done
)

// unitMessage is a message of the topic that the group reads.
type unitMessage struct {
	key, value string
	done       sureness
	durable    bool // that it is done
	failed     int  // attempts; -1: not known
	holder     int  // token; 0: nobody
}

// unitModel is what there must be.
type unitModel struct {
	logs  map[string][]string // values by partition, as "in/0"
	group []*unitMessage      // in the order of publishing
	ids   map[string]queue.Position
	marks map[string]bool
	next  int // number of the next value
}

func newUnitModel() *unitModel {
	return &unitModel{logs: map[string][]string{}, ids: map[string]queue.Position{}, marks: map[string]bool{}}
}

// message makes one: for "in" with one of four keys, which say the partition, and perhaps an ID; for "out" with neither.
func (m *unitModel) message(topic string, n int) queue.Message {
	m.next++
	x := queue.Message{Topic: topic, Value: fmt.Append(nil, m.next)}
	if topic == "out" {
		return x
	}
	key := n % 4
	x.Key, x.Partition = fmt.Append(nil, key), queue.PinTo(key%2)
	if n%3 == 0 {
		x.ID = fmt.Sprint("id", n%7)
	}
	return x
}

// stored notes that x is there, at r, which has to be right.
func (m *unitModel) stored(x queue.Message, r queue.Receipt, f *unitFigures) error {
	if at, known := m.ids[x.ID]; x.ID != "" && known || r.Duplicate {
		if f.duplicates.Add(1); !known || !r.Duplicate || r.Position != at {
			return fmt.Errorf("ID %s: %+v, want a duplicate of the one at %v: %v", x.ID, r, at, known)
		}
		return nil
	}
	f.published.Add(1)
	m.append(x)
	if x.ID != "" {
		m.ids[x.ID] = r.Position
	}
	return nil
}

func (m *unitModel) append(x queue.Message) {
	p, _ := x.Partition.N()
	log := fmt.Sprintf("%s/%d", x.Topic, p)
	m.logs[log] = append(m.logs[log], string(x.Value))
	if x.Topic == "in" {
		m.group = append(m.group, &unitMessage{key: string(x.Key), value: string(x.Value)})
	}
}

// twice tells whether two of ms have one ID, which is ErrConflict.
func twice(ms []queue.Message) bool {
	seen := map[string]bool{}
	for i := range ms {
		if ms[i].ID != "" && seen[ms[i].ID] {
			return true
		}
		seen[ms[i].ID] = true
	}
	return false
}

// received judges a hand-over, and notes that token has it.
func (m *unitModel) received(h *queue.Handover, token int, f *unitFigures) error {
	for _, x := range m.group {
		switch {
		case x.value == string(h.Value):
			return x.hand(h, token, f)
		case x.key != string(h.Key) || x.done == done:
		case x.done == maybe: // in a key all is done in order, so this was durable
			x.done, x.durable = done, true
		default:
			return fmt.Errorf("%s, value %s, of key %s comes before value %s", h.Position, h.Value, h.Key, x.value)
		}
	}
	return fmt.Errorf("%s, value %s: nobody has published it", h.Position, h.Value)
}

func (x *unitMessage) hand(h *queue.Handover, token int, f *unitFigures) error {
	f.received.Add(1)
	switch {
	case x.done == done:
		return fmt.Errorf("value %s comes, and was done", x.value)
	case x.holder != 0:
		return fmt.Errorf("value %s comes, and somebody has it", x.value)
	case x.failed >= 0 && h.Attempt != x.failed+1:
		return fmt.Errorf("value %s comes at attempt %d, and has failed %d times", x.value, h.Attempt, x.failed)
	case x.done == maybe:
		f.again.Add(1)
	}
	x.done, x.holder, x.failed = undone, token, h.Attempt-1
	return nil
}

// close has a queue closed, or crash.
func (m *unitModel) close(crashed bool) {
	for _, x := range m.group {
		x.holder = 0
		switch {
		case !crashed:
			x.durable = x.done == done
		case x.done == done && !x.durable:
			x.done = maybe
		}
		if crashed {
			x.failed = -1
		}
	}
}

var errUnit = errors.New("a unit that fails")
