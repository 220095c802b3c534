package embedded

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/leatmq/leat/queue"
)

// logCall publishes a value to a partition, or reads all that it has.
type logCall struct {
	partition int
	value     string // "": reads
}

// logAnswer is an offset, the last one of what was read, and that.
type logAnswer struct {
	offset int64
	read   string
}

// logState is what a partition has: its values, and the last offset that is known.
type logState struct {
	values string
	last   int64
}

func stepLog(s logState, c logCall, answer any) []any {
	appended := logState{s.values + c.value + " ", s.last}
	if answer == (unsure{}) {
		return []any{s, appended}
	}
	a := answer.(logAnswer)
	switch {
	case c.value != "" && a.offset > s.last:
		appended.last = a.offset
		return []any{appended}
	case c.value == "" && a.read == s.values && a.offset >= s.last:
		return []any{logState{s.values, a.offset}}
	}
	return nil
}

func logModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: by(func(op porcupine.Operation) (int, bool) { return op.Input.(logCall).partition, true }),
		Init:      func() []any { return []any{logState{last: -1}} },
		Step:      func(state, input, output any) []any { return stepLog(state.(logState), input.(logCall), output) },
	}
	return m.ToModel()
}

// TestLogIsLinearizable has clients publish to two partitions and read them: each read has everything whose publish had returned, in one order, and nothing that was taken
// back, also when the power went away.
func TestLogIsLinearizable(t *testing.T) {
	x := linearTest{
		model:  logModel(),
		topics: map[string]queue.TopicConfig{"t": {Partitions: 2}},
		client: func(s *site, l *line, client int, rng *rand.Rand) {
			for n := range 20 {
				b, c := s.now(), logCall{partition: rng.IntN(2)}
				if rng.IntN(3) > 0 {
					c.value = valueOf(client, n)
				}
				l.call(client, c, func() any { return c.do(b) })
				s.next(b)
			}
		},
		end: func(s *site, l *line) {
			for p := range 2 {
				c := logCall{partition: p}
				l.call(0, c, func() any { return c.do(s.now()) })
			}
		},
	}
	x.run(t, sized(t, 6, 60, 20_000))
}

func (c logCall) do(b *queue.Broker) any {
	ctx := context.Background()
	if c.value != "" {
		r, err := b.Publish(ctx, queue.Message{Topic: "t", Value: []byte(c.value), Partition: queue.PinTo(c.partition)})
		if err != nil {
			return outcome(err)
		}
		offset, _ := r.Position.Offset()
		return logAnswer{offset: offset}
	}
	a := logAnswer{offset: -1}
	for r, err := range b.Read(ctx, queue.Range{Topic: "t", Partitions: []int{c.partition}}) {
		if err != nil {
			return nil
		}
		a.offset, _ = r.Position.Offset()
		a.read += string(r.Value) + " "
	}
	return a
}

func TestLogModelSeesWhatIsWrong(t *testing.T) {
	published := func(v string, offset int64) any { return [2]any{logCall{value: v}, logAnswer{offset: offset}} }
	read := func(values string, last int64) any { return [2]any{logCall{}, logAnswer{last, values}} }
	wantWrong(t, logModel(), map[string][]any{
		"a message that was acknowledged is lost":    {published("a", 0), read("", -1)},
		"a read goes back":                           {published("a", 0), published("b", 1), read("a b ", 1), read("a ", 0)},
		"the order of two publishes turned round":    {published("a", 0), published("b", 1), read("b a ", 1)},
		"what nobody published":                      {read("a ", 0)},
		"an offset is used again":                    {published("a", 0), published("b", 0)},
		"what has an unknown outcome is there twice": {[2]any{logCall{value: "a"}, unsure{}}, read("a a ", 1)},
	})
}

// wantWrong wants a model to find each history wrong: pairs of an input and an answer, one after the other. Its first calls alone must be right.
func wantWrong(t *testing.T, m porcupine.Model, histories map[string][]any) {
	t.Helper()
	for name, history := range histories {
		l := &line{}
		for i, pair := range history {
			p := pair.([2]any)
			l.call(0, p[0], func() any { return p[1] })
			if right := i < len(history)-1; porcupine.CheckOperations(m, l.ops) != right {
				t.Errorf("%s: after %d calls it is right: %v, want %v", name, i+1, !right, right)
			}
		}
	}
}
