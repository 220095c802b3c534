package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	_ "modernc.org/sqlite"

	"github.com/leatmq/leat/dedup"
	"github.com/leatmq/leat/dedup/sqlstore"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Invoices in a database, made from messages that come at least once.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	must(err)
	defer db.Close()
	db.SetMaxOpenConns(1) // of a database in memory, each connection is another one
	_, err = db.ExecContext(ctx, "CREATE TABLE invoices (customer text, cents int)")
	must(err)

	store, err := sqlstore.New(db, sqlstore.Options{Dialect: sqlstore.SQLite, Scope: "billing", TTL: 30 * 24 * time.Hour})
	must(err)
	must(store.Migrate(ctx))
	once, err := dedup.NewIdempotent[*sql.Tx](store, dedup.IdempotentOptions{})
	must(err)

	for _, message := range []struct {
		id, customer string
		cents        int
	}{{"order 1", "ann", 500}, {"order 2", "bob", 700}, {"order 1", "ann", 500}} {
		must(once.Do(ctx, message.id, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO invoices VALUES (?, ?)", message.customer, message.cents)
			return err
		}))
	}
	var invoices, cents int
	must(db.QueryRowContext(ctx, "SELECT count(*), sum(cents) FROM invoices").Scan(&invoices, &cents))
	fmt.Println(invoices, "invoices,", cents, "cents")
	// Output: 2 invoices, 1200 cents
}
