package sqlstore

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"
)

// sqlite is in a file of its own for each test.
func sqlite() database {
	names := map[*sql.DB]string{}
	open := func(t testing.TB, file string) *sql.DB {
		db, err := openSQLite(file)
		if err != nil {
			t.Fatal(err)
		}
		names[db] = file
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
	return database{
		dialect: SQLite,
		open:    func(t testing.TB) *sql.DB { return open(t, filepath.Join(t.TempDir(), "test.db")) },
		again:   func(t testing.TB, db *sql.DB) *sql.DB { return open(t, names[db]) },
	}
}

// openSQLite opens a file as an application would: a log of its own for writes, so that reading goes on meanwhile, and waiting for others.
func openSQLite(file string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Opaque: filepath.ToSlash(file), RawQuery: "_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"}
	return sql.Open("sqlite", name.String())
}
