package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/dedup"
)

func TestOptions(t *testing.T) {
	db := sqlite().open(t)
	for option, o := range map[string]Options{
		"Dialect": {Scope: "a"}, "Dialect ": {Scope: "a", Dialect: 3}, "Scope": {Dialect: SQLite}, "Scope ": {Dialect: SQLite, Scope: strings.Repeat("a", 256)},
		"Table":     {Dialect: SQLite, Scope: "a", Table: `marks"; DROP TABLE effects; --`},
		"Table ":    {Dialect: SQLite, Scope: "a", Table: "a.b.c"},
		"Table  ":   {Dialect: SQLite, Scope: "a", Table: strings.Repeat("a", 51)},
		"Table   ":  {Dialect: SQLite, Scope: "a", Table: "1a"},
		"Table    ": {Dialect: SQLite, Scope: "a", Table: "a\n"},
		"TTL":       {Dialect: SQLite, Scope: "a", TTL: -1}, "TTL ": {Dialect: SQLite, Scope: "a", TTL: time.Millisecond}, "TTL  ": {Dialect: SQLite, Scope: "a", TTL: 1 << 62},
	} {
		var wrong *dedup.OptionsError
		if s, err := New(db, o); s != nil || !errors.As(err, &wrong) || wrong.Option != "Options."+strings.TrimSpace(option) {
			t.Errorf("%s: %v", option, err)
		}
	}
	var wrong *dedup.OptionsError
	if _, err := New(nil, Options{Dialect: SQLite, Scope: "a"}); !errors.As(err, &wrong) {
		t.Errorf("no database: %v", err)
	}
}

func once(t *testing.T, s *Store, key string, wantFirst bool) {
	t.Helper()
	ran := false
	first, err := s.Once(t.Context(), key, func(context.Context, *sql.Tx) error { ran = true; return nil })
	if err != nil || first != wantFirst || ran != wantFirst {
		t.Errorf("Once(%q) is %v, %v, ran %v; want %v", key, first, err, ran, wantFirst)
	}
}

// TestScopesAndTables: marks of other scopes and tables are others. Words of SQL are names like any other.
func TestScopesAndTables(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		schema := map[Dialect]string{SQLite: "main.", PostgreSQL: "public."}[d.dialect]
		for _, o := range []Options{{Scope: "a"}, {Scope: "b"}, {Scope: "\x00\xff"}, {Scope: "a", Table: "Select"}, {Scope: "a", Table: schema + "other"}} {
			s := newStore(t, d, db, o)
			once(t, s, "key", true)
			once(t, s, "key", false)
			newStore(t, d, db, o) // the table is there already
			once(t, s, "key", false)
		}
		once(t, newStore(t, d, db, Options{Scope: "a", Table: "other"}), "key", false) // with or without its schema
	})
}

func TestMark(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s := newStore(t, d, db, Options{})
		mark := func(want bool, end func(*sql.Tx) error) {
			t.Helper()
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			first, err := s.Mark(t.Context(), tx, "key")
			if err != nil || first != want {
				t.Errorf("Mark is %v, %v, want %v", first, err, want)
			}
			if first {
				err = d.write(t.Context(), tx, "effect")
			}
			if err := errors.Join(err, end(tx)); err != nil {
				t.Error(err)
			}
		}
		mark(true, (*sql.Tx).Rollback)
		mark(true, (*sql.Tx).Commit)
		mark(false, (*sql.Tx).Commit)
		if got := written(t, db); len(got) != 1 {
			t.Errorf("effects %q", got)
		}
		if _, err := s.Mark(t.Context(), db, "other"); !errors.Is(err, ErrNoTransaction) {
			t.Errorf("a mark outside a transaction: %v", err)
		}
		if _, err := s.Mark(t.Context(), nil, ""); !errors.Is(err, dedup.ErrNoKey) {
			t.Errorf("no key: %v", err)
		}
	})
}

func TestPrune(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s, other := newStore(t, d, db, Options{TTL: time.Hour}), newStore(t, d, db, Options{TTL: time.Hour, Scope: "other"})
		for n := range 10 {
			once(t, s, fmt.Sprint("old ", n), true)
		}
		once(t, other, "old 1", true)
		advance(t, s, 2*time.Hour)
		for n := range 5 {
			once(t, s, fmt.Sprint("new ", n), true)
		}
		once(t, s, "old 0", true) // marked anew
		counts := func(wantLive, wantExpired int64) {
			t.Helper()
			if live, expired, err := s.Stats(t.Context()); err != nil || live != wantLive || expired != wantExpired {
				t.Errorf("%d live, %d expired, %v; want %d, %d", live, expired, err, wantLive, wantExpired)
			}
		}
		counts(6, 9)
		for _, want := range []int64{4, 4, 1, 0} {
			if n, err := s.Prune(t.Context(), 4); err != nil || n != want {
				t.Errorf("Prune is %d, %v, want %d", n, err, want)
			}
		}
		if n, err := s.Prune(t.Context(), 0); err != nil || n != 0 {
			t.Errorf("Prune of nothing is %d, %v", n, err)
		}
		counts(6, 0)
		once(t, s, "new 1", false)
		once(t, s, "old 0", false)
		if _, expired, err := other.Stats(t.Context()); err != nil || expired != 1 {
			t.Errorf("%d expired marks of the other scope, %v, want 1", expired, err)
		}
	})
}

// TestPruneWhileUsed: a mark that expires is taken anew and pruned at a time, again and again, and is never lost or taken twice.
func TestPruneWhileUsed(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newStore(t, d, d.open(t), Options{TTL: time.Hour})
		for range 20 {
			var all sync.WaitGroup
			var mu sync.Mutex
			firsts := 0
			for range 4 {
				all.Go(func() {
					first, err := s.Once(t.Context(), "key", func(context.Context, *sql.Tx) error { return nil })
					if err != nil {
						t.Error(err)
					}
					if first {
						mu.Lock()
						firsts++
						mu.Unlock()
					}
					if _, err := s.Prune(t.Context(), 10); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if firsts != 1 {
				t.Errorf("%d were first", firsts)
			}
			advance(t, s, 2*time.Hour)
		}
	})
}

// TestMigrateAtATime: PostgreSQL fails for one of two that make the same table at a time, unless they wait for each other.
func TestMigrateAtATime(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.open(t)
		s, err := New(db, Options{Dialect: d.dialect, Scope: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Schema()) != 2 {
			t.Errorf("%q", s.Schema())
		}
		if _, err := s.Once(t.Context(), "key", nil); err == nil {
			t.Error("there is no table, and no error")
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := s.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		once(t, s, "key", true)
	})
}
