package osfs

import (
	"os"
	"strconv"
)

// Process names this process to people, for Lock.
func Process() string { return "process " + strconv.Itoa(os.Getpid()) }
