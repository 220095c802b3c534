package main

import (
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(&out, io.Discard, 40); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "flat: yes") || !strings.HasSuffix(out.String(), "0 bytes are kept\n") {
		t.Errorf("got %s", out.String())
	}
}
