//go:build !windows

package vfs

import "syscall"

var (
	noSpace   = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}
	exhausted = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN}
)
