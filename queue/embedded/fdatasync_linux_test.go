package embedded_test

import (
	"os"
	"syscall"
)

// fdatasync makes f's data durable, and no more.
func fdatasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
