package queuetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

// judged is a test that fails without failing the one that watches it.
type judged struct {
	testing.TB
	deadline time.Time
	cleanups []func()
	said     []string
}

func (j *judged) Cleanup(f func()) { j.cleanups = append(j.cleanups, f) }
func (j *judged) Errorf(format string, args ...any) {
	j.said = append(j.said, fmt.Sprintf(format, args...))
}
func (j *judged) Deadline() (time.Time, bool) { return j.deadline, true }
func (j *judged) Fatal(args ...any) {
	j.said = append(j.said, fmt.Sprint(args...))
	runtime.Goexit()
}

// run runs f as the test, and what it left for the end.
func (j *judged) run(f func()) {
	var all sync.WaitGroup
	all.Go(f)
	all.Wait()
	for i := range j.cleanups {
		j.cleanups[len(j.cleanups)-1-i]()
	}
}

func (j *judged) wantSaid(t *testing.T, words string) {
	t.Helper()
	if len(j.said) != 1 || !strings.Contains(j.said[0], words) {
		t.Errorf("the test said %q, want one line with %q", j.said, words)
	}
}

func TestBrokerIsClosedWithItsTest(t *testing.T) {
	var b *queue.Broker
	t.Run("test", func(t *testing.T) {
		b = Broker(t, "a", "b")
		for _, topic := range []string{"a", "b"} {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: topic}); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "a"}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("after the test: %v", err)
	}
}

func TestLeaksAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		j := &judged{TB: t}
		j.run(func() {
			watched(j, func() *queue.Broker {
				go func() { <-release }()
				return Broker(t)
			})
		})
		j.wantSaid(t, "TestLeaksAreFound")
		close(release)
	})
}

func TestDrainSaysWhyNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Broker(t, "orders")
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "orders"}); err != nil {
			t.Fatal(err)
		}
		Consume(t, b, queue.Group{Name: "billing", Topics: []string{"orders"}, Failure: endless}, func(context.Context, *queue.Delivery) error { return errAgain })
		began := time.Now()
		j := &judged{TB: t, deadline: began.Add(time.Hour)}
		j.run(func() { Drain(j, b, "billing") })
		j.wantSaid(t, `group "billing": waiting for a retry`)
		if took := time.Since(began); took >= time.Hour || took < 50*time.Minute {
			t.Errorf("it gave up after %v of an hour", took)
		}
	})
}

func TestConsumeReportsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Broker(t)
		j := &judged{TB: t}
		j.run(func() {
			Consume(j, b, queue.Group{Name: "g", Topics: []string{"unknown"}}, finish)
			synctest.Wait()
		})
		j.wantSaid(t, `"unknown"`)
	})
}

// TestBilling is what a test of an application looks like.
func TestBilling(t *testing.T) {
	charge := func(b *queue.Broker) queue.Handler {
		return func(ctx context.Context, d *queue.Delivery) error {
			_, err := b.Publish(ctx, queue.Message{Topic: "invoices", Key: d.Key, Value: append([]byte("invoice for "), d.Value...)})
			return err
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := Broker(t, "orders", "invoices")
		Consume(t, b, queue.Group{Name: "billing", Topics: []string{"orders"}}, FailFirst(7, errors.New("db down"), charge(b)))
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "orders", Value: []byte("o1")}); err != nil {
			t.Fatal(err)
		}
		Drain(t, b, "billing") // minutes of backoff pass in no time
		invoices := Records(t, b, "invoices")
		if len(invoices) != 1 || string(invoices[0].Value) != "invoice for o1" {
			t.Errorf("invoices %v", invoices)
		}
	})
}
