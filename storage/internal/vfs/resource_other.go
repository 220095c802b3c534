//go:build !windows

package vfs

import "syscall"

var (
	noSpace     = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}
	tooManyOpen = []syscall.Errno{syscall.EMFILE, syscall.ENFILE}
	exhausted   = []syscall.Errno{syscall.ENOMEM, syscall.EAGAIN}
)
