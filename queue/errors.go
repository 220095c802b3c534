package queue

import (
	"errors"
	"fmt"
	"strings"
)

// The errors that calls wrap; test for them with errors.Is.
var (
	// ErrNotFound: there is no such topic, partition or group, or no such position any more. Nothing is created by
	// accident: call EnsureTopic first.
	ErrNotFound = errors.New("queue: not found")
	// ErrClosed: the broker was closed, or is closing and takes no new members.
	ErrClosed = errors.New("queue: closed")
	// ErrTooLarge: a message, its headers or a batch exceed a limit. Nothing was stored; make it smaller, or raise
	// TopicConfig.MaxBytes.
	ErrTooLarge = errors.New("queue: too large")
	// ErrFull: there was no room, or no time to wait for it. Nothing was stored: publish again later.
	ErrFull = errors.New("queue: full")
	// ErrRateLimited: messages come faster than TopicConfig.Limit allows, and there was no time to wait. Every error that is ErrRateLimited is ErrFull too. Nothing was stored.
	ErrRateLimited = errors.New("queue: more than the rate of the topic allows")
	// ErrIndeterminate: the wait for durability ended after the message was taken. It may be stored or not. Publish it again with the same
	// Message.ID, and it is stored once; without an ID that may store it twice.
	ErrIndeterminate = errors.New("queue: stored or not")
	// ErrLeaseLost: the outcome of a hand-over came too late to count; the message belongs to another worker.
	ErrLeaseLost = errors.New("queue: lease lost")
	// ErrUnsupported: the engine cannot do what was asked for. It is returned before anything was done.
	ErrUnsupported = errors.New("queue: not supported by the engine")
	// ErrMixedDurability: a batch has messages of topics in memory together with others, and could not survive whole. Nothing was stored:
	// publish them apart, or make the topic as durable as the others.
	ErrMixedDurability = errors.New("queue: messages in memory and durable ones cannot be one batch")
	// ErrConflict: two messages of one batch have the same topic and ID, of which one would be taken for a duplicate of the other: give each an ID of its own. Or
	// two transactions wait for each other's marks: do it again. Nothing was stored.
	ErrConflict = errors.New("queue: conflict over an ID")
	// ErrStopped: the store stopped writing, after a failed write for instance; the cause is wrapped with it. Close the
	// broker, mend the cause, open it again. Reading without a group goes on meanwhile.
	ErrStopped = errors.New("queue: the store stopped writing")
)

// ErrHandlerTimeout: a handler did not return within its Group.HandlerTimeout. It is the cause of the end of its context, and in the failure of
// the attempt, together with what the handler returned in the end.
var ErrHandlerTimeout = errors.New("queue: the handler ran longer than its time")

// errGoexit is the failure of a handler that ended its goroutine.
var errGoexit = errors.New("queue: the handler called runtime.Goexit")

// ConfigError says what is wrong with a configuration, all of it at once.
type ConfigError struct {
	Subject string // what was configured: topic "orders"
	Faults  []Fault
}

// Fault is one broken rule of a ConfigError.
type Fault struct {
	Field string
	Have  string // what it is; "" if that says nothing
	Want  string // what was asked for, where it differs from what is there; else ""
	Rule  string
}

// Error names the subject and every fault.
func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString("queue: ")
	b.WriteString(e.Subject)
	for i, f := range e.Faults {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		b.WriteString(f.String())
	}
	return b.String()
}

// String returns the field, what it has and wants, and the rule.
func (f Fault) String() string {
	s := f.Field
	switch {
	case f.Want != "":
		s += fmt.Sprintf(" is %s, not %s", f.Have, f.Want)
	case f.Have != "":
		s += " " + f.Have
	}
	return s + ": " + f.Rule
}

// faults collects what is wrong with one subject.
type faults struct {
	subject string
	list    []Fault
}

func (f *faults) check(ok bool, field string, have any, rule string) {
	if ok {
		return
	}
	fault := Fault{Field: field, Rule: rule}
	if have != nil {
		fault.Have = fmt.Sprint(have)
	}
	f.list = append(f.list, fault)
}

func (f *faults) name(field, name string) {
	rule := badName(name)
	f.check(rule == "", field, fmt.Sprintf("%.300q", name), rule)
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &ConfigError{Subject: f.subject, Faults: f.list}
}

// PanicError is the failure of an attempt whose handler panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // of its goroutine
}

// Error names the value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("queue: the handler panicked: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// StuckError is returned by Shutdown and Close if handlers did not return though their context had ended. The broker
// is closed all the same; what the handlers finish later does not count, and their messages come again. A Consume whose ctx ended
// returns it, if handlers are still running that it had given up when their Group.HandlerTimeout was over.
type StuckError struct {
	Handlers int    // how many; 0 if it is the engine that a member hangs in
	Stacks   []byte // of their goroutines
}

// Error tells the number of handlers, without the stacks.
func (e *StuckError) Error() string {
	return fmt.Sprintf("queue: %d handlers have not returned", e.Handlers)
}
