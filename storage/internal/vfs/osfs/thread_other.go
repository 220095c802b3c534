//go:build !linux

package osfs

// YieldThread lets another thread run, on Linux: elsewhere the standard library has no call for it.
func YieldThread() {}
