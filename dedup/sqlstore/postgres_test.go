package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// postgresEnv names a server to test with, as a connection string of a user who may create databases. Without it one is started, if the Debian package is installed.
const postgresEnv = "LEAT_POSTGRES"

var errNoPostgres = errors.New("PostgreSQL is not tested: install it (apt-get install postgresql), or set " + postgresEnv + " to a connection string")

// server is the one that the tests of this run share.
var server struct {
	once   sync.Once
	err    error
	source string // the connection string, but for the database
	dir    string // of a server of our own; else ""
	bin    string
	number atomic.Int64
}

// postgres returns databases of the server, and skips t where there is none.
func postgres(t testing.TB) database {
	t.Helper()
	server.once.Do(func() { server.source, server.err = startPostgres() })
	if errors.Is(server.err, errNoPostgres) {
		t.Skip(server.err)
	}
	if server.err != nil {
		t.Fatal(server.err)
	}
	names := map[*sql.DB]string{}
	open := func(t testing.TB, name string) *sql.DB {
		db := connect(t, name, "")
		names[db] = name
		return db
	}
	return database{
		dialect: PostgreSQL,
		open: func(t testing.TB) *sql.DB {
			name := fmt.Sprintf("leat_test_%d_%d", os.Getpid(), server.number.Add(1))
			admin := connect(t, "postgres", "")
			if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if _, err := admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
					t.Error(err)
				}
			})
			return open(t, name)
		},
		again: func(t testing.TB, db *sql.DB) *sql.DB { return open(t, names[db]) },
	}
}

// connect opens a database of the server, with more words of a connection string.
func connect(t testing.TB, name, more string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", server.source+" dbname="+name+" "+more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// startPostgres makes a server in a temporary directory, which listens on a socket in it and does not sync: it is not to outlive the tests.
func startPostgres() (source string, err error) {
	if source := os.Getenv(postgresEnv); source != "" {
		return source, nil
	}
	if server.bin, err = postgresPrograms(); err != nil {
		return "", err
	}
	if server.dir, err = os.MkdirTemp("", "leat-pg-"); err != nil {
		return "", err
	}
	if os.Getuid() == 0 { // under whom it refuses to run
		if out, err := exec.Command("chown", "postgres", server.dir).CombinedOutput(); err != nil {
			return "", fmt.Errorf("chown: %w: %s", err, out)
		}
	}
	if err := runPostgres("initdb", "-D", server.dir+"/data", "-A", "trust", "-U", "leat", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return "", err
	}
	options := "-k " + server.dir + " -c listen_addresses='' -c fsync=off -c max_connections=200"
	if err := runPostgres("pg_ctl", "-D", server.dir+"/data", "-l", server.dir+"/log", "-o", options, "-w", "-t", "60", "start"); err != nil {
		return "", err
	}
	return "host=" + server.dir + " user=leat sslmode=disable", nil
}

// postgresPrograms returns where the programs of the newest Debian package are.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errNoPostgres
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func runPostgres(program string, args ...string) error {
	command := append([]string{filepath.Join(server.bin, program)}, args...)
	if os.Getuid() == 0 {
		command = append([]string{"runuser", "-u", "postgres", "--"}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = os.TempDir()
	log, err := os.CreateTemp("", "leat-pg-log-") // a pipe would be held open by the server
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

// stopPostgres stops the server that was started, if one was.
func stopPostgres() error {
	if server.dir == "" {
		return nil
	}
	var err error
	if _, e := os.Stat(filepath.Join(server.dir, "data", "postmaster.pid")); e == nil || !errors.Is(e, os.ErrNotExist) {
		err = runPostgres("pg_ctl", "-D", server.dir+"/data", "-m", "immediate", "-w", "stop")
	}
	return errors.Join(err, os.RemoveAll(server.dir))
}
