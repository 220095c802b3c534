package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/dedup"
)

// A receiver that gets some messages twice, and one that fails the first time.
func ExampleFilter() {
	filter, err := dedup.NewFilter(dedup.FilterOptions{Keys: 10_000, Window: time.Minute})
	if err != nil {
		panic(err)
	}
	failed := false
	receive := func(topic, value string) {
		r, state := filter.Reserve(dedup.KeyOf([]byte(topic), []byte(value)))
		if !state.Reserved() {
			fmt.Println(value, state)
			return
		}
		defer r.Abort() // does nothing after Commit
		if value == "a pen" && !failed {
			failed = true
			fmt.Println(value, "failed")
			return
		}
		fmt.Println(value, "done")
		r.Commit()
	}
	receive("orders", "two books")
	receive("orders", "a pen")
	receive("orders", "two books")
	receive("orders", "a pen")
	receive("orders", "a pen")
	// Output:
	// two books done
	// a pen failed
	// two books Seen
	// a pen done
	// a pen Seen
}

// The consumer of a queue that delivers at least once. With a store in a database, fn gets its transaction.
func ExampleIdempotent() {
	store, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		panic(err)
	}
	once, err := dedup.NewIdempotent[dedup.NoTx](store, dedup.IdempotentOptions{})
	if err != nil {
		panic(err)
	}
	balance := 0
	for _, id := range []string{"payment 1", "payment 2", "payment 1", ""} {
		err := once.Do(context.Background(), id, func(context.Context, dedup.NoTx) error {
			balance += 10
			return nil
		})
		fmt.Printf("%q: balance %d, no key: %v\n", id, balance, errors.Is(err, dedup.ErrNoKey))
	}
	// Output:
	// "payment 1": balance 10, no key: false
	// "payment 2": balance 20, no key: false
	// "payment 1": balance 20, no key: false
	// "": balance 20, no key: true
}

func ExampleKeyOf() {
	a := dedup.KeyOf([]byte("ab"), []byte("c"))
	b := dedup.KeyOf([]byte("a"), []byte("bc"))
	fmt.Println(a == b)
	fmt.Println(a)
	// Output:
	// false
	// c150b536a0d7450f5d040d8dac8f6924ce08e5f015c594e343e9e485463ef3bb
}
