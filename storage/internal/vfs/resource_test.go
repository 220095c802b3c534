package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestNoSpaceAndExhausted(t *testing.T) {
	path := func(err error) error { return fmt.Errorf("x: %w", &fs.PathError{Op: "write", Path: "a", Err: err}) }
	for _, c := range []struct {
		err             error
		full, exhausted bool
	}{
		{nil, false, false},
		{path(syscall.ENOSPC), true, false},
		{path(syscall.EDQUOT), true, false},
		{errors.Join(errors.New("y"), path(syscall.ENOSPC)), true, false},
		{path(SyncFailed(path(syscall.ENOSPC))), false, false},
		{path(syscall.EMFILE), false, true},
		{path(syscall.ENFILE), false, true},
		{SyncFailed(syscall.EMFILE), false, false},
		{path(syscall.EIO), false, false},
		{path(syscall.EACCES), false, false},
	} {
		if TooManyOpen(c.err) != c.exhausted {
			t.Errorf("%v: too many open %v", c.err, !c.exhausted)
		}
		if NoSpace(c.err) != c.full || Exhausted(c.err) != c.exhausted {
			t.Errorf("%v: full %v, exhausted %v; want %v, %v", c.err, NoSpace(c.err), Exhausted(c.err), c.full, c.exhausted)
		}
	}
	if SyncFailed(nil) != nil {
		t.Error("no error was marked as one")
	}
}
