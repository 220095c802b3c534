package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/dedup"
)

// ErrNoTransaction says that Mark was given a *sql.DB. The mark would be kept although the work fails: give it the transaction of the work.
var ErrNoTransaction = errors.New("sqlstore: a mark outside a transaction")

// Store is a [dedup.Store] in a table of the application's database. It is safe for concurrent use, by any number of processes. All of them that use one table and
// scope should have the same TTL; times are the database's.
type Store struct {
	db      *sql.DB
	options Options
	texts   texts
}

var _ dedup.Store[*sql.Tx] = (*Store)(nil)

// Execer is what runs a statement in a transaction: a *sql.Tx, a *sql.Conn on which the application has begun one, or what wraps them.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// New returns a store over db, which stays the application's to close. The error is a [*dedup.OptionsError], or several. The table must be there before the store
// is used: see [Store.Migrate].
func New(db *sql.DB, o Options) (*Store, error) {
	if db == nil {
		return nil, &dedup.OptionsError{Option: "the database", Have: "nil", Rule: "it must be one"}
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return &Store{db: db, options: o, texts: textsOf(o)}, nil
}

// Once does what [dedup.Store] says, in a transaction of the database's default isolation. Whether what was committed survives a power cut is the database's to say.
// Where the answer to the commit is lost, the error is [dedup.ErrIndeterminate].
func (s *Store) Once(ctx context.Context, key string, fn func(ctx context.Context, tx *sql.Tx) error) (first bool, err error) {
	if err := dedup.CheckKey(key); err != nil {
		return false, err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("sqlstore: begin a transaction: %w", err)
	}
	defer tx.Rollback() // also when fn panics or ends its goroutine; does nothing after the commit
	first, err = s.Mark(ctx, tx, key)
	if err != nil || !first {
		return false, err
	}
	if err := fn(ctx, tx); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return false, commitError(err)
	}
	return true, nil
}

// Mark marks key in a transaction that the application commits, or rolls back, itself. If first is false the key is marked already, and the work is not to be
// done. While another transaction works on the key, Mark waits as long as the database lets it: for longer the error is [dedup.ErrInFlight] under
// PostgreSQL, after which the transaction can only be rolled back.
func (s *Store) Mark(ctx context.Context, tx Execer, key string) (first bool, err error) {
	if err := dedup.CheckKey(key); err != nil {
		return false, err
	}
	if _, ok := tx.(*sql.DB); ok {
		return false, ErrNoTransaction
	}
	result, err := tx.ExecContext(ctx, s.texts.mark, []byte(s.options.Scope), []byte(key), s.options.TTL.Milliseconds())
	if err != nil {
		return false, markError(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("sqlstore: mark a key: %w", err)
	}
	return n > 0, nil
}

// Prune removes at most max of the scope's marks that have expired, the oldest first, and returns how many. It skips what other transactions work on. Nothing else
// removes them: call it now and then until it returns less than max, some thousands at a time so that its locks are short.
func (s *Store) Prune(ctx context.Context, max int) (removed int64, err error) {
	if max <= 0 {
		return 0, nil
	}
	result, err := s.db.ExecContext(ctx, s.texts.prune, []byte(s.options.Scope), max)
	if err == nil {
		removed, err = result.RowsAffected()
	}
	if err != nil {
		return 0, fmt.Errorf("sqlstore: prune: %w", err)
	}
	return removed, nil
}

// Stats counts the scope's marks: those that hold, and those that have expired and wait for Prune. It reads all of them.
func (s *Store) Stats(ctx context.Context) (live, expired int64, err error) {
	if err := s.db.QueryRowContext(ctx, s.texts.count, []byte(s.options.Scope)).Scan(&live, &expired); err != nil {
		return 0, 0, fmt.Errorf("sqlstore: count marks: %w", err)
	}
	return live, expired, nil
}

// Migrate makes the table and its index, unless they are there. Any number of processes may do so at a time. Applications that change their schema
// by other means use [Store.Schema].
func (s *Store) Migrate(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	defer tx.Rollback()
	for _, text := range s.texts.migrate {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("sqlstore: migrate: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	return nil
}

// Schema returns the statements that make the table and its index, for the migrations of an application.
func (s *Store) Schema() []string { return []string{s.texts.table, s.texts.index} }

// Options are the options of a [Store].
type Options struct {
	// Dialect is which database it is. It must be set.
	Dialect Dialect
	// Scope keeps the marks of one use apart from those of others in the same table: one per consumer that does its own work with the same messages. 1 to
	// 255 bytes; it must be set.
	Scope string
	// Table is the name of the table, with its schema if wanted: letters, digits and underscores. "" is leat_marks.
	Table string
	// TTL is for how long a mark holds. It must be longer than a message can come again. 0 is 7 days; at least 1 s, at most 100 years.
	TTL time.Duration
}
