package queuetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
)

func transactionCases() []testCase {
	batch, marks := []queue.Feature{queue.CanBatch, queue.CanRead}, []queue.Feature{queue.CanBatch, queue.CanMark, queue.CanRead}
	return []testCase{
		{name: "TransactionsAreWhole", needs: batch, run: transactions},
		{name: "TransactionsThatFail", needs: batch, run: transactionsFail},
		{name: "TransactionsThatAreOver", needs: marks, run: transactionsOver},
		{name: "TransactionsWithIDs", needs: append(batch, queue.CanDedup), run: transactionsIDs},
		{name: "MarksAreFirstOnce", needs: marks, run: marksOnce},
		{name: "MarksOfAFailureAreGone", needs: marks, run: marksFailed},
		{name: "MarksThatAreRefused", needs: marks, run: marksRefused},
		{name: "MarksAtOnce", needs: marks, run: marksAtOnce},
		{name: "MarksThatWaitForEachOther", needs: append(marks, queue.CanDedup), run: marksCrossed},
		{name: "MarksAfterARestart", needs: marks, run: marksRestart, asks: asksRestart},
	}
}

func transactions(s *stage) {
	s.topic("t", 3)
	s.topic("u", 1)
	for i := range 5 {
		ran := 0
		rs, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error {
			ran++
			value := fmt.Append(nil, i)
			err := errors.Join(tx.Publish(queue.Message{Topic: "t", Value: value}), tx.Publish(), tx.Publish(queue.Message{Topic: "u", Value: value}))
			copy(value, "#") // it was copied
			return err
		})
		if err != nil || ran != 1 || len(rs) != 2 || rs[0].Position.Topic() != "t" || rs[1].Position.Topic() != "u" || rs[0].Durability == 0 {
			s.Errorf("ran %d times: %+v, %v", ran, rs, err)
		}
	}
	s.wantEach("t", 5)
	s.wantEach("u", 5)
	if rs, err := s.broker.Transact(s.within(), func(*queue.Tx) error { return nil }); err != nil || len(rs) != 0 {
		s.Errorf("one of nothing: %+v, %v", rs, err)
	}
}

func transactionsFail(s *stage) {
	s.topic("t", 1)
	failed := errors.New("failed")
	publish := func(tx *queue.Tx) {
		if err := tx.Publish(queue.Message{Topic: "t"}); err != nil {
			s.Error(err)
		}
	}
	_, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error { publish(tx); return failed })
	s.wantError("one whose function fails", err, failed)
	func() {
		defer func() {
			if p := recover(); p != "transaction" {
				s.Errorf("recovered %v, want the panic of the function", p)
			}
		}()
		s.broker.Transact(s.within(), func(tx *queue.Tx) error { publish(tx); panic("transaction") })
	}()
	var ended sync.WaitGroup
	ended.Go(func() {
		s.broker.Transact(s.within(), func(tx *queue.Tx) error { publish(tx); runtime.Goexit(); return nil })
	})
	ended.Wait()
	for want, m := range map[error]queue.Message{queue.ErrNotFound: {Topic: "none"}, queue.ErrTooLarge: {Topic: "t", Value: make([]byte, 2<<20)}} {
		_, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error { publish(tx); return tx.Publish(m) })
		s.wantError("with a message that cannot be", err, want)
	}
	ctx, cancel := context.WithCancel(s.within())
	_, err = s.broker.Transact(ctx, func(tx *queue.Tx) error { publish(tx); cancel(); return nil })
	s.wantError("with a context that ended", err, context.Canceled)
	if !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrIndeterminate) {
		s.Errorf("with a context that ended: %v", err)
	}
	if got := len(s.records("t")); got != 0 && errors.Is(err, queue.ErrFull) {
		s.Errorf("%d messages were stored", got)
	}
}

func transactionsOver(s *stage) {
	s.topic("t", 1)
	var late *queue.Tx
	if _, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error { late = tx; return nil }); err != nil {
		s.Fatal(err)
	}
	s.wantError("Publish", late.Publish(queue.Message{Topic: "t"}), queue.ErrTxOver)
	_, err := late.Mark(s.within(), "s", "k")
	s.wantError("Mark", err, queue.ErrTxOver)
}

func transactionsIDs(s *stage) {
	s.topic("t", 2)
	for round := range 3 {
		rs, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error {
			return tx.Publish(queue.Message{Topic: "t", ID: "a", Value: []byte("0")}, queue.Message{Topic: "t", Value: fmt.Append(nil, 1+round)})
		})
		if err != nil || rs[0].Duplicate != (round > 0) || rs[1].Duplicate {
			s.Errorf("round %d: %+v, %v", round, rs, err)
		}
	}
	s.wantEach("t", 4)
	_, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error {
		return tx.Publish(queue.Message{Topic: "t", ID: "b"}, queue.Message{Topic: "t", ID: "b"})
	})
	s.wantError("two with one ID", err, queue.ErrConflict)
}

