package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

// The headers of questions and answers.
const (
	HeaderReplyTo     = "reply-to"       // of a question: the topic that its answer goes to
	HeaderCorrelation = "correlation-id" // of both: which answer is whose
	HeaderRefusal     = "refusal"        // of an answer that is an error: its text
)

const maxRefusal = 4 << 10 // bytes of its text

// Request is a kind of question: its topic, and how answers become bytes. Like a queue.Topic it is a plain value: var Price = bus.RequestOf(Asked, codec.JSON[Quote]{}).
type Request[Q, A any] struct {
	topic   queue.Topic[Q]
	answers queue.Codec[A]
}

// RequestOf returns the request whose questions are the messages of t, with answers that c encodes.
func RequestOf[Q, A any](t queue.Topic[Q], c queue.Codec[A]) Request[Q, A] {
	return Request[Q, A]{t, c}
}

var (
	// ErrNoAnswer: nobody answered a Call in time. Somebody may have worked on it, and may be at work still, but nobody begins.
	ErrNoAnswer = errors.New("bus: no answer in time")
	// ErrAsked: a question with the ID of this one was asked before, and is not asked again: its answer goes to who asked first.
	ErrAsked = errors.New("bus: a question with its ID was asked before")
)

// RefusalError is the answer of who will not answer: a permanent error of the function that was asked.
type RefusalError struct {
	Topic  string // of the question
	Reason string // perhaps cut
}

// Error names the topic.
func (e *RefusalError) Error() string {
	return fmt.Sprintf("bus: %q was refused: %s", e.Topic, e.Reason)
}

// Permanent makes retry.Classify find that asking again does not help.
func (e *RefusalError) Permanent() bool { return true }

// Call asks q and waits for the answer, until ctx ends, or for Options.Timeout if ctx has no deadline. The deadline is when the question expires: nobody begins to work on it then. Errors are ErrNoAnswer with that of ctx, *RefusalError,
// *queue.DecodeError for an answer that is of another type, those of queue.Topic.Publish, and queue.ErrClosed. Any number may answer; the first answer counts.
//
// The engine must be able to expire messages, and have room for the topic of answers, which is replies and Options.Name.
func (r Request[Q, A]) Call(ctx context.Context, b *Bus, q Q) (A, error) {
	var none A
	deadline, ok := ctx.Deadline()
	if !ok {
		var cancel context.CancelFunc
		deadline = time.Now().Add(b.o.Timeout)
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	select {
	case b.calls <- struct{}{}:
		defer func() { <-b.calls }()
	default:
		return none, fmt.Errorf("%w: %d calls wait for answers", queue.ErrFull, b.o.Calls)
	}
	m, err := r.topic.Message(q)
	if err != nil {
		return none, err
	}
	in, err := b.inbox(ctx, m.Topic)
	if err != nil {
		return none, err
	}
	id, answer := in.expect()
	defer in.forget(id)
	m.Headers = m.Headers.With(HeaderReplyTo, in.topic).With(HeaderCorrelation, id)
	m.Expires = deadline
	receipt, err := b.broker.Publish(ctx, m)
	switch {
	case err != nil:
		return none, err
	case receipt.Duplicate:
		return none, fmt.Errorf("%w: topic %q, ID %q", ErrAsked, m.Topic, m.ID)
	case receipt.Dropped:
		return none, fmt.Errorf("%w: topic %q dropped the question", queue.ErrFull, m.Topic)
	}
	select {
	case got := <-answer:
		return r.read(m.Topic, got)
	case <-in.ended:
		return none, in.err
	case <-ctx.Done():
		return none, fmt.Errorf("%w: topic %q: %w", ErrNoAnswer, m.Topic, context.Cause(ctx))
	}
}

// read returns what an answer says.
func (r Request[Q, A]) read(topic string, answer *queue.Record) (A, error) {
	for _, h := range answer.Headers {
		if h.Key == HeaderRefusal {
			var none A
			return none, &RefusalError{topic, string(h.Value)}
		}
	}
	return queue.TopicOf(answer.Topic, r.answers).Decode(answer)
}

// Answer binds the function that answers. The answer, and what fn publishes through d, is one commit with the question being done. ctx ends with the deadline of who asked, after which the question is
// not handed out again. An error is a failed attempt, and the group's Failure decides; one that is permanent (retry.Permanent) is an answer, too: who asked gets it as a *RefusalError. A question of which
// nobody waits for the answer is worked on like any event.
func (r Request[Q, A]) Answer(fn func(ctx context.Context, d *queue.Delivery, q Q) (A, error)) Binding {
	if fn == nil {
		return Binding{text: r.topic.Name()}
	}
	return On(r.topic, func(ctx context.Context, d *queue.Delivery, q Q) error {
		if !d.Expires.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, d.Expires)
			defer cancel()
		}
		a, err := fn(ctx, d, q)
		return r.reply(d, a, err)
	})
}

// errReplyTo is the failure of a question whose answer is to go where none goes.
var errReplyTo = errors.New("bus: a question is answered to a topic that begins with " + firstOfReplies)

// reply publishes the answer, if somebody waits for it.
func (r Request[Q, A]) reply(d *queue.Delivery, a A, err error) error {
	class, _ := retry.Classify(err)
	to := d.Headers.Get(HeaderReplyTo)
	switch {
	case err != nil && class != retry.ClassPermanent:
		return err
	case to == "":
		return err
	case !strings.HasPrefix(to, firstOfReplies+"."):
		return retry.Permanent(fmt.Errorf("%w., not %.100q", errReplyTo, to))
	}
	if err == nil {
		var m queue.Message
		if m, err = queue.TopicOf(to, r.answers).Message(a); err == nil {
			err = d.Publish(correlated(m, d))
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, queue.ErrNotFound): // who asked is gone for good
		return nil
	}
	text := err.Error()
	return d.Publish(correlated(queue.Message{
		Topic: to, Headers: queue.Headers{}.With(HeaderRefusal, strings.ToValidUTF8(text[:min(len(text), maxRefusal)], "")),
	}, d))
}

// correlated returns m as the answer to d.
func correlated(m queue.Message, d *queue.Delivery) queue.Message {
	m.Headers = m.Headers.With(HeaderCorrelation, d.Headers.Get(HeaderCorrelation))
	m.Expires = d.Expires
	return m
}
