package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How long a message waits whose outcome could not be stored: for want of room for instance, or since its dead letter cannot be stored as things are.
const (
	uncommittedDelay = 100 * time.Millisecond
	unburiedDelay    = time.Minute
)

// stored tells whether a settlement needs no more: it counts, or comes too late to count, for ever or until the next open.
func stored(err error) bool { return err == nil || errors.Is(err, ErrLeaseLost) || over(err) }

// over tells whether the engine takes no settlement any more.
func over(err error) bool { return errors.Is(err, ErrStopped) || errors.Is(err, ErrClosed) }

// hopeless tells whether what could not be committed never can be, as things are.
func hopeless(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrMixedDurability) || errors.Is(err, ErrConflict)
}

// bury settles again what has a dead letter, s alone, that could not be stored. If its topic is missing it is made. The message comes again, uncounted, if that
// does not help; bury then returns why.
func (c *consumer) bury(ctx context.Context, s []Settlement, h *Handover) error {
	err := s[0].Err
	if errors.Is(err, ErrNotFound) {
		if made := c.makeLetterTopic(ctx, h.Position.Topic()); made != nil {
			err = made
		} else {
			c.member.Settle(ctx, s)
			err = s[0].Err
		}
	}
	if stored(err) || errors.Is(err, ErrIndeterminate) {
		return err
	}
	c.comeAgain(s, err)
	what := "a dead letter cannot be stored: the message comes again"
	if c.group.Guarantee == AtMostOnce {
		what = "a dead letter cannot be stored: the message is lost"
	}
	c.b.logger.Error(what, "group", c.group.Name, "position", h.Position.String(), "cause", err)
	return err
}

// comeAgain gives back what could not be stored, because of err.
func (c *consumer) comeAgain(s []Settlement, err error) {
	after := uncommittedDelay
	if hopeless(err) {
		after = unburiedDelay
	}
	s[0] = Settlement{Handle: s[0].Handle, Outcome: SettleRelease, After: after}
	c.member.Settle(context.Background(), s)
}

// expectLetters sees to it that there is a topic for dead letters of source. If it cannot be made, bury tries again, and says so.
func (c *consumer) expectLetters(source string) {
	name := c.group.Failure.letterTopic(source)
	if _, made := c.letters.Load(name); made {
		return
	}
	if c.makeLetterTopic(context.Background(), source) == nil {
		c.letters.Store(name, true)
	}
}

// makeLetterTopic makes the topic of the dead letters of source, if it is not there.
func (c *consumer) makeLetterTopic(ctx context.Context, source string) error {
	name := c.group.Failure.letterTopic(source)
	config, err := c.letterConfig(ctx, name)
	if err != nil {
		return err
	}
	err = c.b.engine.EnsureTopic(ctx, name, config)
	var differs *ConfigError
	if errors.As(err, &differs) { // it is there
		err = nil
	}
	if e, ok := c.b.engine.(EngineLetters); ok && err == nil {
		err = e.KeepLetters(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("queue: making the topic %q for dead letters: %w", name, err)
	}
	return nil
}

// letterConfig is what a topic for dead letters is made with: it is as durable as the topics whose letters it gets, and has room for what they have.
func (c *consumer) letterConfig(ctx context.Context, name string) (TopicConfig, error) {
	config := TopicConfig{}
	e, ok := c.b.engine.(EngineTopics)
	if !ok {
		return config.withDefaults(), nil
	}
	for _, source := range c.group.Topics {
		if c.group.Failure.letterTopic(source) != name {
			continue
		}
		from, err := e.TopicConfig(ctx, source)
		if err != nil {
			return config, err
		}
		config.MaxBytes = max(config.MaxBytes, from.MaxBytes)
		switch {
		case from.Durability > config.Durability:
			config.Durability, config.SyncEvery = from.Durability, from.SyncEvery
		case from.Durability == config.Durability:
			config.SyncEvery = min(config.SyncEvery, from.SyncEvery)
		}
	}
	return config.withDefaults(), nil
}

// checkLetters refuses topics for dead letters that are there and cannot take what the group's topics have.
func (c *consumer) checkLetters(ctx context.Context) error {
	e, ok := c.b.engine.(EngineTopics)
	if !ok || c.group.Failure.Exhausted != ToDeadLetter {
		return nil
	}
	for _, source := range c.group.Topics {
		from, err := e.TopicConfig(ctx, source)
		if err != nil {
			return err
		}
		name := c.group.Failure.letterTopic(source)
		to, err := e.TopicConfig(ctx, name)
		switch {
		case errors.Is(err, ErrNotFound): // it is made when there is a letter
		case err != nil:
			return err
		case to.Durability < from.Durability:
			return fmt.Errorf("%w: topic %q is %s, and topic %q for its dead letters is %s", ErrMixedDurability, source, from.Durability, name, to.Durability)
		case to.MaxBytes < from.MaxBytes:
			return &ConfigError{Subject: fmt.Sprintf("group %q", c.group.Name), Faults: []Fault{{
				Field: "Failure.DeadLetter", Have: name, Rule: fmt.Sprintf("a topic of MaxBytes %d at least, as topic %q has", from.MaxBytes, source),
			}}}
		}
	}
	return nil
}

// verdict is what a hand-over is, before it is worked on.
type verdict uint8

const (
	runs        verdict = iota // it is given to the handler
	forAnother                 // it was sent back for another group: done unseen
	hasNoChance                // its attempts are used up
	hasExpired                 // its time is over, and it is wanted among the dead letters
)

// judge says what a hand-over is. Whatever else keeps one from its handler is to be decided here.
func (c *consumer) judge(h *Handover) verdict {
	if len(h.Headers) > 0 {
		if group := h.Headers.Get(headerForGroup); group != "" && group != c.group.Name {
			return forAnother
		}
	}
	switch {
	case h.Expired:
		return hasExpired
	case c.usedUp(h):
		return hasNoChance
	}
	return runs
}

// plain tells, at no cost, that a hand-over is one to run.
func (h *Handover) plain() bool {
	return h.Attempt <= 1 && h.Crashes == 0 && len(h.Headers) == 0 && !h.Expired
}

// errUsedUp is the failure of an attempt of which nothing is known.
var errUsedUp = errors.New("queue: its attempts are used up")

// dismiss settles a hand-over that is not worked on. It is false if that could not be stored, and the message comes again.
func (c *consumer) dismiss(h *Handover, v verdict) bool {
	ctx, err := context.Background(), errUsedUp
	switch {
	case v == hasExpired:
		err = ErrExpired
	case c.crashed(h):
		err = fmt.Errorf("%w, %d times", ErrCrashed, h.Crashes)
	case h.LastError != "":
		err = errors.New(h.LastError)
	}
	s := []Settlement{{Handle: h.Handle, Outcome: SettleDone}}
	if v != forAnother {
		s[0] = c.exhaust(h, h.Attempt-1, err)
	}
	s[0].Returned = c.group.Borrowed // no handler has it
	c.member.Settle(ctx, s)
	if !stored(s[0].Err) && c.bury(ctx, s, h) != nil {
		return false
	}
	if v != forAnother && s[0].Err == nil {
		gone{h.Position, h.Attempt - 1, err}.tell(c)
	}
	return true
}
