package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/leatmq/leat/queue"
)

func readCases() []testCase {
	needs := []queue.Feature{queue.CanRead}
	return []testCase{
		{name: "ReadIsInOrder", run: readInOrder, needs: needs},
		{name: "ReadSomePartitions", run: readPartitions, needs: needs},
		{name: "ReadEndsAtWhatWasThere", run: readEnds, needs: needs},
		{name: "ReadFollows", run: readFollows, needs: needs},
		{name: "ReadLeavesNoTrace", run: readTraceless, needs: needs},
	}
}

func readInOrder(s *stage) {
	const messages, partitions = 2000, 3
	s.topic("t", partitions)
	want := map[queue.Position]string{}
	for i := range messages / 500 {
		ms := make([]queue.Message, 500)
		for j := range ms {
			ms[j] = queue.Message{Topic: "t", Value: fmt.Append(nil, i*500+j), Partition: queue.PinTo(j % partitions)}
		}
		s.store(ms...)
	}
	for _, d := range s.delivered("t") {
		want[d.Position] = string(d.Value)
	}
	last := map[int]queue.Position{}
	rs := s.records("t")
	for _, r := range rs {
		n := r.Position.Partition()
		if last[n].Covers(r.Position) {
			s.Errorf("%s comes after %s", r.Position, last[n])
		}
		last[n] = r.Position
		if want[r.Position] != string(r.Value) {
			s.Errorf("%s is read as %q, and was delivered as %q", r.Position, r.Value, want[r.Position])
		}
	}
	if len(rs) != messages || len(want) != messages {
		s.Errorf("%d messages are read, %d were delivered, want %d", len(rs), len(want), messages)
	}
}

// readAll returns the values that a Read yields, and its error.
func (s *stage) readAll(r queue.Range) (vs []string, err error) {
	for record, err := range s.broker.Read(s.within(), r) {
		if err != nil {
			return vs, err
		}
		vs = append(vs, string(record.Value))
	}
	return vs, nil
}

func readPartitions(s *stage) {
	at := s.tenEach()
	for name, c := range map[string]struct {
		r    queue.Range
		want int
	}{
		"one":             {queue.Range{Partitions: []int{1}}, 10},
		"both":            {queue.Range{Partitions: []int{1, 0}}, 20},
		"none, that is 0": {queue.Range{Partitions: []int{}}, 0},
		"one, from":       {queue.Range{Partitions: []int{0}, From: queue.From(at[0][7])}, 3},
		"one, latest":     {queue.Range{Partitions: []int{0}, From: queue.Latest()}, 0},
		"all, after":      {queue.Range{From: queue.After(at[0][9])}, 10},
	} {
		c.r.Topic = "t"
		if vs, err := s.readAll(c.r); err != nil || len(vs) != c.want {
			s.Errorf("%s: %d messages, %v; want %d", name, len(vs), err, c.want)
		}
	}
	_, err := s.readAll(queue.Range{Topic: "t", Partitions: []int{2}})
	s.wantError("unknown partition", err, queue.ErrNotFound)
	_, err = s.readAll(queue.Range{Topic: "t", Partitions: []int{-1}})
	s.wantFault("partition -1", err, "Partitions")
	_, err = s.readAll(queue.Range{Topic: "t", From: queue.From(queue.PositionAt("u", 0, 0))})
	s.wantFault("a position of another topic", err, "From")
}

// readEnds publishes a message for each that it reads, all of some size, so that no engine has read everything before it begins.
func readEnds(s *stage) {
	const size = 30_000
	s.topic("t", 2)
	for i := range 50 { // one by one: an engine may read whole batches
		s.publish(queue.Message{Topic: "t", Value: make([]byte, size), Partition: queue.PinTo(i % 2)})
	}
	n := 0
	for r, err := range s.broker.Read(s.within(), queue.Range{Topic: "t"}) {
		if err != nil {
			s.Fatal(err)
		}
		if n++; n > 50 {
			s.Fatalf("Read goes on with %s, which was stored after it began", r.Position)
		}
		s.publish(queue.Message{Topic: "t", Value: r.Value, Partition: queue.PinTo(r.Position.Partition())})
	}
	if n != 50 {
		s.Errorf("%d messages were read, want 50", n)
	}
}

func readFollows(s *stage) {
	s.topic("t", 2)
	s.fill("t", 10, 3)
	b := s.broker
	ctx, cancel := context.WithCancel(s.within())
	defer cancel()
	got := make(chan string, 100)
	r := s.start(func(context.Context) error {
		for r, err := range b.Read(ctx, queue.Range{Topic: "t", Follow: true}) {
			if err != nil {
				return err
			}
			got <- string(r.Value)
		}
		return errors.New("the range ended without an error")
	})
	for range 10 {
		await(s, got, "what was there")
	}
	for i := range 30 {
		v := fmt.Sprint("later-", i)
		s.publish(queue.Message{Topic: "t", Key: keyOf(i), Value: []byte(v)})
		if read := await(s, got, "what was stored later"); read != v {
			s.Errorf("%q was read, want %q", read, v)
		}
	}
	cancel()
	s.wantError("Read", r.result(), context.Canceled)
}

// readTraceless leaves loops early, and reads what nobody else does.
func readTraceless(s *stage) {
	s.topic("t", 2)
	if vs, err := s.readAll(queue.Range{Topic: "t"}); vs != nil || err != nil {
		s.Errorf("an empty topic: %v, %v", vs, err)
	}
	s.fill("t", 20, 3)
	for i := range 20 {
		n := 0
		for _, err := range s.broker.Read(s.within(), queue.Range{Topic: "t", Follow: i%2 == 0}) {
			if err != nil {
				s.Fatal(err)
			}
			if n++; n > i {
				break
			}
			if n == 20 && i%2 == 0 {
				break
			}
		}
	}
	first, err := s.readAll(queue.Range{Topic: "t", Partitions: []int{0}})
	if err != nil {
		s.Fatal(err)
	}
	again, err := s.readAll(queue.Range{Topic: "t", Partitions: []int{0}})
	if err != nil || !slices.Equal(first, again) {
		s.Errorf("read as %v, then as %v, %v", first, again, err)
	}
	if groups := s.broker.Stats().Groups; len(groups) != 0 {
		s.Errorf("reading made groups: %+v", groups)
	}
}
