package queue

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/leatmq/leat/retry"
)

// Failure says what becomes of messages whose attempts fail, whatever it is that fails them: an error, a panic, a Goexit, a lease that
// expired, a Nack. What our own stop cut off is no failure. It is each member's own, and decides of what that member had in hand.
//
// The zero Failure tries 8 times, 100 ms doubling to a minute apart, with full jitter; the message's key waits meanwhile; then the message goes to the topic
// named as its own with ".dead" behind.
//
// With AtMostOnce nothing is tried again: only Exhausted, DeadLetter and BuryExpired may be set.
type Failure struct {
	// Retry says whether and when a message comes again. Its jitter is drawn from the message's position: asked again, after a restart too, it answers alike.
	// MaxElapsed counts from the first failure. It is asked by many goroutines.
	Retry retry.Policy
	// MaxAttempts is said here or in Retry. 0: as Retry says, which is 8 if it says nothing; negative: no end.
	MaxAttempts int
	// MaxCrashes is how often the process may die while a message is worked on before the message is not tried again; 0: 3; negative: no end, and then nothing runs alone after one. Such deaths are no
	// attempts. Nobody else is in work with a message that is suspected of one, apart from those that are not.
	MaxCrashes int
	// Classify is said here or in Retry. nil: as Retry says, which is retry.Classify if it says nothing: what is permanent is not tried again.
	Classify func(error) (retry.Class, time.Duration)
	// WhileRetry is for the ordered groups.
	WhileRetry KeyRule
	// Exhausted is what becomes of a message that is not tried again.
	Exhausted Exhausted
	// DeadLetter is the topic of ToDeadLetter. "": the message's own topic with ".dead" behind. It is made when it is first needed, if it is not there, with one
	// partition that keeps everything, as durable as the topics of the group. One that is less durable than they are is refused with ErrMixedDurability.
	DeadLetter string
	// BuryExpired has messages that are past their Expires go to the dead letters, with ErrExpired, as if they had failed for the last time. Else they are done, and Events.Expired tells. It is for
	// ToDeadLetter, and needs CanExpireMessages. What expires while it is delayed never was in its topic, and goes nowhere.
	BuryExpired bool
}

// deadSuffix is what the default dead-letter topic has behind the name of its source.
const deadSuffix = ".dead"

// KeyRule says what becomes of the messages behind one that waits for its next attempt: those of its key, or, ByPartition, of its partition.
type KeyRule uint8

// The rules for what is behind a message that failed.
const (
	// BlockKey has them wait: order is kept. They do so where they are, unless it is for long, or so much waits that it would be in the way of others: then as with ParkKey.
	BlockKey KeyRule = iota
	// ParkKey has them wait out of the way, from the first failure on: order is kept, and the messages are moved to a place of the library's own, as durable as their topic, with what is
	// published of the key meanwhile, until all of them are done. The others never wait for them. It needs CanPark, and is not for ByPartition, where there are no others.
	ParkKey
	PassKey // they pass; the message comes again in front of those that have not yet, and never beside one
)

// String returns the name of the constant.
func (r KeyRule) String() string {
	switch r {
	case BlockKey:
		return "BlockKey"
	case ParkKey:
		return "ParkKey"
	case PassKey:
		return "PassKey"
	}
	return fmt.Sprintf("KeyRule(%d)", uint8(r))
}

// Exhausted says what becomes of a message that is not tried again.
type Exhausted uint8

// What becomes of a message that is not tried again.
const (
	// ToDeadLetter moves it to Failure.DeadLetter, with what is known of its failure: that it is stored there and that it is done is one step. It needs CanCommit.
	ToDeadLetter Exhausted = iota
	// Discard finishes it; Events.Discarded tells.
	Discard
	// StopGroup ends the Consume with the cause. The message is not done, and has its last attempt again when somebody consumes; with AtMostOnce it is lost.
	StopGroup
)

