package retry

import (
	"fmt"
	"time"
)

// Class is a kind of errors.
type Class uint8

// The classes of errors.
const (
	ClassTransient Class = iota // it may pass: another attempt may succeed
	ClassPermanent              // another attempt fails in the same way
)

// String returns the name of the constant.
func (c Class) String() string {
	switch c {
	case ClassTransient:
		return "ClassTransient"
	case ClassPermanent:
		return "ClassPermanent"
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// Permanent returns err, marked as one that no other attempt would help. errors.Is and errors.As find what err has. Of nil it returns nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent makes Classify find it.
func (e *permanentError) Permanent() bool { return true }

// After returns err, with the wish that the next attempt comes d later, whatever the policy would say: what an answer with Retry-After asks for. A d that is not
// positive asks for nothing. errors.Is and errors.As find what err has. Of nil it returns nil.
func After(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &afterError{err, d}
}

type afterError struct {
	err error
	d   time.Duration
}

func (e *afterError) Error() string { return e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// RetryAfter makes Classify find it.
func (e *afterError) RetryAfter() time.Duration { return e.d }

// The methods that Classify looks for.
type (
	permanence interface{ Permanent() bool }
	wish       interface{ RetryAfter() time.Duration }
	asker      interface{ As(any) bool }
)

// Classify returns the class of err, and the delay that it asks for, 0 if none. It looks for methods Permanent() bool and
// RetryAfter() time.Duration, along the chain of what err wraps: the outermost that has the method decides. Where errors are joined, one that is
// permanent makes all of them so, and the longest delay counts. What has neither method is transient: a context's errors too, since an attempt may have
// had a deadline of its own.
func Classify(err error) (Class, time.Duration) {
	s := search{}
	s.walk(err, false, false)
	if s.permanent {
		return ClassPermanent, 0
	}
	return ClassTransient, s.after
}

type search struct {
	permanent bool
	after     time.Duration
}

// walk goes down one chain, and into each that is joined in it. knownClass and knownAfter say what was decided further out. The one switch for each
// error is what makes it quick.
func (s *search) walk(err error, knownClass, knownAfter bool) {
	for err != nil && !(knownClass && knownAfter) {
		switch x := err.(type) {
		case *permanentError: // what ask would do, quicker
			s.permanent = s.permanent || !knownClass
			knownClass, err = true, x.err
		case *afterError:
			if !knownAfter {
				s.after = max(s.after, x.d)
			}
			knownAfter, err = true, x.err
		case permanence, wish, asker:
			s.ask(err, &knownClass, &knownAfter)
			err = s.inside(err, knownClass, knownAfter)
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		default:
			err = s.inside(err, knownClass, knownAfter)
		}
	}
}

// inside returns what err wraps, if it is one; joined errors are walked.
func (s *search) inside(err error, knownClass, knownAfter bool) error {
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		return x.Unwrap()
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			s.walk(e, knownClass, knownAfter)
		}
	}
	return nil
}

// ask takes what err says, unless it is known already.
func (s *search) ask(err error, knownClass, knownAfter *bool) {
	if p, ok := as[permanence](err); ok && !*knownClass {
		*knownClass = true
		s.permanent = s.permanent || p.Permanent()
	}
	if w, ok := as[wish](err); ok && !*knownAfter {
		*knownAfter = true
		s.after = max(s.after, w.RetryAfter())
	}
}

// as is one step of errors.As, which would allocate, and end at the first of joined errors.
func as[T any](err error) (found T, ok bool) {
	if found, ok = err.(T); ok {
		return found, true
	}
	if x, has := err.(asker); has {
		return asked[T](x)
	}
	return found, false
}

// asked stands apart for its allocation.
//
//go:noinline
func asked[T any](x asker) (found T, ok bool) {
	ok = x.As(&found)
	return found, ok
}
