package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/time/rate"
)

const (
	defaultMaxRedrives = 3
	maxExamples        = 10

	// Of one step of a plan that has no rate.
	stepLetters = 64
	stepBytes   = 1 << 20
)

// Redrive says which dead letters go back, and how. The zero value is all of them, to where they failed.
type Redrive struct {
	Match func(*DeadLetter) bool // nil: all. It must not change the letter
	// Edit changes the copy that goes back; its Topic too. It runs in Plan and again in Run, and must do the same in both. An error leaves the letter. nil: it goes as it is.
	Edit        func(m *Message) error
	PerSecond   float64 // 0: no limit
	MaxRedrives int     // a letter that went back so often is left; 0: 3
	// Topic is where they go, to be had by all groups. "": where they failed, to the partition of their key, where only the group gets them that failed.
	Topic string
	// Progress is called after each step of Run and Discard, in the same goroutine, with how many of Letters were dealt with. nil: nobody asks.
	Progress func(done, letters int)
}

func (r *Redrive) validate(topic string) error {
	f := faults{subject: "redrive of topic " + strconv.Quote(topic)}
	f.check(r.PerSecond >= 0 && !math.IsInf(r.PerSecond, 1), "PerSecond", r.PerSecond, "not negative, and finite; 0 is no limit")
	f.check(r.MaxRedrives >= 0, "MaxRedrives", r.MaxRedrives, "not negative")
	if r.Topic != "" {
		f.name("Topic", r.Topic)
		f.check(r.Topic != topic, "Topic", r.Topic, "another topic than that of the letters")
	}
	return f.err()
}

// RedrivePlan is what a Redrive would do, and does it. Letters that come after the plan was made are not of it.
type RedrivePlan struct {
	Letters  int            // that go back
	Looping  int            // left, since they went back MaxRedrives times
	Refused  map[string]int // left, by why: what Edit said, or why they could not be stored
	ByTopic  map[string]int // those that go back, by where
	Examples []DeadLetter   // the first of those that go back, as they are

	dead    *DeadLetters
	redrive Redrive
	letters map[Position]struct{}
}

// String tells what the plan would do, in a line.
func (p *RedrivePlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d letters go back", p.Letters)
	for i, t := range slices.Sorted(maps.Keys(p.ByTopic)) {
		fmt.Fprintf(&b, "%s%d to %q", []string{": ", ", "}[min(i, 1)], p.ByTopic[t], t)
	}
	if p.Looping > 0 {
		fmt.Fprintf(&b, "; %d left, having gone back too often", p.Looping)
	}
	for _, why := range slices.Sorted(maps.Keys(p.Refused)) {
		fmt.Fprintf(&b, "; %d left: %s", p.Refused[why], why)
	}
	return b.String()
}

// Plan looks at the letters that are there now and says what r would do. Nothing is changed. Errors are those of All, and *ConfigError.
func (q *DeadLetters) Plan(ctx context.Context, r Redrive) (*RedrivePlan, error) {
	if err := r.validate(q.topic); err != nil {
		return nil, err
	}
	if r.MaxRedrives == 0 {
		r.MaxRedrives = defaultMaxRedrives
	}
	p := &RedrivePlan{Refused: map[string]int{}, ByTopic: map[string]int{}, dead: q, redrive: r, letters: map[Position]struct{}{}}
	for l, err := range q.All(ctx) {
		if err != nil {
			return nil, err
		}
		if r.Match == nil || r.Match(l) {
			p.add(l)
		}
	}
	return p, nil
}

func (p *RedrivePlan) add(l *DeadLetter) {
	if l.Redriven >= p.redrive.MaxRedrives {
		p.Looping++
		return
	}
	m, err := p.message(l)
	if err != nil {
		p.Refused[err.Error()]++
		return
	}
	p.Letters++
	p.ByTopic[m.Topic]++
	p.letters[l.At] = struct{}{}
	if len(p.Examples) < maxExamples {
		p.Examples = append(p.Examples, *l)
	}
}

