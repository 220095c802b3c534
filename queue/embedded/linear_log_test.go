package embedded

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/leatmq/leat/queue"
)

// logCall publishes a value to a partition, reads all that it has, or gives the topic partitions.
type logCall struct {
	partition int
	value     string // "": reads
	total     int    // 0: gives it none
}

// logAnswer is an offset, the last one of what was read, and that.
type logAnswer struct {
	offset  int64
	read    string
	refused bool // there is no such partition, or there are more
}

// logState is what a partition has: its values, and the last offset that is known; and of how many it is one.
type logState struct {
	values string
	last   int64
	total  int
}

const logPartitions = 2 // that there are at first

func stepLog(s logState, c logCall, answer any) []any {
	after := s
	if c.total > 0 {
		after.total = max(s.total, c.total)
	} else if c.value != "" {
		after.values += c.value + " "
	}
	if answer == (unsure{}) {
		return []any{s, after}
	}
	a := answer.(logAnswer)
	switch {
	case c.total > 0 && a.refused == (c.total < s.total):
		return []any{after}
	case c.total > 0 || a.refused != (c.partition >= s.total):
		return nil
	case a.refused:
		return []any{s}
	case c.value != "" && a.offset > s.last, c.value == "" && a.read == s.values && a.offset >= s.last:
		after.last = a.offset
		return []any{after}
	}
	return nil
}

func logModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: by(func(op porcupine.Operation) (int, bool) { c := op.Input.(logCall); return c.partition, c.total == 0 }),
		Init:      func() []any { return []any{logState{last: -1, total: logPartitions}} },
		Step:      func(state, input, output any) []any { return stepLog(state.(logState), input.(logCall), output) },
	}
	return m.ToModel()
}

// TestLogIsLinearizable has clients publish to partitions of a topic, read them, and give it more: each read has everything whose publish had returned, in one order, and nothing that was taken
// back, also when the power went away; and a partition is there from the moment on when it was given, and not before.
func TestLogIsLinearizable(t *testing.T) {
	const most = logPartitions + 3
	x := linearTest{
		model:  logModel(),
		topics: map[string]queue.TopicConfig{"t": {Partitions: logPartitions}},
		grows:  true,
		client: func(s *site, l *line, client int, rng *rand.Rand) {
			for n := range 20 {
				b, c := s.now(), logCall{partition: rng.IntN(2)}
				switch rng.IntN(12) {
				case 0:
					c = logCall{total: logPartitions + 1 + rng.IntN(most-logPartitions)}
				case 1, 2, 3:
					c.partition = rng.IntN(most)
				}
				if c.total == 0 && rng.IntN(3) > 0 {
					c.value = valueOf(client, n)
				}
				l.call(client, c, func() any { return c.do(s, b) })
				s.next(b)
			}
		},
		end: func(s *site, l *line) {
			for p := range most {
				c := logCall{partition: p}
				l.call(0, c, func() any { return c.do(s, s.now()) })
			}
		},
	}
	x.run(t, sized(t, 6, 60, 20_000))
}

func (c logCall) do(s *site, b *queue.Broker) any {
	ctx := context.Background()
	switch {
	case c.total > 0:
		return c.answer(s.grow(b, c.total))
	case c.value != "":
		r, err := b.Publish(ctx, queue.Message{Topic: "t", Value: []byte(c.value), Partition: queue.PinTo(c.partition)})
		if err != nil {
			return c.answer(err)
		}
		offset, _ := r.Position.Offset()
		return logAnswer{offset: offset}
	}
	a := logAnswer{offset: -1}
	for r, err := range b.Read(ctx, queue.Range{Topic: "t", Partitions: []int{c.partition}}) {
		if err != nil {
			return c.answer(err)
		}
		a.offset, _ = r.Position.Offset()
		a.read += string(r.Value) + " "
	}
	return a
}

// answer is that of a call that ended with err.
func (c logCall) answer(err error) any {
	switch {
	case err == nil:
		return logAnswer{}
	case errors.Is(err, queue.ErrNotFound), errors.As(err, new(*queue.ConfigError)):
		return logAnswer{refused: true}
	}
	return outcome(err)
}

func TestLogModelSeesWhatIsWrong(t *testing.T) {
	published := func(v string, offset int64) any { return [2]any{logCall{value: v}, logAnswer{offset: offset}} }
	read := func(values string, last int64) any { return [2]any{logCall{}, logAnswer{offset: last, read: values}} }
	grow := func(total int, a any) any { return [2]any{logCall{total: total}, a} }
	there := func(partition int, there bool) any {
		return [2]any{logCall{partition: partition}, logAnswer{offset: -1, refused: !there}}
	}
	wantWrong(t, logModel(), map[string][]any{
		"a message that was acknowledged is lost":    {published("a", 0), read("", -1)},
		"a read goes back":                           {published("a", 0), published("b", 1), read("a b ", 1), read("a ", 0)},
		"the order of two publishes turned round":    {published("a", 0), published("b", 1), read("b a ", 1)},
		"what nobody published":                      {read("a ", 0)},
		"an offset is used again":                    {published("a", 0), published("b", 0)},
		"what has an unknown outcome is there twice": {[2]any{logCall{value: "a"}, unsure{}}, read("a a ", 1)},
		"a partition that nobody gave":               {there(1, true), there(2, true)},
		"a partition that is not there any more":     {grow(3, logAnswer{}), there(2, true), there(2, false)},
		"a partition that was given is not there":    {grow(3, logAnswer{}), there(2, false)},
		"fewer partitions than there are":            {there(0, true), grow(4, logAnswer{}), grow(3, logAnswer{})},
		"more partitions are refused":                {there(0, true), grow(4, logAnswer{refused: true})},
		"what was seen of a grow is taken back":      {grow(3, unsure{}), there(2, true), there(2, false)},
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
