package osfs

import "syscall"

// YieldThread lets another thread run that waits for the processor of the caller's, if there is one, and is some hundred nanoseconds otherwise. runtime.Gosched does less: another
// goroutine runs on the same thread. Where the system has put two threads of Go on one processor, as it may when one wakes the other, what a goroutine waits for stands still as long as
// it only yields to goroutines. See sched_yield(2).
func YieldThread() { _, _, _ = syscall.Syscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
