package queue

import (
	"context"
	"errors"
	"fmt"
)

// ErrTxOver is returned by what is done with a Tx after the function that it was given to has returned.
var ErrTxOver = errors.New("queue: the transaction is over")

// Tx is what a transaction consists of: see Broker.Transact. It is not for concurrent use.
type Tx struct {
	broker   *Broker
	messages []Message
	marks    Marks // nil: none so far
	over     bool
}

// Transact calls fn, once, and then stores what fn published and marked through its Tx: all of it, over topics and partitions, or nothing. It returns the receipts of the
// messages, in the order in which they were published, when the durability of the strictest topic is reached. If fn returns an error, panics or ends its goroutine,
// nothing is stored; the error is returned as it is. Errors of the commit are those of PublishBatch. ErrUnsupported where the engine cannot do so.
func (b *Broker) Transact(ctx context.Context, fn func(tx *Tx) error) ([]Receipt, error) {
	if err := b.can(CanBatch); err != nil {
		return nil, err
	}
	if err := b.mayPublish(ctx); err != nil {
		return nil, err
	}
	tx := &Tx{broker: b}
	defer tx.end()
	if err := fn(tx); err != nil {
		return nil, err
	}
	tx.over = true
	rs := make([]Receipt, len(tx.messages))
	switch {
	case tx.marks != nil:
		if err := tx.marks.Commit(ctx, tx.messages, rs); err != nil {
			return nil, err
		}
	case len(rs) > 0:
		if err := b.engine.Publish(ctx, tx.messages, rs); err != nil {
			return nil, err
		}
	}
	return rs, nil
}

// end gives up what fn reserved and what was not committed.
func (t *Tx) end() {
	t.over = true
	if t.marks != nil {
		t.marks.Release()
	}
}

// Publish adds ms to the transaction. It copies them. What could never be stored is refused at once, and then nothing of ms is added.
func (t *Tx) Publish(ms ...Message) error {
	if t.over {
		return ErrTxOver
	}
	for i := range ms {
		if err := ms[i].check(t.broker.capabilities.MaxBytes); err != nil {
			return fmt.Errorf("message %d of %d: %w", i+1, len(ms), err)
		}
	}
	for i := range ms {
		t.messages = append(t.messages, ms[i].clone())
	}
	return nil
}

// Mark marks key, in the scope of that name, with what the transaction commits. first is false if a transaction that has committed marked it: then there is nothing to do, and nothing is
// marked. Of several that mark one key at a time one goes on, and the others wait until it has ended; ctx bounds the wait, whose end is ErrIndeterminate. Two that
// would wait for each other for ever, since each has what the other wants, are not left to it: one gets ErrConflict, and is to be done again.
//
// A scope is a name as that of a topic, of at most [MaxScopeBytes]; it is made by its first mark. A key is 1 to [MaxMarkBytes] bytes. How long a mark is kept is the
// engine's to say: see KeepMarks of package embedded, 24 hours if nobody does. ErrUnsupported where the engine cannot mark.
func (t *Tx) Mark(ctx context.Context, scope, key string) (first bool, err error) {
	if t.over {
		return false, ErrTxOver
	}
	if err := CheckMark(scope, key); err != nil {
		return false, err
	}
	if t.marks == nil {
		e, err := t.broker.marker()
		if err != nil {
			return false, err
		}
		t.marks = e.NewMarks()
	}
	return t.marks.Mark(ctx, scope, key)
}

// The limits of Mark.
const (
	MaxScopeBytes = 200
	MaxMarkBytes  = 512
)

// CheckMark returns a *ConfigError for a scope or a key that cannot be. It is for engines that have another way to mark.
func CheckMark(scope, key string) error {
	f := faults{subject: "mark"}
	f.name("scope", scope)
	f.check(len(scope) <= MaxScopeBytes, "scope", len(scope), fmt.Sprintf("at most %d bytes", MaxScopeBytes))
	f.check(key != "", "key", nil, "must not be empty")
	f.check(len(key) <= MaxMarkBytes, "key", len(key), fmt.Sprintf("at most %d bytes", MaxMarkBytes))
	return f.err()
}

// marker returns the engine, if it can.
func (b *Broker) marker() (EngineMarker, error) {
	if err := b.can(CanMark); err != nil {
		return nil, err
	}
	e, ok := b.engine.(EngineMarker)
	if !ok {
		return nil, fmt.Errorf("%w: %s: %s", ErrUnsupported, b.capabilities.Name, CanMark)
	}
	return e, nil
}
