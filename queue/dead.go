package queue

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"
)

// DeadLetters is a topic that dead letters are in. It can be read and consumed as any other; what is here looks at the letters that nobody has dealt
// with yet. That is remembered durably, for each letter alone, and all who look at the topic see the same. Other messages that are in the topic are left alone.
type DeadLetters struct {
	b     *Broker
	topic string
}

// DeadLetters returns the dead letters in a topic. What is wrong with the name shows at the first call.
func (b *Broker) DeadLetters(topic string) *DeadLetters { return &DeadLetters{b: b, topic: topic} }

// DeadLetter is a message that was not tried again.
type DeadLetter struct {
	Message           // as it was stored; its Topic is where it failed
	At       Position // of the letter
	Origin   Position // where it failed
	Group    string   // whom
	Attempts int      // how often
	Crashes  int      // how often the process died while it was worked on, apart from Attempts
	Redriven int      // how often it had been sent back before
	First    time.Time
	Last     time.Time // of the failures
	Error    string    // of the last, perhaps cut
	Stack    string    // of its panic, perhaps cut; else ""

	identity string
}

// Identity is what Record.Identity was when it failed, and is again when it is sent back.
func (l *DeadLetter) Identity() string { return l.identity }

// letterOf reads a dead letter as it is stored. It is false if r is none.
func letterOf(r *Record) (*DeadLetter, bool) {
	l := &DeadLetter{Message: r.Message, At: r.Position, identity: r.Headers.Get(headerIdentity)}
	origin := r.Headers.Get(headerOrigin)
	if origin == "" || l.Origin.UnmarshalText([]byte(origin)) != nil {
		return nil, false
	}
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case headerGroup:
			l.Group = string(h.Value)
		case headerAttempts:
			l.Attempts, _ = strconv.Atoi(string(h.Value))
		case headerCrashes:
			l.Crashes, _ = strconv.Atoi(string(h.Value))
		case headerRedriven:
			l.Redriven, _ = strconv.Atoi(string(h.Value))
		case headerFirst:
			l.First, _ = time.Parse(time.RFC3339Nano, string(h.Value))
		case headerLast:
			l.Last, _ = time.Parse(time.RFC3339Nano, string(h.Value))
		case headerError:
			l.Error = string(h.Value)
		case headerStack:
			l.Stack = string(h.Value)
		}
	}
	l.Headers = slices.Clone(r.Headers.visible())
	l.Topic = l.Origin.Topic()
	return l, true
}

// engine returns what keeps the letters.
func (q *DeadLetters) engine() (EngineLetters, error) {
	f := faults{subject: "dead letters in topic " + strconv.Quote(q.topic)}
	f.name("topic", q.topic)
	if err := f.err(); err != nil {
		return nil, err
	}
	e, ok := q.b.engine.(EngineLetters)
	if !ok {
		return nil, fmt.Errorf("%w: %s: dealing with dead letters", ErrUnsupported, q.b.capabilities.Name)
	}
	if q.b.closed.Load() {
		return nil, ErrClosed
	}
	return e, nil
}

// All yields the letters that were neither sent back nor discarded, up to the last one that is there now, in order within each partition of the topic. It changes nothing. Letters
// belong to the caller. An error is the last pair.
func (q *DeadLetters) All(ctx context.Context) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		e, err := q.engine()
		if err != nil {
			yield(nil, err)
			return
		}
		for r, err := range e.Letters(ctx, q.topic) {
			if err != nil {
				yield(nil, err)
				return
			}
			if l, ok := letterOf(r); ok && !yield(l, nil) {
				return
			}
		}
	}
}
