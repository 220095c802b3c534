package backpressure_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/backpressure"
)

// Ten requests at most are worked on at a time, with a megabyte of bodies at most; the eleventh waits for a while.
func ExampleGate() {
	gate, err := backpressure.NewGate(backpressure.Weight{Count: 10, Bytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	request := backpressure.Weight{Count: 1, Bytes: 2000}
	for range 10 {
		if err := gate.Acquire(context.Background(), request); err != nil {
			fmt.Println(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err = gate.Acquire(ctx, request)
	fmt.Println(errors.Is(err, backpressure.ErrFull), errors.Is(err, context.DeadlineExceeded))
	gate.Release(request)
	fmt.Println(gate.TryAcquire(request))
	// Output:
	// true true
	// true
}

// A bound and a rate as one decision. Who is refused has spent nothing.
func ExampleController() {
	c, err := backpressure.NewController(backpressure.Options{Bound: backpressure.Weight{Count: 2}, Rate: 0.001, Burst: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	one := backpressure.Weight{Count: 1}
	for range 3 {
		fmt.Println(c.TryAdmit(one))
	}
	c.Release(one)
	c.Release(one)
	fmt.Println(c.TryAdmit(one))
	fmt.Println(c.TryAdmit(one))
	fmt.Println(c.Stats().Rejected)
	// Output:
	// <nil>
	// <nil>
	// backpressure: full
	// <nil>
	// backpressure: more than the rate allows
	// map[queue_full:1 rate_limited:1]
}

// Each tenant has a rate of its own; that of those that were not seen for long is forgotten.
func ExampleRates() {
	rates, err := backpressure.NewRates(backpressure.RatesOptions{PerSecond: 0.001, Burst: 2, Keys: 1000})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tenant := range []string{"loud", "loud", "loud", "quiet"} {
		fmt.Println(tenant, rates.Allow(tenant, 1))
	}
	// Output:
	// loud true
	// loud true
	// loud false
	// quiet true
}

// Two queues share the memory for 100 messages. Neither can have all of it.
func ExamplePool() {
	pool, err := backpressure.NewPool(backpressure.Weight{Count: 100})
	if err != nil {
		fmt.Println(err)
		return
	}
	fast, slow := pool.Share(), pool.Share()
	n := 0
	for fast.TryAcquire(backpressure.Weight{Count: 1}) {
		n++
	}
	fmt.Println(n, slow.TryAcquire(backpressure.Weight{Count: 20}))
	// Output: 50 true
}

// What goes up and down at one level is told once.
func ExampleGate_Watch() {
	gate, err := backpressure.NewGate(backpressure.Weight{Count: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = gate.Watch(backpressure.Marks{High: 0.8, Low: 0.2}, func(high bool, held backpressure.Weight) {
		fmt.Println("high:", high, "at", held.Count)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	one := backpressure.Weight{Count: 1}
	for range 9 {
		gate.TryAcquire(one)
	}
	for range 5 {
		gate.Release(one)
		gate.TryAcquire(one)
	}
	for range 9 {
		gate.Release(one)
	}
	// Output:
	// high: true at 8
	// high: false at 2
}