// String returns the name of the constant.
func (x Exhausted) String() string {
	switch x {
	case ToDeadLetter:
		return "ToDeadLetter"
	case Discard:
		return "Discard"
	case StopGroup:
		return "StopGroup"
	}
	return fmt.Sprintf("Exhausted(%d)", uint8(x))
}

// features lists what an engine must be able to for x.
func (x Exhausted) features() []Feature {
	if x == ToDeadLetter {
		return []Feature{CanCommit}
	}
	return nil
}

// check judges the Failure of g.
func (f *Failure) check(fs *faults, g *Group) {
	f.checkRetry(fs)
	fs.check(f.WhileRetry <= PassKey, "Failure.WhileRetry", f.WhileRetry, "one of BlockKey, ParkKey, PassKey")
	fs.check(f.WhileRetry != ParkKey || g.Order != ByPartition, "Failure.WhileRetry", f.WhileRetry, "not with ByPartition, where all wait that could be parked")
	fs.check(f.WhileRetry == BlockKey || g.Order != Unordered, "Failure.WhileRetry", f.WhileRetry, "not with Unordered, where nothing waits")
	fs.check(f.WhileRetry == BlockKey || g.Resume == nil, "Failure.WhileRetry", f.WhileRetry, "not with Resume, which needs BlockKey")
	fs.check(f.Exhausted <= StopGroup, "Failure.Exhausted", f.Exhausted, "one of ToDeadLetter, Discard, StopGroup")
	fs.check(!f.BuryExpired || f.Exhausted == ToDeadLetter, "Failure.BuryExpired", f.BuryExpired, "only with ToDeadLetter")
	if g.Guarantee == AtMostOnce {
		unset := f.WhileRetry == BlockKey && f.MaxAttempts == 0 && f.MaxCrashes == 0 && f.Classify == nil && reflect.ValueOf(f.Retry).IsZero()
		fs.check(unset, "Failure", nil, "with AtMostOnce nothing is tried again: only Exhausted, DeadLetter and BuryExpired may be set")
	}
	if f.Exhausted != ToDeadLetter {
		fs.check(f.DeadLetter == "", "Failure.DeadLetter", f.DeadLetter, "only with ToDeadLetter")
		return
	}
	f.checkLetters(fs, g.Topics)
}

func (f *Failure) checkRetry(fs *faults) {
	var wrong *retry.FieldError
	for _, err := range joined(f.Retry.Validate()) {
		if errors.As(err, &wrong) {
			fs.check(false, "Failure.Retry."+wrong.Field, wrong.Have, wrong.Rule)
		}
	}
	fs.check(f.MaxAttempts == 0 || f.Retry.MaxAttempts == 0, "Failure.MaxAttempts", f.MaxAttempts, "said once, here or in Retry")
	fs.check(f.Classify == nil || f.Retry.Classify == nil, "Failure.Classify", nil, "said once, here or in Retry")
}

func (f *Failure) checkLetters(fs *faults, topics []string) {
	if f.DeadLetter != "" {
		fs.name("Failure.DeadLetter", f.DeadLetter)
	}
	for _, t := range topics {
		name := f.letterTopic(t)
		fs.check(name != t, "Failure.DeadLetter", name, "another topic than those of the group")
		fs.check(len(name) <= MaxNameBytes, "Failure.DeadLetter", nil, fmt.Sprintf("say a name: %.20q... with %q behind is too long", t, deadSuffix))
	}
}

// joined takes apart what errors.Join put together.
func joined(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return nil
}

// letterTopic is where the dead letters of a topic go.
func (f *Failure) letterTopic(source string) string {
	if f.DeadLetter != "" {
		return f.DeadLetter
	}
	return source + deadSuffix
}

// policy is what decides, defaults filled in.
func (f *Failure) policy() retry.Policy {
	p := f.Retry
	if f.MaxAttempts != 0 {
		p.MaxAttempts = f.MaxAttempts
	}
	if f.Classify != nil {
		p.Classify = f.Classify
	}
	return p.WithDefaults()
}

