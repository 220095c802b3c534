package embedded

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/leatmq/leat/queue/internal/timers"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// Kept is something that the queue keeps for itself, in topics that applications do not see.
type Kept string

// What the queue keeps for itself.
const (
	KeptParked   Kept = "parked messages"
	KeptDelayed  Kept = "delayed messages"
	KeptLedger   Kept = "the account of delayed messages"
	KeptIDs      Kept = "the index of IDs"
	KeptWaiting  Kept = "IDs of delayed messages"
	KeptMarks    Kept = "marks"
	KeptSettings Kept = "settings of groups"
)

// without says what does not work while it is damaged, and given what is lost when the damage is given up.
func (k Kept) without() (idle, given string) {
	switch k {
	case KeptParked:
		return "the group does not go on with the partition", "the group misses these messages"
	case KeptDelayed:
		return "no delayed message that is stored alike becomes due", "these messages are never delivered, and what was cancelled by what is damaged is"
	case KeptLedger:
		return "no delayed message that is stored alike becomes due", "what was delivered or cancelled since the last account that is whole may be delivered again"
	case KeptIDs:
		return "nothing with an ID can be published to the topic", "IDs of messages that the topic still has are found there, those of others can come again"
	case KeptWaiting:
		return "these IDs cannot be published to the topic, nor can any, if the index does not have these", "these IDs can come again, unless the index has them"
	case KeptMarks:
		return "nothing can be marked in the scope", "these keys can be marked again, unless the index of the scope has them"
	}
	return "nobody can join a group", "of some groups what was set last: whether they are paused, expire, have one active member or are not counted"
}

// KeptError says that something is damaged that the queue keeps for itself, and not a message in a topic. Everything that does not need it goes on. What
// to do is the operator's choice: Engine.Mend takes it from a copy of the directory, Engine.Skip with Damage gives it up. Both while the queue runs.
type KeptError struct {
	What   Kept
	Of     string               // the group and topic, topic or scope that it is of; "": all
	Damage *storage.DamageError // Damage.Skipped: it was given up
}

// Error names what is damaged, what does not work, and what to do.
func (e *KeptError) Error() string {
	what := string(e.What)
	if e.Of != "" {
		what += " of " + e.Of
	}
	idle, given := e.What.without()
	if e.Damage.Skipped {
		return fmt.Sprintf("queue: %s: damage was given up: %s: %v", what, given, e.Damage)
	}
	return fmt.Sprintf("queue: %s: damaged: %s before Engine.Mend has taken it from a copy or Engine.Skip has given it up, and if it is given up %s: %v", what, idle, given, e.Damage)
}

// Unwrap returns the damage.
func (e *KeptError) Unwrap() error { return e.Damage }

// Explain says what d is damage of, as Verify, Damaged, an event or an error have it: the error is a *KeptError if it is something that the queue keeps for itself, else it names the
// topic. Both wrap d.
func (e *Engine) Explain(d *storage.DamageError) error {
	if e == nil {
		return d
	}
	err := e.engine.explained(d)
	if t, n, ok := e.engine.partitionOf(d.Partition); ok {
		err = fmt.Errorf("queue: %s/%d: %w", t.Name, n, err)
	}
	return err
}

// explained returns err, which the store had, as what package queue calls it: a *KeptError if it is damage of what the queue keeps for itself.
func (e *engine) explained(err error) error {
	var d *storage.DamageError
	if !errors.As(err, &d) {
		return translate(err)
	}
	for _, t := range e.store.Topics() {
		n, ok := t.Index(d.Partition)
		if !ok {
			continue
		}
		if what, of := e.keptIn(&t, n); what != "" {
			return &KeptError{what, of, d}
		}
	}
	return translate(err)
}

// keptIn says what a partition of the library's own keeps; "" if it is one of a topic of an application, or of a version that is not known.
func (e *engine) keptIn(t *storage.Topic, n int) (what Kept, of string) {
	name, ok := strings.CutPrefix(t.Name, internalPrefix)
	if !ok {
		return "", ""
	}
	rest := name[strings.Index(name, ".")+1:]
	switch {
	case strings.HasPrefix(t.Name, parkNames):
		group, first, _ := strings.Cut(rest, ".")
		return KeptParked, e.groupCalled(group) + e.topicAt(first) + fmt.Sprintf("/%d", n)
	case strings.HasPrefix(t.Name, delayedTopics):
		class, run := strings.CutSuffix(rest, timers.RunsSuffix)
		if n == timers.LedgerPartition && !run {
			return KeptLedger, "class " + class
		}
		return KeptDelayed, "class " + class
	case strings.HasPrefix(t.Name, indexNames):
		return KeptIDs, e.topicAt(rest)
	case strings.HasPrefix(t.Name, waitNames):
		return KeptWaiting, e.topicAt(rest)
	case strings.HasPrefix(t.Name, markNames):
		return KeptMarks, e.topicNamed(t.Name)
	case t.Name == rosterTopic:
		return KeptSettings, ""
	}
	return "", ""
}

// uncover has all of the log be read for IDs, as far as they count, if an operator gave up something of the index: what it said to be covered may be what is gone.
func (s *ids) uncover(x *index) error {
	b, err := s.engine.store.Bounds(x.topic.First)
	d, ok := s.engine.store.(*disk.Store)
	if !ok || err != nil {
		return err
	}
	for _, lost := range d.Damaged() {
		if lost.Partition == x.topic.First && lost.Skipped && lost.Next > b.First {
			clear(x.covered)
		}
	}
	return nil
}

// topicAt names the topic whose first partition has that number, in decimal.
func (e *engine) topicAt(first string) string {
	for _, t := range e.store.Topics() {
		if strconv.FormatUint(uint64(t.First), 10) == first {
			return e.topicNamed(t.Name)
		}
	}
	return "a topic that was deleted"
}

func (e *engine) topicNamed(name string) string {
	if scope, ok := strings.CutPrefix(name, markNames); ok {
		return fmt.Sprintf("scope %q", scope)
	}
	return "topic " + name
}

// groupCalled names the group of that number, in decimal, in front of something else.
func (e *engine) groupCalled(id string) string {
	for _, g := range e.store.Groups() {
		if strconv.FormatUint(uint64(g.ID), 10) == id {
			return fmt.Sprintf("group %q, ", g.Name)
		}
	}
	return "a group that was deleted, "
}
