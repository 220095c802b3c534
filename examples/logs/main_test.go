package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/leatmq/leat/queue"
)

// asChild makes the test binary the program itself, to be killed.
const asChild = "LEAT_LOGS_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// TestPrintsWhatItsCommentSays holds the first comment of the program to what the program does.
func TestPrintsWhatItsCommentSays(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, call, _ := strings.Cut(string(source), "go run ./examples/logs ")
	call, _, _ = strings.Cut(call, "\n")
	_, want, _ := strings.Cut(string(source), "// Output:\n//\n")
	want, _, _ = strings.Cut(want, "package main")
	want = regexp.MustCompile(`(?m)^//\t`).ReplaceAllString(want, "")

	t.Chdir("../..")
	var got bytes.Buffer
	if err := run(t.Context(), strings.Fields(call), &got, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("printed\n%s\nbut the comment says\n%s", got.String(), want)
	}
}

// TestRealLogs runs on logs that are not shipped: $LEAT_DATA, or ../shared/data beside the repository.
func TestRealLogs(t *testing.T) {
	data := os.Getenv("LEAT_DATA")
	if data == "" {
		data = filepath.FromSlash("../../../shared/data")
	}
	if _, err := os.Stat(filepath.Join(data, "apache-access.log")); err != nil {
		t.Skipf("no logs to try: %v", err)
	}
	access := runJSON(t, t.TempDir(), filepath.Join(data, "apache-access.log"))
	if access.Lines != 10000 || access.Records != 10000 || access.Archived != 10000 || access.Clients != 1753 ||
		access.Bytes != 2747282740 || access.Status["200"] != 9126 {
		t.Errorf("access log: %+v", access)
	}
	kafka := runJSON(t, t.TempDir(), filepath.Join(data, "kafka-state-change.log.1"), filepath.Join(data, "kafka-state-change.log"))
	if kafka.Lines != 8410 || kafka.Records != 6508 || kafka.Archived != 6508 || kafka.Clients != 0 || len(kafka.Status) != 0 {
		t.Errorf("Kafka logs: %+v", kafka)
	}
}

// TestGoesOnByItsOwnPositions: what the queue believes to be done does not count where the effect is gone.
func TestGoesOnByItsOwnPositions(t *testing.T) {
	files := []string{"testdata/access.log", "testdata/state-change.log"}
	peace := t.TempDir()
	want := runJSON(t, peace, files...)
	for _, lost := range []string{"nothing", "archive", "archive/lines-0.log", "archive.json", "counts.json"} {
		t.Run(lost, func(t *testing.T) {
			dir := t.TempDir()
			runJSON(t, dir, files[0])
			if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
				t.Fatal(err)
			}
			compare(t, dir, peace, runJSON(t, dir, files...), want)
		})
	}
}

// TestRefusesAnotherQueue: with the queue wiped, the positions beside the archive are those of messages that are gone.
func TestRefusesAnotherQueue(t *testing.T) {
	dir := t.TempDir()
	runJSON(t, dir, "testdata/access.log")
	if err := os.RemoveAll(filepath.Join(dir, "queue")); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"-data", dir, "-once", "testdata/access.log"}, io.Discard, io.Discard)
	if !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"-once"}, {"file"}, {"-none"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("run(%q) did not fail", args)
		}
	}
}

func TestMissingFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "missing.log")
	err := run(t.Context(), []string{"-once", name}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{"-once", "testdata/access.log"}, io.Discard, io.Discard); err == nil {
		t.Error("no error though the context had ended")
	}
}

// runJSON runs the program in this process.
func runJSON(t *testing.T, dir string, files ...string) (r report) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	args := append([]string{"-json", "-data", dir, "-once"}, files...)
	if err := run(t.Context(), args, &out, &diagnostics); err != nil {
		t.Fatalf("%v\n%s", err, diagnostics.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	return r
}