// decide says whether a message whose attempt failed comes again.
func (c *consumer) decide(h *Handover, err error) retry.Decision {
	if c.group.Guarantee == AtMostOnce {
		return retry.Decision{Reason: retry.OutOfAttempts}
	}
	a := retry.Attempt{Number: h.Attempt, Err: err, Seed: h.Position.seed()}
	if !h.FirstFailed.IsZero() {
		a.Elapsed = time.Since(h.FirstFailed)
	}
	return c.policy.Decide(a)
}

// usedUp tells whether a message has had all its attempts before it is worked on: the last ended with a lease that expired, or they were more before.
func (c *consumer) usedUp(h *Handover) bool {
	if c.crashed(h) {
		return true
	}
	most := c.policy.MaxAttempts
	return most > 0 && h.Attempt > most && c.group.Failure.Exhausted != StopGroup && c.group.Guarantee != AtMostOnce
}

// ErrCrashed is the failure of a message that is not worked on any more since the process died too often while it was: Failure.MaxCrashes.
var ErrCrashed = errors.New("queue: the process died while it was worked on")

// ErrExpired is the failure of a message that is a dead letter since its time was over: Failure.BuryExpired.
var ErrExpired = errors.New("queue: expired")

const defaultMaxCrashes = 3

// crashed tells whether the process died too often while a message was worked on.
func (c *consumer) crashed(h *Handover) bool {
	most := c.group.Failure.MaxCrashes
	if most == 0 {
		most = defaultMaxCrashes
	}
	return most > 0 && h.Crashes >= most
}

// seed tells positions apart, in the same way in every process: FNV-1a.
func (p Position) seed() uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := range len(p.topic) {
		h = (h ^ uint64(p.topic[i])) * prime
	}
	for _, v := range [...]uint64{uint64(p.partition), p.incarnation, uint64(p.offset)} {
		for range 8 {
			h = (h ^ v&0xff) * prime
			v >>= 8
		}
	}
	return h
}

// failed is the settlement of a message whose attempt failed. Whether another follows is the policy's word.
func (c *consumer) failed(h *Handover, err error) Settlement {
	d := c.decide(h, err)
	if !d.Retry {
		return c.exhaust(h, h.Attempt, err)
	}
	return Settlement{Handle: h.Handle, Outcome: SettleRetry, After: d.After, Cause: err.Error()}
}

// exhaust is the settlement of a message that is not tried again after so many attempts.
func (c *consumer) exhaust(h *Handover, attempts int, err error) Settlement {
	s := Settlement{Handle: h.Handle, Outcome: SettleDone}
	switch c.group.Failure.Exhausted {
	case ToDeadLetter:
		c.expectLetters(h.Position.Topic())
		s.Publish = []Message{c.letter(h, attempts, err)}
	case StopGroup:
		s.Outcome = SettleRelease
		c.stopGroup(h.Position, attempts, err)
	default:
		s.Wait = c.group.Guarantee == ExactlyOnce
	}
	return s
}

func (c *consumer) stopGroup(p Position, attempts int, err error) {
	c.end(fmt.Errorf("queue: group %q stops at %s, which failed at attempt %d: %w", c.group.Name, p, attempts, err))
}

// gone is a message that is done though it failed.
type gone struct {
	position Position
	attempts int
	err      error
}

// tell tells what became of it.
func (g gone) tell(c *consumer) {
	if c.group.Failure.Exhausted == ToDeadLetter {
		c.b.events.DeadLettered(DeadLetteredEvent{
			Group: c.group.Name, Position: g.position, Topic: c.group.Failure.letterTopic(g.position.Topic()), Attempts: g.attempts, Err: g.err,
		})
		return
	}
	c.b.events.Discarded(DiscardedEvent{Group: c.group.Name, Position: g.position, Attempts: g.attempts, Err: g.err})
}
