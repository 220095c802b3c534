package sqlstore

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatmq/leat/dedup"
)

// workerEnv names the database of a process that works until it is killed.
const workerEnv = "LEAT_SQLSTORE_WORKER"

const (
	killedJobs = 400
	kills      = 12
	ahead      = 4 // jobs that a process may do beyond those that it has told of
)

// work does every job that is not done, and prints the number of each when it is. It reads a line before each, until there are no more lines.
func work(file string) int {
	db, err := openSQLite(file)
	if err == nil {
		err = doJobs(db)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func doJobs(db *sql.DB) error {
	s, err := New(db, Options{Dialect: SQLite, Scope: "jobs"})
	if err != nil {
		return err
	}
	once, err := dedup.NewIdempotent[*sql.Tx](s, dedup.IdempotentOptions{})
	if err != nil {
		return err
	}
	granted := bufio.NewScanner(os.Stdin)
	for job := range killedJobs {
		granted.Scan()
		err := once.Do(context.Background(), fmt.Sprint("job ", job), func(ctx context.Context, tx *sql.Tx) error {
			return sqlite().write(ctx, tx, fmt.Sprint("effect ", job))
		})
		if err != nil {
			return err
		}
		fmt.Println(job)
	}
	return db.Close()
}

// TestKilled kills processes that work through the same jobs, from the first one on each time: at the end each has had its effect once.
func TestKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	db, err := openSQLite(file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	newStore(t, sqlite(), db, Options{Scope: "jobs"})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	before := 0
	for range kills {
		runWorker(t, file, before+rng.IntN(killedJobs/kills-ahead))
		n := len(written(t, db))
		if n < before {
			t.Errorf("%d effects, after %d", n, before)
		}
		before = n
	}
	runWorker(t, file, -1)
	values := written(t, db)
	repeated := 0
	for i := 1; i < len(values); i++ {
		if values[i] == values[i-1] {
			repeated++
		}
	}
	t.Logf("jobs %d effects %d repeated %d, killed %d times, %d done when it was killed last", killedJobs, len(values), repeated, kills, before)
	if len(values) != killedJobs || repeated != 0 {
		t.Error("not every job had its effect once")
	}
	if before == 0 || before >= killedJobs {
		t.Errorf("%d jobs were done when it was killed last: the kills came too early or too late", before)
	}
}

// runWorker runs a process until it has printed after lines, and kills it; a negative number lets it come to its end.
func runWorker(t *testing.T, file string, after int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerEnv+"="+file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil && after >= 0 {
		_, err = io.WriteString(in, strings.Repeat("\n", after+ahead))
	} else if err == nil {
		err = in.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; n != after && lines.Scan(); n++ {
	}
	if after >= 0 {
		cmd.Process.Kill()
	}
	if err := cmd.Wait(); err != nil && after < 0 {
		t.Fatal(err)
	}
}
