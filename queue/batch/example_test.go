package batch_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue/batch"
	"github.com/leatmq/leat/retry"
)

type row struct{ account, entry string }

// Rows that many goroutines insert, one at a time, go to a database many at a time, those of one account in their order; each knows what became of it.
func Example() {
	ctx := context.Background()
	rows, err := batch.New(batch.Config[row]{
		MaxBatchSize: 500,
		Parallelism:  4,
		Key:          func(r row) string { return r.account },
		Retry:        retry.Policy{MaxAttempts: 3},
	}, insert)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 1000 {
		if err := rows.Add(ctx, row{fmt.Sprint("account ", i%7), fmt.Sprint("entry ", i)}); err != nil { // returns when it is in the buffer
			fmt.Println(err)
		}
	}
	fmt.Println(rows.Do(ctx, row{"account 0", "the last"})) // returns when it is inserted
	fmt.Println(rows.Do(ctx, row{"", "nobody's"}))
	fmt.Println(rows.Close(ctx))
	s := rows.Stats()
	fmt.Println(s.Done, "inserted,", s.Failed, "refused,", s.Retried, "tried again")
	// Output:
	// <nil>
	// no such account
	// <nil>
	// 1001 inserted, 1 refused, 0 tried again
}

func insert(ctx context.Context, rows []row) []error {
	errs := make([]error, len(rows))
	for i, r := range rows {
		if r.account == "" {
			errs[i] = retry.Permanent(errors.New("no such account")) // the others are inserted all the same
		}
	}
	return errs
}
