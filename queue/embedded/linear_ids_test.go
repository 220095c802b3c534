package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/leatmq/leat/queue"
)

// idAnswer is a receipt.
type idAnswer struct {
	at        queue.Position
	duplicate bool
}

// idState is where the message of an ID is.
type idState struct {
	at    queue.Position // zero: not known
	there bool
}

func stepID(s idState, answer any) []any {
	if answer == (unsure{}) {
		if s.there {
			return []any{s}
		}
		return []any{s, idState{there: true}}
	}
	a := answer.(idAnswer)
	if a.duplicate != s.there || s.there && !s.at.IsZero() && s.at != a.at {
		return nil
	}
	return []any{idState{a.at, true}}
}

func idLine() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: by(func(op porcupine.Operation) (string, bool) { return op.Input.(string), true }),
		Init:      func() []any { return []any{idState{}} },
		Step:      func(state, _, output any) []any { return stepID(state.(idState), output) },
	}
	return m.ToModel()
}

// TestIDsAreLinearizable has clients publish the same few IDs, while the topic is given partitions: one publish of each is the first, all others get its receipt, also when the power went away.
func TestIDsAreLinearizable(t *testing.T) {
	x := linearTest{
		model:  idLine(),
		topics: map[string]queue.TopicConfig{"t": {Partitions: 2}},
		grows:  true,
		client: func(s *site, l *line, client int, rng *rand.Rand) {
			for n := range 20 {
				s.growSome(rng, 5)
				b, id := s.now(), fmt.Sprint(n/2+rng.IntN(2)) // all clients come to the same ones at about the same time
				l.call(client, id, func() any {
					r, err := b.Publish(context.Background(), queue.Message{Topic: "t", ID: id, Value: []byte(id)})
					if err != nil {
						return outcome(err)
					}
					return idAnswer{r.Position, r.Duplicate}
				})
				s.next(b)
			}
		},
		end: func(s *site, _ *line) {
			seen := map[string]bool{}
			for r, err := range s.now().Read(context.Background(), queue.Range{Topic: "t"}) {
				if err != nil {
					s.t.Fatal(err)
				}
				if seen[r.ID] {
					s.t.Errorf("3: ID %s is there twice", r.ID)
				}
				seen[r.ID] = true
			}
		},
	}
	x.run(t, sized(t, 6, 60, 20_000))
}

func TestIDModelSeesWhatIsWrong(t *testing.T) {
	at := func(offset int64) queue.Position { return queue.PositionAt("t", 0, offset) }
	publish := func(a any) any { return [2]any{"id", a} }
	wantWrong(t, idLine(), map[string][]any{
		"an ID is stored twice":                           {publish(idAnswer{at: at(0)}), publish(idAnswer{at: at(1)})},
		"a duplicate of nothing":                          {publish(idAnswer{at(0), true})},
		"a duplicate gets another receipt":                {publish(idAnswer{at: at(0)}), publish(idAnswer{at(1), true})},
		"two duplicates of an unknown outcome get two":    {publish(unsure{}), publish(idAnswer{at(0), true}), publish(idAnswer{at(1), true})},
		"an unknown outcome is forgotten once it was met": {publish(unsure{}), publish(idAnswer{at(0), true}), publish(idAnswer{at: at(1)})},
	})
}

// markAnswer is what a transaction was told of its keys, by bits, and whether it committed.
type markAnswer struct {
	first     int
	committed bool
}

// openMark is the answer of a transaction whose commit has an unknown outcome.
type openMark struct{ first int }

func (openMark) open() {}

// stepMarks has the marks that there are, by bits; keys are those of the transaction.
func stepMarks(marked, keys int, answer any) []any {
	a, _ := answer.(markAnswer)
	open, maybe := answer.(openMark)
	if maybe {
		a.first = open.first
	}
	switch {
	case a.first != keys&^marked:
		return nil
	case maybe:
		return []any{marked, marked | keys}
	case a.committed:
		return []any{marked | keys}
	}
	return []any{marked}
}

func markModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{0} },
		Step: func(state, input, output any) []any { return stepMarks(state.(int), input.(int), output) },
	}
	return m.ToModel()
}

var errOver = errors.New("gives up")

// TestTransactionsAreLinearizable has clients, while the topic is given partitions, mark two of a few keys in a transaction, which publishes a message for each that it is the first of, and commits or
// fails: all marks of one are there at once or never, and one is the first; and so are its messages.
func TestTransactionsAreLinearizable(t *testing.T) {
	x := linearTest{
		model:  markModel(),
		topics: map[string]queue.TopicConfig{"t": {Partitions: 2}},
		grows:  true,
		client: func(s *site, l *line, client int, rng *rand.Rand) {
			for n := range 12 {
				s.growSome(rng, 5)
				b, i, j, fails := s.now(), n/2+rng.IntN(2), n/2+2+rng.IntN(2), rng.IntN(3) == 0
				l.call(client, 1<<i|1<<j, func() any { return transact(b, i, j, fails) })
				s.next(b)
			}
		},
		end: func(s *site, _ *line) { wantOneEach(s) },
	}
	x.run(t, sized(t, 6, 60, 20_000))
}

// transact is one of them. What it is told is what it was told of both keys; one that was told of one alone, since it had to be done again, has no answer.
func transact(b *queue.Broker, i, j int, fails bool) any {
	ctx, told := context.Background(), 0
	_, err := b.Transact(ctx, func(tx *queue.Tx) error {
		for _, k := range []int{i, j} {
			first, err := tx.Mark(ctx, "s", fmt.Sprint(k))
			if err != nil {
				return errors.Join(errOver, err)
			}
			if !first {
				continue
			}
			told |= 1 << k
			if err := tx.Publish(queue.Message{Topic: "t", Value: fmt.Append(nil, k), Partition: queue.PinTo(k % 2)}); err != nil {
				return errors.Join(errOver, err)
			}
		}
		if fails {
			return errOver
		}
		return nil
	})
	switch {
	case err == nil:
		return markAnswer{told, true}
	case err == errOver:
		return markAnswer{told, false}
	case errors.Is(err, errOver): // nothing was committed, and not all was told
		return nil
	case errors.Is(err, queue.ErrIndeterminate):
		return openMark{told}
	}
	return nil
}

// wantOneEach wants each key that is marked to have its message, once, and no other to have one.
func wantOneEach(s *site) {
	got := map[string]int{}
	for r, err := range s.now().Read(context.Background(), queue.Range{Topic: "t"}) {
		if err != nil {
			s.t.Fatal(err)
		}
		got[string(r.Value)]++
	}
	for k := range 16 {
		first := false
		_, err := s.now().Transact(context.Background(), func(tx *queue.Tx) (err error) {
			if first, err = tx.Mark(context.Background(), "s", fmt.Sprint(k)); err == nil {
				err = errOver
			}
			return err
		})
		want := 1
		if first {
			want = 0
		}
		if !errors.Is(err, errOver) || got[fmt.Sprint(k)] != want {
			s.t.Errorf("9: key %d has %d messages, want %d (%v); all: %s", k, got[fmt.Sprint(k)], want, err, strings.TrimPrefix(fmt.Sprint(got), "map"))
		}
	}
}

func TestMarkModelSeesWhatIsWrong(t *testing.T) {
	tx := func(keys int, a any) any { return [2]any{keys, a} }
	wantWrong(t, markModel(), map[string][]any{
		"two are the first":                     {tx(1, markAnswer{1, true}), tx(1, markAnswer{1, true})},
		"half of a transaction":                 {tx(3, markAnswer{3, true}), tx(3, markAnswer{1, true})},
		"what failed has marked":                {tx(1, markAnswer{1, false}), tx(1, markAnswer{0, true})},
		"half of one with an unknown outcome":   {tx(3, openMark{3}), tx(1, markAnswer{0, true}), tx(2, markAnswer{2, true})},
		"nobody was the first":                  {tx(1, markAnswer{0, true})},
		"what was marked by one is the first's": {tx(1, markAnswer{1, true}), tx(3, markAnswer{3, true})},
	})
}
