package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/retry/breaker"
)

func ExampleBreaker_Do() {
	b, err := breaker.New(breaker.Options{
		Name:     "bank",
		Failures: 2,
		OpenFor:  time.Millisecond,
		OnChange: func(c breaker.Change) { fmt.Println(c.Name, "was", c.From, "and is", c.To) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	charge := func(context.Context) error { return errors.New("no answer") }
	_ = b.Do(ctx, charge)
	_ = b.Do(ctx, charge)

	err = b.Do(ctx, charge) // not called
	var open *breaker.OpenError
	fmt.Println(errors.As(err, &open))

	<-time.After(open.Left)
	fmt.Println(b.Do(ctx, func(context.Context) error { return nil }))
	// Output:
	// bank was Closed and is Open
	// true
	// bank was Open and is HalfOpen
	// bank was HalfOpen and is Closed
	// <nil>
}

// Where a call does not end in the function that began it.
func ExampleBreaker_Allow() {
	b, err := breaker.New(breaker.Options{Failures: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	call, err := b.Allow()
	fmt.Println(err)
	call.Done(errors.New("no answer"))

	_, err = b.Allow()
	fmt.Println(errors.Is(err, breaker.ErrOpen), b.State())
	// Output:
	// <nil>
	// true Open
}