// message is what goes back of l.
func (p *RedrivePlan) message(l *DeadLetter) (Message, error) {
	b, m := p.dead.b, l.Message.clone()
	m.Partition = Pin{}
	if p.redrive.Topic != "" {
		m.Topic = p.redrive.Topic
	}
	if p.redrive.Edit != nil {
		if err := p.redrive.Edit(&m); err != nil {
			return Message{}, err
		}
	}
	if err := m.check(b.capabilities.MaxBytes); err != nil {
		return Message{}, err
	}
	if m.Topic == p.dead.topic {
		return Message{}, fmt.Errorf("queue: it would go back to the dead letters, %q", m.Topic)
	}
	if c, ok := b.engine.(EngineCommitter); ok {
		if err := c.Admit(p.dead.topic, []Message{m}); err != nil {
			return Message{}, err
		}
	}
	m.Headers = m.Headers.With(headerIdentity, l.identity).With(headerRedriven, strconv.Itoa(l.Redriven+1))
	if p.redrive.Topic == "" && m.Topic == l.Origin.Topic() {
		m.Headers = m.Headers.With(headerForGroup, l.Group)
	}
	return m, nil
}

// Run sends back the letters of the plan, each in one step with its end as a letter, and returns how many. One that somebody dealt with meanwhile is left out, so that
// of several who run plans one sends each letter. When ctx ends, what was done is done, and the letter that was being sent is, or is not: a new Plan goes on. A letter that
// cannot be stored is left, and the others go on; the error, of the first, says why. Any other error ends the run. What goes back is not checked for duplicates.
func (p *RedrivePlan) Run(ctx context.Context) (done int, err error) {
	return p.each(ctx, func(l *DeadLetter) ([]Message, error) {
		m, err := p.message(l)
		return []Message{m}, err
	})
}

// Discard finishes the letters of the plan, which then are no letters any more, and returns how many. It is as Run but for that nothing goes back. Those that
// went back too often are not of the plan: it takes a larger MaxRedrives to discard them.
func (p *RedrivePlan) Discard(ctx context.Context) (done int, err error) {
	return p.each(ctx, func(*DeadLetter) ([]Message, error) { return nil, nil })
}

// each settles the letters of the plan with what publish makes of them.
func (p *RedrivePlan) each(ctx context.Context, publish func(*DeadLetter) ([]Message, error)) (int, error) {
	e, err := p.dead.engine()
	if err != nil {
		return 0, err
	}
	s := steps{engine: e, plan: p, pace: rate.NewLimiter(rate.Inf, 1)}
	if p.redrive.PerSecond > 0 {
		s.pace = rate.NewLimiter(rate.Limit(p.redrive.PerSecond), 1)
	}
	for l, err := range p.dead.All(ctx) {
		if err != nil {
			return s.done, err
		}
		if _, planned := p.letters[l.At]; !planned {
			continue
		}
		ms, err := publish(l)
		if err != nil {
			s.leave(l.At, err)
			continue
		}
		if err := s.add(ctx, LetterSettlement{At: l.At, Publish: ms}); err != nil {
			return s.done, err
		}
	}
	if err := s.step(ctx); err != nil {
		return s.done, err
	}
	return s.done, s.left
}

// steps settles letters, some at a time.
type steps struct {
	engine EngineLetters
	plan   *RedrivePlan
	pace   *rate.Limiter
	some   []LetterSettlement
	bytes  int
	done   int
	left   error // why the first letter was left
}

func (s *steps) leave(at Position, err error) {
	if s.left == nil {
		s.left = fmt.Errorf("queue: the dead letter at %s is left: %w", at, err)
	}
}

func (s *steps) add(ctx context.Context, l LetterSettlement) error {
	if err := s.pace.Wait(ctx); err != nil {
		return errors.Join(s.step(ctx), err)
	}
	s.some = append(s.some, l)
	for i := range l.Publish {
		s.bytes += l.Publish[i].Size()
	}
	if s.pace.Limit() != rate.Inf || len(s.some) == stepLetters || s.bytes >= stepBytes {
		return s.step(ctx)
	}
	return nil
}

// step settles what was gathered. If it cannot be together, each is settled alone.
func (s *steps) step(ctx context.Context) error {
	some := s.some
	s.some, s.bytes = s.some[:0], 0
	if len(some) == 0 {
		return nil
	}
	s.engine.SettleLetters(ctx, some)
	for i := range some {
		l := some[i : i+1]
		if hopeless(l[0].Err) && len(some) > 1 {
			s.engine.SettleLetters(ctx, l)
		}
		switch err := l[0].Err; {
		case err == nil && !l[0].Before:
			s.done++
		case err == nil:
		case hopeless(err):
			s.leave(l[0].At, err)
		default:
			return err
		}
	}
	if s.plan.redrive.Progress != nil {
		s.plan.redrive.Progress(s.done, s.plan.Letters)
	}
	return nil
}
