package dedup

import (
	"errors"
	"fmt"
)

// The errors that calls wrap; test for them with errors.Is.
var (
	// ErrNoKey: the key is empty. Every message without an identity would be a duplicate of the first one: give each a key, or do not ask.
	ErrNoKey = errors.New("dedup: no key")
	// ErrKeyTooLong: the key has more than MaxKeyBytes bytes. Use KeyOf(...).String() of what it is made of.
	ErrKeyTooLong = errors.New("dedup: key too long")
	// ErrInFlight: somebody else works on the key and has not finished. Nothing was done: come again later, the outcome is open.
	ErrInFlight = errors.New("dedup: in flight")
	// ErrFull: as many keys are in flight as the options allow. Nothing was done: come again later, or raise the limit.
	ErrFull = errors.New("dedup: too many keys in flight")
	// ErrIndeterminate: the answer to a commit was lost. The work and its mark are both there, or neither: do it again with the same key, which finds out.
	ErrIndeterminate = errors.New("dedup: committed or not")
)

// MaxKeyBytes is the longest key that a [Store] takes, in bytes. Databases index so much.
const MaxKeyBytes = 512

// CheckKey returns nil for a key of 1 to [MaxKeyBytes] bytes, else a [*KeyError]. Any bytes will do. Every [Store] calls it before anything else.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKeyBytes {
		return &KeyError{Bytes: len(key)}
	}
	return nil
}

// KeyError says that a key cannot be used: it is [ErrNoKey] or [ErrKeyTooLong].
type KeyError struct {
	Bytes int // how long the key is
}

// Permanent is true: the same key will not be taken at the next attempt either.
func (e *KeyError) Permanent() bool { return true }

func (e *KeyError) Error() string {
	if e.Bytes == 0 {
		return ErrNoKey.Error()
	}
	return fmt.Sprintf("%v: %d bytes, at most %d", ErrKeyTooLong, e.Bytes, MaxKeyBytes)
}

func (e *KeyError) Unwrap() error {
	if e.Bytes == 0 {
		return ErrNoKey
	}
	return ErrKeyTooLong
}

// OptionsError says which option is wrong. Where several are, they come joined.
type OptionsError struct {
	Option string // FilterOptions.Keys
	Have   string
	Rule   string // what it must be
}

func (e *OptionsError) Error() string {
	return fmt.Sprintf("dedup: %s is %s: %s", e.Option, e.Have, e.Rule)
}
