package disk_test

import (
	"os"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	if dir := os.Getenv(openerDir); dir != "" {
		os.Exit(opener(dir))
	}
	if dir := os.Getenv(starvedDir); dir != "" {
		os.Exit(starve(dir))
	}
	debug.SetGCPercent(400) // the loops open thousands of stores, each with blocks of a megabyte that live for a millisecond
	goleak.VerifyTestMain(m)
}
