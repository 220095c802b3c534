package queuetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

func parkCases() []testCase {
	needs := []queue.Feature{queue.CanPark, queue.CanOrderByKey}
	return []testCase{
		{name: "ParkedKeyKeepsItsOrder", needs: needs, run: parkedInOrder},
		{name: "ParkedKeyWaitsAfterARestart", needs: needs, run: parkedThroughRestart, asks: asksRestart},
		{name: "ParkedMessageIsBuriedFromItsPlace", needs: append(needs, queue.CanCommit), run: parkedIsBuried},
	}
}

// parking is a group that parks what fails, and has it come again after a while.
func parking(wait time.Duration, attempts int) queue.Group {
	f := queue.Failure{Retry: retry.Constant(wait), MaxAttempts: attempts, WhileRetry: queue.ParkKey}
	return queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 4, Failure: f}
}

// parkedInOrder has messages of every key fail at random while more are published.
func parkedInOrder(s *stage) {
	const rounds, n, keys = 10, 40, 5
	s.topic("t", 2)
	var mu sync.Mutex
	next := map[string]int{}
	chance := s.dice()
	s.consume(parking(2*time.Millisecond, -1), func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if chance.n(3) == 0 {
			return errAgain
		}
		if want := fmt.Sprint(next[string(d.Key)]); string(d.Value) != want {
			s.Errorf("key %s: message %s is done, want %s", d.Key, d.Value, want)
		}
		next[string(d.Key)]++
		return nil
	})
	for round := range rounds {
		for i := range n {
			s.publish(queue.Message{Topic: "t", Key: keyOf(i % keys), Value: fmt.Append(nil, round*n/keys+i/keys)})
		}
	}
	s.idle("g")
	if len(next) != keys {
		s.Errorf("%d keys came", len(next))
	}
	for key, n := range next {
		if n != rounds*8 {
			s.Errorf("key %s: %d messages are done", key, n)
		}
	}
}

// parkedThroughRestart has a key wait through restarts, while another goes on.
func parkedThroughRestart(s *stage) {
	s.topic("t", 1)
	done := make(chan string, 100)
	healed := false
	h := func(_ context.Context, d *queue.Delivery) error {
		if string(d.Key) == string(keyOf(0)) && !healed {
			return errAgain
		}
		done <- string(d.Value)
		return nil
	}
	for i := range 4 {
		s.publish(queue.Message{Topic: "t", Key: keyOf(0), Value: fmt.Append(nil, "bad ", i)}, queue.Message{Topic: "t", Key: keyOf(1), Value: fmt.Append(nil, "good ", i)})
		r := s.consume(parking(time.Hour, -1), h)
		if v, want := await(s, done, "a message of another key"), fmt.Sprint("good ", i); v != want {
			s.Errorf("%s is done, want %s", v, want)
		}
		s.wantBusy("g", "retry")
		r.stop()
		s.restart()
	}
	if len(done) > 0 {
		s.Errorf("%s is done", <-done)
	}
	if e, ok := s.broker.Engine().(queue.EngineStats); ok {
		if g := e.Stats().Groups[0]; g.Ready+g.Waiting != 4 {
			s.Errorf("four messages wait: %+v", g)
		}
	}
}

// parkedIsBuried wants the dead letter of what was parked to say where it was published.
func parkedIsBuried(s *stage) {
	s.topic("t", 1)
	rs := s.publish(queue.Message{Topic: "t", Key: keyOf(0), Value: []byte("0"), Headers: queue.Headers{}.With("a", "1")}, queue.Message{Topic: "t", Key: keyOf(0), Value: []byte("1")})
	attempts := map[string]int{}
	var mu sync.Mutex
	r := s.consume(parking(time.Millisecond, 3), func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		attempts[string(d.Value)]++
		if string(d.Value) == "1" {
			return nil
		}
		d.Value[0] = '?'
		return errAgain
	})
	s.idle("g")
	r.stop() // it has told by then
	if attempts["0"] != 3 || attempts["1"] != 1 {
		s.Errorf("attempts: %v", attempts)
	}
	if e := s.buried()[rs[0].Position]; e.Attempts != 3 {
		s.Errorf("told of its dead letter: %+v", e)
	}
	for r := range s.broker.Read(s.within(), queue.Range{Topic: "t.dead"}) {
		if r == nil || string(r.Value) != "0" || r.Headers.Get("a") != "1" {
			s.Errorf("the letter: %+v", r)
		}
	}
}
