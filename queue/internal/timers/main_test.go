package timers

import (
	"flag"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sized chooses by LEAT_LOOPS.
func sized(short, ci, full int) int {
	switch os.Getenv("LEAT_LOOPS") {
	case "ci":
		return ci
	case "full":
		return full
	}
	return short
}

// rapidChecks sets how many cases rapid makes.
func rapidChecks(t *testing.T, n int) {
	f := flag.Lookup("rapid.checks")
	before := f.Value.String()
	f.Value.Set(strconv.Itoa(n))
	t.Cleanup(func() { f.Value.Set(before) })
}
