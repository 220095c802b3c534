package queuetest

import (
	"fmt"

	"github.com/leatmq/leat/queue"
)

func limitCases() []testCase {
	return []testCase{
		{name: "TooLargeIsRefused", run: tooLarge},
		{name: "BadHeadersAreRefused", run: badHeaders},
		{name: "LargestMessage", run: largest},
	}
}

func tooLarge(s *stage) {
	const limit = 100
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{MaxBytes: limit}); err != nil {
		s.Fatal(err)
	}
	engine := s.broker.Engine().Capabilities().MaxBytes
	fits := queue.Message{Topic: "t", Key: []byte("0123456789"), Headers: queue.Headers{}.With("01234", "56789"), Value: make([]byte, limit-20)}
	for name, m := range map[string]queue.Message{
		"value":             {Value: make([]byte, limit+1)},
		"key":               {Key: make([]byte, limit+1)},
		"headers":           {Headers: queue.Headers{}.With("h", string(make([]byte, limit)))},
		"all together":      {Key: fits.Key, Headers: fits.Headers, Value: make([]byte, limit-19)},
		"the engine's":      {Value: make([]byte, engine+1)},
		"number of headers": {Headers: make(queue.Headers, queue.MaxHeaders+1)},
	} {
		m.Topic = "t"
		_, err := s.broker.Publish(s.within(), m)
		s.wantError(name, err, queue.ErrTooLarge)
		if s.can(queue.CanBatch) {
			_, err = s.broker.PublishBatch(s.within(), fits, m, fits)
			s.wantError(name+" in a batch", err, queue.ErrTooLarge)
		}
	}
	s.publish(fits)
	if got := len(s.delivered("t")); got != 1 {
		s.Errorf("%d messages are stored, want the one that has %d bytes", got, limit)
	}
}

func badHeaders(s *stage) {
	s.topic("t", 1)
	for name, h := range map[string]queue.Headers{"no key": queue.Headers{}.With("", "x"), "reserved": queue.Headers{}.With("leat-x", "x")} {
		_, err := s.broker.Publish(s.within(), queue.Message{Topic: "t", Headers: h})
		s.wantFault(name, err, "Headers")
	}
	full := queue.Headers{}
	for i := range queue.MaxHeaders {
		full = full.With(fmt.Sprintf("h-%03d", i), string(make([]byte, queue.MaxHeaderBytes/queue.MaxHeaders-5)))
	}
	m := queue.Message{Topic: "t", Headers: full}
	s.publish(m)
	ds := s.delivered("t")
	if len(ds) != 1 {
		s.Fatalf("%d messages are stored, want the one with as many headers as there may be", len(ds))
	}
	s.wantSame("many headers", ds[0].Message, m)
}

// largest is for memory and disk alike a matter of one message; a limit beyond 16 MiB is taken at its word.
func largest(s *stage) {
	size := min(s.broker.Engine().Capabilities().MaxBytes, 16<<20)
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{MaxBytes: size}); err != nil {
		s.Fatal(err)
	}
	m := queue.Message{Topic: "t", Value: make([]byte, size)}
	for i := range m.Value {
		m.Value[i] = byte(i * 7)
	}
	s.publish(m)
	ds := s.delivered("t")
	if len(ds) != 1 {
		s.Fatalf("%d messages, want one", len(ds))
	}
	s.wantSame("the largest", ds[0].Message, m)
}
