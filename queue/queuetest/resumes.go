package queuetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/leatmq/leat/queue"
)

func resumeCases() []testCase {
	needs := []queue.Feature{queue.CanResume, queue.CanOrderByPartition}
	return []testCase{
		{name: "ResumeGoesOnBehindThePosition", run: resumeMoves, needs: needs},
		{name: "ResumeIsKept", run: resumeKept, needs: needs},
		{name: "ResumeRefusesWhatIsNotThere", run: resumeRefuses, needs: needs},
		{name: "ResumeThatFailsEndsConsume", run: resumeFails, needs: needs},
		{name: "ResumeRunsAlone", run: resumeAlone, needs: needs},
	}
}

// resumeGroup reads "t" by partition, and resumes every partition at what at returns for it.
func resumeGroup(at func(partition int) (queue.Position, error)) queue.Group {
	return queue.Group{
		Name: "g", Topics: []string{"t"}, Order: queue.ByPartition, Concurrency: 4,
		Resume: func(_ context.Context, topic string, partition int) (queue.Position, error) {
			if topic != "t" {
				return queue.Position{}, fmt.Errorf("asked for topic %q", topic)
			}
			return at(partition)
		},
	}
}

// tenEach stores the values 0 to 9 in each of two partitions of "t".
func (s *stage) tenEach() (at [2][]queue.Position) {
	s.Helper()
	s.topic("t", 2)
	for i := range 20 {
		r := s.publish(queue.Message{Topic: "t", Value: fmt.Append(nil, i/2), Partition: queue.PinTo(i % 2)})
		at[i%2] = append(at[i%2], r[0].Position)
	}
	return at
}

// wantValues wants partition 0 to have been delivered with the values from first up to 9, and partition 1 with those from second.
func (s *stage) wantValues(what string, ds []*queue.Delivery, first, second int) {
	s.Helper()
	var got [2][]string
	for _, d := range ds {
		got[d.Position.Partition()] = append(got[d.Position.Partition()], string(d.Value))
		if d.Attempt != 1 {
			s.Errorf("%s: %s is attempt %d", what, d.Position, d.Attempt)
		}
	}
	for p, from := range []int{first, second} {
		var want []string
		for v := from; v < 10; v++ {
			want = append(want, fmt.Sprint(v))
		}
		if !slices.Equal(got[p], want) {
			s.Errorf("%s: partition %d was delivered as %v, want %v", what, p, got[p], want)
		}
	}
}

// resumed runs a member that resumes the partitions at these positions, and returns what it got.
func (s *stage) resumed(at [2]queue.Position) []*queue.Delivery {
	s.Helper()
	asked := make(chan int, 2)
	r := s.collect(resumeGroup(func(p int) (queue.Position, error) {
		asked <- p
		return at[p], nil
	}))
	for range at {
		await(s, asked, "a call of Resume") // a group that was there is idle before
	}
	s.idle("g")
	r.stop()
	return r.got()
}

func resumeMoves(s *stage) {
	at := s.tenEach()
	offset, _ := at[0][7].Offset()
	for _, c := range []struct {
		name          string
		positions     [2]queue.Position
		first, second int // values that come first
	}{
		{"forward", [2]queue.Position{at[0][5], at[1][8]}, 6, 9},
		{"to the end", [2]queue.Position{at[0][9], at[1][9]}, 10, 10},
		{"backward", [2]queue.Position{at[0][2], at[1][0]}, 3, 1},
		{"to where it is", [2]queue.Position{at[0][9], at[1][9]}, 10, 10},
		{"from the start", [2]queue.Position{}, 0, 0},
		{"from the start in one", [2]queue.Position{at[0][4], {}}, 5, 0},
		{"by hand", [2]queue.Position{queue.PositionAt("t", 0, offset), at[1][9]}, 8, 10},
	} {
		s.wantValues(c.name, s.resumed(c.positions), c.first, c.second)
	}
}

func resumeKept(s *stage) {
	at := s.tenEach()
	s.resumed([2]queue.Position{at[0][9], at[1][9]})
	plain := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByPartition}
	r := s.collect(plain)
	s.publish(queue.Message{Topic: "t", Value: []byte("x"), Partition: queue.PinTo(0)})
	r.awaitCount(1)
	s.idle("g")
	r.stop()
	if got := values(r.got()); !slices.Equal(got, []string{"x"}) {
		s.Errorf("without Resume, after Resume to the end: %v, want what is new", got)
	}
	if s.harness.Restart == nil {
		return
	}
	h := s.hold() // so that nothing of what comes again is done
	q := s.consume(resumeGroup(func(p int) (queue.Position, error) { return at[p][3], nil }), func(ctx context.Context, d *queue.Delivery) error {
		if err := h.handle(ctx, d); err != nil {
			return err
		}
		return errAgain
	})
	s.Cleanup(h.free)
	await(s, h.arrived, "a message that comes again")
	await(s, h.arrived, "a message of the other partition")
	q.end()
	h.free()
	q.result()
	s.restart()
	c := s.collect(plain)
	s.idle("g")
	var got [2]string
	for _, d := range c.got() {
		got[d.Position.Partition()] += string(d.Value)
	}
	if got != [2]string{"456789x", "456789"} {
		s.Errorf("after Resume backward and a restart: %v, want 456789 twice, and x", got)
	}
}

func resumeRefuses(s *stage) {
	at := s.tenEach()
	p := at[0][5]
	offset, _ := p.Offset()
	for name, bad := range map[string]queue.Position{
		"another incarnation": queue.NewPosition("t", 0, p.Incarnation()+1, offset),
		"another partition":   at[1][5],
		"another topic":       queue.PositionAt("u", 0, 0),
		"beyond the end":      queue.PositionAt("t", 0, offset+1000),
	} {
		ran := make(chan struct{}, 100)
		r := s.consume(resumeGroup(func(partition int) (queue.Position, error) {
			if partition == 0 {
				return bad, nil
			}
			return at[1][9], nil
		}), func(context.Context, *queue.Delivery) error {
			ran <- struct{}{}
			return nil
		})
		s.wantError(name, r.result(), queue.ErrNotFound)
		if len(ran) > 0 {
			s.Errorf("%s: %d messages were handed out", name, len(ran))
		}
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByPartition})
	s.idle("g")
	s.wantValues("after refusals, which must move nothing", c.got(), 0, 0)
}

func resumeFails(s *stage) {
	s.tenEach()
	own := errors.New("the archive is gone")
	for name, c := range map[string]struct {
		at   func(int) (queue.Position, error)
		fits func(error) bool
	}{
		"error": {
			func(int) (queue.Position, error) { return queue.Position{}, own },
			func(err error) bool { return errors.Is(err, own) },
		},
		"panic": {
			func(int) (queue.Position, error) { panic(own) },
			func(err error) bool {
				var p *queue.PanicError
				return errors.As(err, &p) && errors.Is(err, own)
			},
		},
		"goexit": {
			func(int) (queue.Position, error) {
				runtime.Goexit()
				return queue.Position{}, nil
			},
			func(err error) bool { return err != nil },
		},
	} {
		if err := s.consume(resumeGroup(c.at), finish).result(); !c.fits(err) {
			s.Errorf("%s: Consume ended with %v", name, err)
		}
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByPartition})
	s.idle("g")
	s.wantValues("after failures, which must move nothing", c.got(), 0, 0)
}
