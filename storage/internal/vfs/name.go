package vfs

import (
	"io/fs"
	"strings"
)

// LockName is the file in which the owner of a directory writes down who it is. It shows in List of ".". It is there for the message only:
// deleting it, or finding it left over, says nothing about who owns the directory.
const LockName = "LOCK"

// CheckName returns a *fs.PathError with fs.ErrInvalid for a name that no FS takes: absolute, with an element that is empty, "." or
// "..", ending in a slash, not UTF-8, or with a backslash, a colon or a control character. "." alone is good.
func CheckName(op, name string) error {
	if fs.ValidPath(name) && !strings.ContainsFunc(name, forbidden) {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
}

// forbidden are the characters that mean something to one of the systems: separators, drives, streams, terminals.
func forbidden(r rune) bool {
	return r < ' ' || r == 0x7f || r == '\\' || r == ':'
}
