package embedded_test

import (
	"os"
	"testing"
)

// descriptors counts the files that the process has open.
func descriptors(tb testing.TB) int {
	tb.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	must(tb, err)
	return len(fds)
}
