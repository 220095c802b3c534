package backpressure

import (
	"flag"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// checks has rapid run so often as LEAT_LOOPS asks for.
func checks(t *testing.T, short, ci, full int) {
	t.Helper()
	n, ok := map[string]int{"": short, "short": short, "ci": ci, "full": full}[os.Getenv("LEAT_LOOPS")]
	if !ok {
		t.Fatalf("LEAT_LOOPS=%s: want short, ci or full", os.Getenv("LEAT_LOOPS"))
	}
	f := flag.Lookup("rapid.checks")
	was := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Value.Set(was) })
}
