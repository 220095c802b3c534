package bus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/retry"
)

var fuzzed = RequestOf(queue.TopicOf("asked", codec.JSON[int]{}), codec.JSON[int]{})

// FuzzQuestion answers questions of anybody: an answer goes to a topic of answers and nowhere else, and has the correlation of its question, within bounds; a failure is for good.
func FuzzQuestion(f *testing.F) {
	f.Add("replies.main", "id", []byte("1"), "")
	f.Add("replies.main", "", []byte("1"), strings.Repeat("ä", maxRefusal))
	f.Add("orders", "id", []byte("1"), "no")
	f.Add("replies", "id", []byte("x"), "")
	f.Add("replies.", strings.Repeat("x", 1<<16), []byte("1e999999999"), "\xff")
	f.Fuzz(func(t *testing.T, to, id string, value []byte, refusal string) {
		d := queue.NewDelivery(queue.Record{Message: queue.Message{
			Topic: "asked", Value: value, Headers: queue.Headers{{Key: HeaderReplyTo, Value: []byte(to)}, {Key: HeaderCorrelation, Value: []byte(id)}},
		}})
		b := fuzzed.Answer(func(_ context.Context, _ *queue.Delivery, q int) (int, error) {
			if refusal != "" {
				return 0, retry.Permanent(errors.New(refusal))
			}
			return q, nil
		})
		err := b.handler(context.Background(), d)
		if class, _ := retry.Classify(err); err != nil && class != retry.ClassPermanent {
			t.Errorf("it comes again: %v", err)
		}
		for _, m := range d.Published() {
			text := m.Headers.Get(HeaderRefusal)
			if !strings.HasPrefix(m.Topic, firstOfReplies+".") || m.Headers.Get(HeaderCorrelation) != id || len(text) > maxRefusal || !utf8.ValidString(text) {
				t.Errorf("answered to %q, correlation %q, %q", m.Topic, m.Headers.Get(HeaderCorrelation), text)
			}
		}
	})
}

// FuzzAnswer reads what anybody put into the topic of answers: a value, a refusal, or what cannot be decoded.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("1"), HeaderRefusal, "no")
	f.Add([]byte("1e999999999"), "content-type", "application/json")
	f.Add([]byte(strings.Repeat("[", 20_000)), "compression", "zstd")
	f.Fuzz(func(t *testing.T, value []byte, key, header string) {
		r := &queue.Record{Message: queue.Message{Topic: "replies.main", Value: value, Headers: queue.Headers{{Key: key, Value: []byte(header)}}}}
		_, err := fuzzed.read("asked", r)
		var refused *RefusalError
		var undecoded *queue.DecodeError
		if is := errors.As(err, &refused); is != (key == HeaderRefusal) || err != nil && !is && !errors.As(err, &undecoded) {
			t.Errorf("header %q: %v", key, err)
		}
	})
}
