package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leatmq/leat/dedup"
	"github.com/leatmq/leat/dedup/deduptest"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(workerEnv); file != "" {
		os.Exit(work(file))
	}
	code := m.Run()
	if err := stopPostgres(); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// database is one that tests run on.
type database struct {
	dialect Dialect
	open    func(t testing.TB) *sql.DB // an empty one
	again   func(t testing.TB, db *sql.DB) *sql.DB
}

// each runs a test on every database that is there.
func each(t *testing.T, test func(t *testing.T, d database)) {
	t.Run("SQLite", func(t *testing.T) { test(t, sqlite()) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, postgres(t)) })
}

// newStore returns a store with its table, and beside it one for what functions write.
func newStore(t testing.TB, d database, db *sql.DB, o Options) *Store {
	t.Helper()
	o.Dialect = d.dialect
	if o.Scope == "" {
		o.Scope = "test"
	}
	s, err := New(db, o)
	if err == nil {
		err = s.Migrate(t.Context())
	}
	if err == nil {
		_, err = db.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS effects (value text NOT NULL)")
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write stores a value in a transaction.
func (d database) write(ctx context.Context, tx Execer, value string) error {
	text := "INSERT INTO effects (value) VALUES (?1)"
	if d.dialect == PostgreSQL {
		text = "INSERT INTO effects (value) VALUES ($1)"
	}
	_, err := tx.ExecContext(ctx, text, value)
	return err
}

// written returns what was committed.
func written(t testing.TB, db *sql.DB) (values []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT value FROM effects ORDER BY value")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// advance makes the marks older, since nobody can turn the clock of a database.
func advance(t testing.TB, s *Store, d time.Duration) {
	t.Helper()
	text := fmt.Sprintf("UPDATE %s SET expires = expires - %d", quoted(s.options.Table), d.Milliseconds())
	if _, err := s.db.ExecContext(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		deduptest.Test(t, deduptest.Harness[*sql.Tx]{
			Open: func(t testing.TB) dedup.Store[*sql.Tx] {
				return newStore(t, d, d.open(t), Options{TTL: deduptest.TTL})
			},
			Reopen: func(t testing.TB, s dedup.Store[*sql.Tx]) dedup.Store[*sql.Tx] {
				return newStore(t, d, d.again(t, s.(*Store).db), Options{TTL: deduptest.TTL})
			},
			Advance: func(t testing.TB, s dedup.Store[*sql.Tx], by time.Duration) { advance(t, s.(*Store), by) },
			Write:   func(ctx context.Context, tx *sql.Tx, value string) error { return d.write(ctx, tx, value) },
			Written: func(t testing.TB, s dedup.Store[*sql.Tx]) []string { return written(t, s.(*Store).db) },
			Serial:  d.dialect == SQLite,
		})
	})
}
