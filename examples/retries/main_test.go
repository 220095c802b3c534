package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPrintsWhatItsCommentSays holds the first comment of the program to what the program does.
func TestPrintsWhatItsCommentSays(t *testing.T) {
	var got bytes.Buffer
	if err := run(&got); err != nil {
		t.Fatalf("%v, after\n%s", err, got.String())
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(source), "// Output:\n//\n")
	want, _, _ = strings.Cut(want, "package main")
	want = regexp.MustCompile(`(?m)^//\t`).ReplaceAllString(want, "")
	if got.String() != want {
		t.Errorf("printed\n%s\nbut the comment says\n%s", got.String(), want)
	}
}
