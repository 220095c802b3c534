package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leatmq/leat/queue"
)

// wantError fails the test if err is not want.
func (s *stage) wantError(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantFault fails the test if err is not a ConfigError that names field.
func (s *stage) wantFault(what string, err error, field string) {
	s.Helper()
	var config *queue.ConfigError
	if !errors.As(err, &config) {
		s.Errorf("%s: %v, want a *ConfigError about %s", what, err, field)
		return
	}
	named := func(f queue.Fault) bool { return f.Field == field }
	if !slices.ContainsFunc(config.Faults, named) {
		s.Errorf("%s: %v, want a fault in %s", what, err, field)
	}
}

// wantSame compares what was delivered with what was published. A timestamp of zero fits any.
func (s *stage) wantSame(what string, got, want queue.Message) {
	s.Helper()
	if got.Topic != want.Topic || string(got.Key) != string(want.Key) || string(got.Value) != string(want.Value) {
		s.Errorf("%s: got %s %q %.50q, want %s %q %.50q", what, got.Topic, got.Key, got.Value, want.Topic, want.Key, want.Value)
	}
	if got.ID != want.ID {
		s.Errorf("%s: ID %q, want %q", what, got.ID, want.ID)
	}
	if (got.Key == nil) != (want.Key == nil) {
		s.Errorf("%s: the key is nil: %v, want %v", what, got.Key == nil, want.Key == nil)
	}
	if fmt.Sprint(got.Headers) != fmt.Sprint(want.Headers) {
		s.Errorf("%s: headers %q, want %q", what, got.Headers, want.Headers)
	}
	if !want.Timestamp.IsZero() && !got.Timestamp.Equal(want.Timestamp) {
		s.Errorf("%s: timestamp %v, want %v", what, got.Timestamp, want.Timestamp)
	}
}

// wantBusy wants WaitIdle to say that a group is not idle, before long with these words.
func (s *stage) wantBusy(group string, words ...string) {
	s.Helper()
	for end := s.within(); ; {
		err := s.notIdle(group)
		if !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("WaitIdle: %v, want the end of its time", err)
			return
		}
		missing := func(w string) bool { return !strings.Contains(err.Error(), w) }
		if !slices.ContainsFunc(words, missing) {
			return
		}
		if end.Err() != nil {
			s.Errorf("WaitIdle: %q, want a reason with %q", err, words)
			return
		}
	}
}

// notIdle returns what WaitIdle returns after a little patience.
func (s *stage) notIdle(group string) error {
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Millisecond)
	defer cancel()
	return s.broker.WaitIdle(ctx, group)
}
