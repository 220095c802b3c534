package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/leatmq/leat/dedup"
)

// TestLockTimeout: whoever may not wait for as long as another works on the key is told that it is in flight.
func TestLockTimeout(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := newStore(t, d, db, Options{})
	var name string
	if err := db.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	impatient := newStore(t, d, connect(t, name, "lock_timeout=10"), Options{})
	first, err := s.Once(t.Context(), "key", func(ctx context.Context, _ *sql.Tx) error {
		_, err := impatient.Once(ctx, "key", func(context.Context, *sql.Tx) error {
			t.Error("the function ran")
			return nil
		})
		if !errors.Is(err, dedup.ErrInFlight) {
			t.Errorf("the one that did not wait got %v", err)
		}
		once(t, impatient, "other", true)
		return nil
	})
	if !first || err != nil {
		t.Errorf("%v, %v", first, err)
	}
	once(t, impatient, "key", false)
}

// TestConnectionLost: a server that goes away within the work, so that nobody can say how the commit ended, is told apart from one that refused it.
func TestConnectionLost(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := newStore(t, d, db, Options{})
	first, err := s.Once(t.Context(), "key", func(ctx context.Context, tx *sql.Tx) error {
		if err := d.write(ctx, tx, "lost"); err != nil {
			return err
		}
		var pid int
		if err := tx.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		_, err := db.ExecContext(ctx, "SELECT pg_terminate_backend($1, 10000)", pid)
		return err
	})
	if first || !errors.Is(err, dedup.ErrIndeterminate) {
		t.Errorf("the answer to the commit was lost: %v, %v", first, err)
	}
	first, err = s.Once(t.Context(), "key", func(ctx context.Context, tx *sql.Tx) error { return d.write(ctx, tx, "kept") })
	if !first || err != nil {
		t.Errorf("the next attempt: %v, %v", first, err)
	}
	if got := written(t, db); len(got) != 1 || got[0] != "kept" {
		t.Errorf("effects %q", got)
	}
}

// TestCommitRefused: a constraint that is only looked at by the commit.
func TestCommitRefused(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := newStore(t, d, db, Options{})
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE accounts (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)"); err != nil {
		t.Fatal(err)
	}
	insert := func(rows string) (bool, error) {
		return s.Once(t.Context(), "key", func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO accounts VALUES "+rows)
			return err
		})
	}
	if first, err := insert("(1), (1)"); first || err == nil || errors.Is(err, dedup.ErrIndeterminate) {
		t.Errorf("a commit that is refused: %v, %v", first, err)
	}
	if first, err := insert("(1)"); !first || err != nil {
		t.Errorf("the next attempt: %v, %v", first, err)
	}
}

// TestSerializable: those who waited do not run their function, whatever the isolation is.
func TestSerializable(t *testing.T) {
	d := postgres(t)
	db := d.open(t)
	s := newStore(t, d, db, Options{})
	ends := &sql.TxOptions{Isolation: sql.LevelSerializable}
	one, err := db.BeginTx(t.Context(), ends)
	if err != nil {
		t.Fatal(err)
	}
	two, err := db.BeginTx(t.Context(), ends)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Rollback()
	var n int
	if err := two.QueryRowContext(t.Context(), "SELECT count(*) FROM effects").Scan(&n); err != nil { // its view begins here
		t.Fatal(err)
	}
	if first, err := s.Mark(t.Context(), one, "key"); !first || err != nil {
		t.Fatal(first, err)
	}
	if err := one.Commit(); err != nil {
		t.Fatal(err)
	}
	if first, err := s.Mark(t.Context(), two, "key"); first || sqlState(err) != "40001" {
		t.Errorf("the second one got %v, %v, want the error of a transaction that cannot be serialized", first, err)
	}
}

// TestEndedWithin: a function that ends the transaction itself is told so, and so is one whose context ends without an error of its own.
func TestEndedWithin(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := newStore(t, d, db, Options{})
		if first, err := s.Once(t.Context(), "key", func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() }); first || !errors.Is(err, sql.ErrTxDone) {
			t.Errorf("rolled back within: %v, %v", first, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if first, err := s.Once(ctx, "key", func(context.Context, *sql.Tx) error { cancel(); return nil }); first || !errors.Is(err, context.Canceled) || errors.Is(err, dedup.ErrIndeterminate) {
			t.Errorf("cancelled within: %v, %v", first, err)
		}
		once(t, s, "key", true)
	})
}