// marking marks a key, and publishes it if it is the first.
func (s *stage) marking(scope, key string) (first bool, err error) {
	_, err = s.broker.Transact(s.within(), func(tx *queue.Tx) error {
		var err error
		if first, err = tx.Mark(s.Context(), scope, key); err != nil || !first {
			return err
		}
		return tx.Publish(queue.Message{Topic: "t", Value: []byte(key)})
	})
	return first, err
}

func (s *stage) wantMark(scope, key string, want bool) {
	s.Helper()
	if first, err := s.marking(scope, key); first != want || err != nil {
		s.Errorf("marking %.20q in %q: %v, %v, want %v", key, scope, first, err, want)
	}
}

func marksOnce(s *stage) {
	s.topic("t", 2)
	for i := range 3 {
		s.wantMark("s", "0", i == 0)
	}
	s.wantMark("s", "1", true)
	s.wantMark("other", "0", true) // a scope of its own
	long := strings.Repeat("k", queue.MaxMarkBytes)
	s.wantMark("s", long, true)
	s.wantMark("s", long, false)
	s.wantMark("s", long[:queue.MaxMarkBytes-1]+"l", true)
	twice := []bool{}
	_, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error {
		for range 2 {
			first, err := tx.Mark(s.Context(), "s", "twice in one")
			if err != nil {
				return err
			}
			twice = append(twice, first)
		}
		return nil
	})
	if err != nil || !twice[0] || !twice[1] {
		s.Errorf("marked twice in one transaction: %v, %v", twice, err)
	}
	s.wantMark("s", "twice in one", false)
}

func marksFailed(s *stage) {
	s.topic("t", 1)
	failed := errors.New("failed")
	for range 2 {
		_, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error {
			if first, err := tx.Mark(s.Context(), "s", "0"); !first || err != nil {
				s.Errorf("%v, %v, want it to be the first: the one before failed", first, err)
			}
			return failed
		})
		s.wantError("one that fails", err, failed)
	}
	s.wantMark("s", "0", true)
	s.wantEach("t", 1)
}

func marksRefused(s *stage) {
	s.topic("t", 1)
	for _, bad := range [][2]string{
		{"", "k"}, {"no/scope", "k"}, {strings.Repeat("s", queue.MaxScopeBytes+1), "k"}, {"s", ""}, {"s", strings.Repeat("k", queue.MaxMarkBytes+1)},
	} {
		field := "scope"
		if bad[0] == "s" {
			field = "key"
		}
		_, err := s.marking(bad[0], bad[1])
		s.wantFault(fmt.Sprintf("scope %.10q, key %.10q", bad[0], bad[1]), err, field)
	}
	s.wantMark(strings.Repeat("s", queue.MaxScopeBytes), "k", true)
}

// marksAtOnce: of all that mark a key at a time one is the first, and its message is there before the others go on.
func marksAtOnce(s *stage) {
	const workers, keys = 6, 12
	s.topic("t", 2)
	var firsts [keys]atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for k := range keys {
				first, err := s.marking("s", fmt.Sprint(k))
				if err != nil {
					s.Error(err)
				}
				if first {
					firsts[k].Add(1)
				}
			}
		})
	}
	all.Wait()
	for k := range firsts {
		if n := firsts[k].Load(); n != 1 {
			s.Errorf("key %d was the first for %d", k, n)
		}
	}
	s.wantEach("t", keys)
}

// marksCrossed: two transactions that each have what the other wants do not wait for ever.
func marksCrossed(s *stage) {
	s.topic("t", 1)
	var both sync.WaitGroup
	both.Add(2)
	var conflicts, done atomic.Int64
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() {
			waited := false
			for done.Load() < 10 {
				_, err := s.broker.Transact(s.within(), func(tx *queue.Tx) error {
					if _, err := tx.Mark(s.Context(), "s", fmt.Sprint(i)); err != nil {
						return err
					}
					if !waited {
						waited = true
						both.Done()
						both.Wait()
					}
					_, err := tx.Mark(s.Context(), "s", fmt.Sprint(1-i))
					return err
				})
				if err == nil {
					return
				}
				s.wantError("a transaction that waits for one that waits for it", err, queue.ErrConflict)
				conflicts.Add(1)
				done.Add(1)
			}
		})
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	await(s, ended, "the end of two transactions that want what the other has")
	if conflicts.Load() == 0 {
		s.Error("none of them was told")
	}
}

func marksRestart(s *stage) {
	s.topic("t", 1)
	for round := range 3 {
		for k := range 20 {
			s.wantMark("s", fmt.Sprint(k), round == 0)
		}
		s.restart()
	}
	s.wantEach("t", 20)
}
