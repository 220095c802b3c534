package vfs

import "syscall"

// Errors of Windows by their names there. ENOSPC and the like are not among those that it returns, but tests do.
const (
	errorTooManyOpenFiles  = syscall.Errno(4)
	errorNotEnoughMemory   = syscall.Errno(8)
	errorHandleDiskFull    = syscall.Errno(39)
	errorDiskFull          = syscall.Errno(112)
	errorDiskQuotaExceeded = syscall.Errno(1295)
	errorNoSystemResources = syscall.Errno(1450)
)

var (
	noSpace     = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, errorHandleDiskFull, errorDiskFull, errorDiskQuotaExceeded}
	tooManyOpen = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, errorTooManyOpenFiles}
	exhausted   = []syscall.Errno{syscall.ENOMEM, syscall.EAGAIN, errorNotEnoughMemory, errorNoSystemResources}
)
