package vfs

import (
	"errors"
	"syscall"
)

// NoSpace tells that err says that the disk is full, or a quota. What was asked for can be asked for again once there is space, unless it was
// a sync: see SyncFailed.
func NoSpace(err error) bool {
	return oneOf(err, noSpace) && !isSync(err)
}

// Exhausted tells that err says that the process or the system is short of something that it may have again in a moment: open files, memory.
// Nothing was done, and nothing is known to be wrong with the file.
func Exhausted(err error) bool {
	return (oneOf(err, exhausted) || oneOf(err, tooManyOpen)) && !isSync(err)
}

// TooManyOpen tells that err says that the process or the system has too many open files, or handles. It comes of opening, never of what is done with an
// open file, so a sync of a directory that fails with it was not begun.
func TooManyOpen(err error) bool {
	return oneOf(err, tooManyOpen) && !isSync(err)
}

// SyncFailed marks err, unless it is nil, as that of a sync that was begun: nothing can be tried again.
func SyncFailed(err error) error {
	if err == nil {
		return nil
	}
	return &syncError{err}
}

type syncError struct{ err error }

func (e *syncError) Error() string { return e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

func isSync(err error) bool {
	var s *syncError
	return errors.As(err, &s)
}

func oneOf(err error, set []syscall.Errno) bool {
	for _, e := range set {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
