package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

const killsPerRound = 8 // at most; then the program may end in peace

// TestKilledAtAnyMoment kills the program until it has had enough, and compares what it ends with with a run in peace.
func TestKilledAtAnyMoment(t *testing.T) {
	kills := map[string]int{"ci": 60, "full": 300}[os.Getenv("LEAT_LOOPS")]
	if kills == 0 {
		kills = 20
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))

	logs := t.TempDir()
	files := []string{writeAccessLog(t, rng, logs), writeDatedLog(t, rng, logs)}
	peace := t.TempDir()
	began := time.Now()
	want, ended := runChild(t, peace, files, time.Hour)
	if !ended || want.Records == 0 || want.Archived != want.Records {
		t.Fatalf("the run in peace: %+v", want)
	}
	whole := time.Since(began)

	var killed, midway, rounds int
	for killed < kills || midway < kills/5 {
		if rounds++; rounds > 10*kills {
			t.Fatalf("only %d kills, %d of them with the archive half written: the test shows nothing", killed, midway)
		}
		dir := t.TempDir()
		for n := range killsPerRound + 1 {
			patience := time.Duration(rng.Int64N(int64(whole)))
			if n == killsPerRound {
				patience = time.Hour
			}
			began := time.Now()
			got, ended := runChild(t, dir, files, patience)
			if ended {
				compare(t, dir, peace, got, want)
				if n == 0 {
					whole = time.Since(began) + time.Millisecond
				}
				break
			}
			killed++
			if n := archivedIn(t, dir); 0 < n && n < want.Archived {
				midway++
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills in %d rounds, %d of them with the archive half written: lost 0, repeated 0", killed, rounds, midway)
}

// runChild runs the program in a process of its own and kills it after patience; ended is false then.
func runChild(t *testing.T, dir string, files []string, patience time.Duration) (r report, ended bool) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	child := exec.Command(os.Args[0], append([]string{"-json", "-data", dir, "-once"}, files...)...)
	child.Env = append(os.Environ(), asChild+"=1", "GORACE=atexit_sleep_ms=0") // else a race build naps before it ends
	child.Stdout, child.Stderr = &out, &diagnostics
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { child.Process.Kill() })
	err := child.Wait()
	if !timer.Stop() && err != nil {
		return r, false
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, diagnostics.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	return r, true
}

func compare(t *testing.T, dir, wantDir string, got, want report) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	have, should := archiveIn(t, dir), archiveIn(t, wantDir)
	if !maps.Equal(have, should) {
		for _, name := range slices.Sorted(maps.Keys(should)) {
			t.Logf("%s: %d bytes, want %d, equal: %v", name, len(have[name]), len(should[name]), have[name] == should[name])
		}
		t.Errorf("the archive in %s is another", dir)
	}
}

// archiveIn returns the archive's files by name.
func archiveIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "archive", "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no archive in %s: %v", dir, err)
	}
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = string(text)
	}
	return files
}

// archivedIn returns how many records the archive holds.
func archivedIn(t *testing.T, dir string) int64 {
	t.Helper()
	a := archive{}
	if err := load(filepath.Join(dir, "archive.json"), &a.places); err != nil {
		t.Fatal(err)
	}
	return a.records()
}

func writeAccessLog(t *testing.T, rng *rand.Rand, dir string) string {
	var b bytes.Buffer
	for range 3000 {
		size := "-"
		if rng.IntN(4) > 0 {
			size = fmt.Sprint(rng.IntN(100_000))
		}
		fmt.Fprintf(&b, "192.0.2.%d - - [02/Mar/2026:08:15:01 +0000] \"GET /%x HTTP/1.1\" %d %s \"-\" \"-\"\n",
			rng.IntN(200), rng.Uint64(), []int{200, 200, 304, 404}[rng.IntN(4)], size)
	}
	return writeLog(t, filepath.Join(dir, "access.log"), b.Bytes())
}

func writeDatedLog(t *testing.T, rng *rand.Rand, dir string) string {
	var b bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&b, "[2026-03-02 08:15:%02d,%03d] change %x\n", i/1000, i%1000, rng.Uint64())
		for range rng.IntN(3) {
			fmt.Fprintf(&b, "\tat %x\n", rng.Uint64())
		}
	}
	return writeLog(t, filepath.Join(dir, "server.log"), b.Bytes())
}

func writeLog(t *testing.T, name string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
