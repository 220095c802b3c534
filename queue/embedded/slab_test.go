package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// TestBorrowedMemoryIsUsedAgain: what handlers borrow costs no fresh memory for each message, in memory, where it stays in place, and from files; nor does what no handler gets, since its time is over.
func TestBorrowedMemoryIsUsedAgain(t *testing.T) {
	const messages, size = 20_000, 4 << 10
	o := embedded.Options{MemoryBytes: 16 << 20}
	engines := map[string]func() (*queue.Broker, error){
		"memory": func() (*queue.Broker, error) { return embedded.InMemory(o) },
		"disk":   func() (*queue.Broker, error) { return embedded.Open(t.TempDir(), o) },
	}
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			b, err := open()
			must(t, err)
			defer b.Close()
			must(t, b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 2, Durability: queue.OS}))
			value := bytes.Repeat([]byte("borrowed"), size/8)
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() {
				err := b.ConsumeBatch(ctx, queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Borrowed: true}, func(_ context.Context, ds []*queue.Delivery) []error {
					errs := make([]error, len(ds))
					for i, d := range ds {
						if !bytes.Equal(d.Value, value) {
							errs[i] = fmt.Errorf("message %s is another", d.Position)
						}
					}
					return errs
				})
				if err != nil {
					t.Error(err)
				}
			})
			var before, after runtime.MemStats
			for n := range 2 * messages {
				if n == messages { // what is kept to be used again has been made
					runtime.ReadMemStats(&before)
				}
				for {
					m := queue.Message{Topic: "t", Value: value}
					if n%20 == 0 {
						m.Expires = time.Unix(1, 0)
					}
					_, err := b.Publish(t.Context(), m)
					if err == nil {
						break
					}
					if !errors.Is(err, queue.ErrFull) {
						t.Fatal(err)
					}
					runtime.Gosched()
				}
			}
			must(t, b.WaitIdle(t.Context(), "g"))
			runtime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / messages; each > size/2 && !raced { // then pools forget
				t.Errorf("%d bytes of fresh memory for each message of %d", each, size)
			}
			stop()
			all.Wait()
		})
	}
}

// TestWhatAStuckHandlerHasIsNotUsedAgain: it reads what it borrowed for as long as it likes, while the store's memory is filled many times; and that is not short of what it has.
func TestWhatAStuckHandlerHasIsNotUsedAgain(t *testing.T) {
	const memory, size, stuckHandlers = 1 << 20, 1 << 10, 8
	synctest.Test(t, func(t *testing.T) {
		b, err := embedded.InMemory(embedded.Options{MemoryBytes: memory})
		must(t, err)
		defer b.Close()
		must(t, b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 1, Durability: queue.Memory}))
		open, kept := make(chan struct{}), make(chan []byte, stuckHandlers)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Concurrency: 2, HandlerTimeout: time.Second, Borrowed: true}
		go func() {
			ended <- b.Consume(ctx, g, func(_ context.Context, d *queue.Delivery) error {
				if d.Attempt == 1 && bytes.HasPrefix(d.Value, []byte("stuck")) {
					kept <- d.Value
					<-open
				}
				return nil
			})
		}()
		publish := func(value []byte) {
			for {
				_, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: value})
				if err == nil {
					return
				}
				if !errors.Is(err, queue.ErrFull) {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
		}
		stuck := func(n int) []byte { return append(fmt.Append(nil, "stuck ", n), make([]byte, size)...) }
		fill := func() {
			for range 4 * memory / size {
				publish(bytes.Repeat([]byte("."), size))
			}
			must(t, b.WaitIdle(t.Context(), "g"))
		}
		for n := range stuckHandlers {
			publish(stuck(n))
			fill()
		}
		fill()
		close(open)
		for n := range stuckHandlers {
			if v := <-kept; !bytes.Equal(v, stuck(n)) {
				t.Errorf("a stuck handler has %.10q, and had %.10q", v, stuck(n))
			}
		}
		synctest.Wait() // they return
		stop()
		must(t, <-ended)
	})
}

// TestBorrowedMemoryOfADeletedTopic: what was read for handlers and never got to them, and what they had, is given back.
func TestBorrowedMemoryOfADeletedTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := embedded.InMemory(embedded.Options{})
		must(t, err)
		defer b.Close()
		must(t, b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 2, Durability: queue.Memory}))
		for range 1000 {
			_, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, 1<<10)})
			must(t, err)
		}
		held := embedded.From(b).Storage().MemoryBytes
		open, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- b.Consume(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Concurrency: 2, Borrowed: true}, func(context.Context, *queue.Delivery) error {
				<-open
				return nil
			})
		}()
		synctest.Wait()
		must(t, b.Admin().DeleteTopic(t.Context(), "t"))
		synctest.Wait()
		if left := embedded.From(b).Storage().MemoryBytes; left == 0 || left > held {
			t.Errorf("%d bytes of %d are held while handlers read in them", left, held)
		}
		close(open)
		if err := <-ended; !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("the group ended with %v", err)
		}
		if left := embedded.From(b).Storage().MemoryBytes; left != 0 {
			t.Errorf("%d bytes of %d are held when nobody reads any more", left, held)
		}
	})
}
