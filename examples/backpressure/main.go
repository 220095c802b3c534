// Command backpressure has publishers that are faster than the consumer of their topic, whose backlog is bounded to 50 messages, and shows what becomes of the rest by each policy in turn: they wait, are
// refused, or drop what is new or what is oldest. Meanwhile a gauge on standard error shows the backlog. But for the policy that has them wait, the consumer works on its first message until
// they have published everything, so that the figures are the same every time.
//
//	go run ./examples/backpressure
//
// Output:
//
//	Block       published 400, refused   0, dropped   0, delivered 400, never more than 50 behind: yes
//	Reject      published  50, refused 350, dropped   0, delivered  50, never more than 50 behind: yes
//	DropOldest  published 400, refused   0, dropped 350, delivered  50, never more than 50 behind: yes
//	DropNew     published  50, refused   0, dropped 350, delivered  50, never more than 50 behind: yes
//	told of each that its backlog was high, and low again: yes
//	tenant "loud" was let in 3 times, "quiet" 1 time
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

const (
	bound      = 50
	publishers = 4
	each       = 100 // messages of one publisher
)

func main() {
	if err := run(os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "backpressure:", err)
		os.Exit(1)
	}
}

func run(out, gauge io.Writer) error {
	told := make(chan queue.BacklogEvent, 1000)
	events := queue.Events{Backlog: func(x queue.BacklogEvent) {
		select {
		case told <- x:
		default: // it must not block
		}
	}}
	broker, err := embedded.InMemory(embedded.Options{Broker: queue.Options{Events: events}})
	if err != nil {
		return err
	}
	defer broker.Close()
	for _, policy := range []backpressure.Policy{backpressure.Block, backpressure.Reject, backpressure.DropOldest, backpressure.DropNew} {
		r := rush{broker: broker, topic: "orders-" + policy.String(), policy: policy, free: make(chan struct{})}
		if err := r.run(gauge); err != nil {
			return fmt.Errorf("%v: %w", policy, err)
		}
		r.tell(out)
	}
	fmt.Fprintln(out, "told of each that its backlog was high, and low again:", yes(highAndLow(told)))
	return tenants(out)
}

// highAndLow waits until of all four topics it was told that their backlogs were high, and then low again.
func highAndLow(told <-chan queue.BacklogEvent) bool {
	high, over := map[string]bool{}, map[string]bool{}
	for len(over) < 4 {
		select {
		case x := <-told:
			if x.High {
				high[x.Topic] = true
			} else if high[x.Topic] {
				over[x.Topic] = true
			}
		case <-time.After(10 * time.Second):
			return false
		}
	}
	return true
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// rush is publishers and a consumer of one topic.
type rush struct {
	broker *queue.Broker
	topic  string
	policy backpressure.Policy
	free   chan struct{} // closed when the consumer may go on

	published, refused, dropped, delivered, peak atomic.Int64
}

func (r *rush) run(gauge io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	limit := queue.Limit{Messages: bound, WhenFull: r.policy}
	if err := r.broker.EnsureTopic(ctx, r.topic, queue.TopicConfig{Limit: limit}); err != nil {
		return err
	}
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- r.broker.Consume(consuming, queue.Group{Name: r.topic, Topics: []string{r.topic}, Concurrency: 1}, r.work)
	}()
	if err := r.broker.WaitIdle(ctx, r.topic); err != nil { // the group is there, and counts
		return err
	}
	if r.policy == backpressure.Block {
		close(r.free)
	}
	err := r.publishAll(ctx, gauge)
	if r.policy != backpressure.Block {
		close(r.free)
	}
	idle := r.broker.WaitIdle(ctx, r.topic)
	stop()
	return errors.Join(err, idle, <-ended)
}

// work is slower than the publishers.
func (r *rush) work(context.Context, *queue.Delivery) error {
	<-r.free
	time.Sleep(time.Millisecond)
	r.delivered.Add(1)
	return nil
}

// publishAll has all publishers publish, and the gauge shown meanwhile.
func (r *rush) publishAll(ctx context.Context, gauge io.Writer) error {
	var all sync.WaitGroup
	errs := make([]error, publishers)
	for i := range publishers {
		all.Go(func() {
			for range each {
				if errs[i] == nil {
					errs[i] = r.publish(ctx)
				}
				time.Sleep(200 * time.Microsecond)
			}
		})
	}
	done, shown := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		for {
			r.show(gauge)
			select {
			case <-done:
				fmt.Fprintln(gauge)
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	all.Wait()
	close(done)
	<-shown
	return errors.Join(errs...)
}

func (r *rush) publish(ctx context.Context) error {
	receipt, err := r.broker.Publish(ctx, queue.Message{Topic: r.topic, Value: []byte("an order")})
	switch {
	case errors.Is(err, queue.ErrFull):
		r.refused.Add(1)
	case err != nil:
		return err
	case receipt.Dropped:
		r.dropped.Add(1)
	default:
		r.published.Add(1)
	}
	r.backlog()
	return nil
}

// backlog returns what the group is behind, and remembers the most.
func (r *rush) backlog() queue.TopicStats {
	for _, s := range r.broker.Stats().Topics {
		if s.Name != r.topic {
			continue
		}
		for most := r.peak.Load(); s.Backlog > most && !r.peak.CompareAndSwap(most, s.Backlog); most = r.peak.Load() {
		}
		return s
	}
	return queue.TopicStats{}
}

func (r *rush) show(gauge io.Writer) {
	s := r.backlog()
	n := min(bound, int(s.Backlog))
	fmt.Fprintf(gauge, "\r%-11v[%s%s] %2d behind, %d wait ", r.policy, strings.Repeat("#", n), strings.Repeat(".", bound-n), s.Backlog, s.Blocked)
}

func (r *rush) tell(out io.Writer) {
	s := r.backlog()
	fmt.Fprintf(out, "%-10v  published %3d, refused %3d, dropped %3d, delivered %3d, never more than %d behind: %s\n",
		r.policy, r.published.Load(), r.refused.Load(), r.dropped.Load()+s.DroppedOldest, r.delivered.Load(), bound, yes(r.peak.Load() <= bound))
}

// tenants each have a rate of their own, in front of the broker.
func tenants(out io.Writer) error {
	rates, err := backpressure.NewRates(backpressure.RatesOptions{PerSecond: 0.01, Burst: 3, Keys: 1000})
	if err != nil {
		return err
	}
	let := map[string]int{}
	for _, tenant := range []string{"loud", "loud", "loud", "loud", "quiet", "loud"} {
		if rates.Allow(tenant, 1) {
			let[tenant]++
		}
	}
	fmt.Fprintf(out, "tenant \"loud\" was let in %d times, \"quiet\" %d time\n", let["loud"], let["quiet"])
	return nil
}
