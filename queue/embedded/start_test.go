package embedded

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

func TestStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 3, 0)
		time.Sleep(time.Hour)
		noon := time.Now()
		fill(t, b, 2, 2, 0) // offsets 3 and 4, values 0 and 1
		for name, c := range map[string]struct {
			start queue.Start
			want  []string // of both partitions, sorted
		}{
			"earliest": {queue.Earliest(), []string{"0", "0", "0", "0", "1", "1", "1", "1", "2", "2"}},
			"latest":   {queue.Latest(), nil},
			"since":    {queue.Since(noon), []string{"0", "0", "1", "1"}},
			"future":   {queue.Since(noon.Add(time.Hour)), nil},
			"from":     {queue.From(queue.PositionAt("t", 0, 4), queue.PositionAt("t", 1, 5)), []string{"1"}},
			"after":    {queue.After(queue.PositionAt("t", 0, 4), queue.PositionAt("t", 1, 2)), []string{"0", "1"}},
			"one only": {queue.From(queue.PositionAt("t", 0, 5)), []string{"0", "0", "1", "1", "2"}},
		} {
			m := join(t, b, queue.Group{Name: "g-" + name[:3], StartIfNew: c.start})
			if got := slices.Sorted(slices.Values(m.drain())); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			m.leave()
			m = join(t, b, queue.Group{Name: "g-" + name[:3], StartIfNew: queue.Earliest()})
			if got := m.drain(); len(got) > 0 {
				t.Errorf("%s: %v again, though the group is not new", name, got)
			}
			if err := b.WaitIdle(t.Context(), "g-"+name[:3]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			m.leave()
		}
	})
}

func TestStartsThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 3, 0)
		for name, start := range map[string]queue.Start{
			"beyond":       queue.From(queue.PositionAt("t", 0, 4)),
			"behind end":   queue.After(queue.PositionAt("t", 0, 3)),
			"other life":   queue.From(queue.NewPosition("t", 0, 77, 1)),
			"no partition": queue.From(queue.PositionAt("t", 2, 0)),
		} {
			_, err := b.Engine().Join(t.Context(), queue.Membership{Group: queue.Group{Name: "g", Topics: []string{"t"}, StartIfNew: start}})
			if !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		m := join(t, b, queue.Group{})
		if got := m.drain(); len(got) != 6 {
			t.Errorf("a group that could not be made began somewhere all the same: %v", got)
		}
	})
}

func TestGroupGathersFromWhereItWasMadeAndGetsNewTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		ensure(t, b, "u", 1)
		fill(t, b, 1, 2, 0)
		join(t, b, queue.Group{StartIfNew: queue.Latest()}).leave()
		fill(t, b, 1, 1, 0)
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "u", Value: []byte("u")}); err != nil {
			t.Fatal(err)
		}
		m := join(t, b, queue.Group{Topics: []string{"t", "u"}}) // new on u only
		if got := slices.Sorted(slices.Values(m.drain())); !slices.Equal(got, []string{"0", "u"}) {
			t.Errorf("got %v", got)
		}
	})
}
