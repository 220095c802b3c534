package embedded

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/dedup"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/ledger"
	"github.com/leatmq/leat/storage"
)

// A mark is a message without a value whose ID is the key, in a topic of the engine's own for each scope. That a key is marked once, for how long that is known, and what survives a
// crash, is what is so of IDs: see ids.go.

const (
	markNames = internalPrefix + "marks." // begins the names of the topics; the scope follows
	markTTL   = 24 * time.Hour            // of a scope of which nobody said otherwise
	maxMarks  = 1 << 24                   // of a scope
)

// marks is a queue.Marks, and what a hand-over marks.
type marks struct {
	engine *engine
	base   int // where ms are in an entry, for who makes it

	mu     sync.Mutex // what follows changes while Mark runs, or after Release has
	claims claims
	ms     []queue.Message
	topics []*topic // of ms
	mine   map[name]bool
	fixed  bool // they are being stored: no more of them
}

// NewMarks implements queue.EngineMarker.
func (e *engine) NewMarks() queue.Marks { return e.newMarks() }

func (e *engine) newMarks() *marks {
	return &marks{engine: e, claims: claims{flight: newFlight()}, mine: map[name]bool{}}
}

func (m *marks) flight() *flight {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claims.flight
}

// Mark implements queue.Marks.
func (m *marks) Mark(ctx context.Context, scope, key string) (first bool, err error) {
	n := name{scope, key}
	m.mu.Lock()
	flight, again := m.claims.flight, m.mine[n]
	m.mu.Unlock()
	if again {
		return true, nil
	}
	if flight == nil {
		return false, queue.ErrLeaseLost
	}
	t, err := m.engine.markTopic(ctx, scope)
	if err != nil {
		return false, err
	}
	s, err := m.engine.idsOf(ctx, t)
	if err != nil {
		return false, err
	}
	if len(key) > queue.MaxIDBytes {
		sum := sha256.Sum256([]byte(key))
		key = "sha256 " + hex.EncodeToString(sum[:]) + key[:queue.MaxIDBytes-80]
	}
	c := claim{ids: s, id: ledger.Of(key)}
	if err := c.take(ctx, flight); err != nil || c.duplicate {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claims.flight != flight || m.fixed { // it was released meanwhile, or is being stored
		c.giveUp()
		return false, queue.ErrLeaseLost
	}
	c.message = int32(len(m.ms))
	m.claims.list = append(m.claims.list, c)
	m.ms, m.topics = append(m.ms, queue.Message{Topic: t.Name, ID: key}), append(m.topics, t)
	m.mine[n] = true
	return true, nil
}

// settle says what became of the marks, which are in p from base on.
func (m *marks) settle(p *publish, base int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims.settle(p, base, err)
}

// Commit implements queue.Marks.
func (m *marks) Commit(ctx context.Context, ms []queue.Message, rs []queue.Receipt) error {
	if len(m.ms)+len(ms) == 0 { // Mark runs no more
		return nil
	}
	e := m.engine
	p := e.publishes.Get().(*publish)
	defer p.giveBack(e)
	if err := e.place(ctx, p, ms); err != nil {
		return err
	}
	if err := m.place(p); err != nil {
		return err
	}
	if err := p.claims.take(ctx, e, ms, m.claims.flight); err != nil {
		return err
	}
	p.leaveOut()
	all := append(ms[:len(ms):len(ms)], m.ms...)
	if err := p.make(ctx, all); err != nil {
		p.claims.abandon()
		return err
	}
	var reached storage.Durability
	var err error
	if len(p.entry.Batches) > 0 {
		reached, err = e.store.Append(ctx, &p.entry)
	}
	if err == nil {
		p.receipts(ms, rs, reached)
	}
	p.claims.settle(p, 0, err)
	m.settle(p, len(ms), err)
	err = translate(err)
	p.left(err)
	return err
}

// fix says whether there may be more marks.
func (m *marks) fix(fixed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fixed = fixed
}

// place adds the places of the marks, which are fixed, to p.
func (m *marks) place(p *publish) error {
	for _, t := range m.topics {
		if len(p.placed) > 0 {
			if err := p.placed[0].topic.goesWith(t); err != nil {
				return err
			}
		}
		p.placed = append(p.placed, place{topic: t})
	}
	return nil
}

// Release implements queue.Marks.
func (m *marks) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims.abandon()
	m.ms, m.topics, m.mine = nil, nil, nil
}

// Mark implements queue.MemberMarker.
func (m *member) Mark(ctx context.Context, handle any, scope, key string) (first bool, err error) {
	t, ok := handle.(*token)
	g := m.group
	g.mu.Lock()
	if !ok || t.member != m || t.item == nil || t.item.Value.committing {
		g.mu.Unlock()
		return false, queue.ErrLeaseLost
	}
	if t.marks == nil {
		t.marks = g.engine.newMarks()
	}
	marks := t.marks
	g.mu.Unlock()
	return marks.Mark(ctx, scope, key)
}

// markTopic finds the topic of a scope, or makes it.
func (e *engine) markTopic(ctx context.Context, scope string) (*topic, error) {
	t, err := e.lookup(markNames + scope)
	if !errors.Is(err, queue.ErrNotFound) {
		return t, err
	}
	return e.createTopic(ctx, markNames+scope, markConfig(markTTL), strategyOf(markConfig(markTTL)))
}

func markConfig(ttl time.Duration) queue.TopicConfig {
	return queue.TopicConfig{
		Partitions: 1, Durability: queue.Synced, MaxBytes: 1 << 10, Retention: queue.Retention{Age: ttl}, Dedup: queue.Dedup{Window: ttl, IDs: maxMarks},
	}
}

// keepMarks has the marks of a scope kept for ttl.
func (e *engine) keepMarks(ctx context.Context, scope string, ttl time.Duration) error {
	t, err := e.markTopic(ctx, scope)
	if err != nil || t.manner.Load().config.Dedup.Window == ttl {
		return err
	}
	return e.alterTopic(ctx, t, markConfig(ttl), strategyOf(markConfig(ttl)))
}

// KeepMarks has the marks of a scope kept for ttl from then on, those included that are there: a second to 30 days; 0: 24 hours, as for scopes of which nobody says anything. It is durable on return, and the scope is made if
// it is not there. It is for those who mark by Tx.Mark and Delivery.Mark alone: a store that Marks returns says it itself.
func (e *Engine) KeepMarks(ctx context.Context, scope string, ttl time.Duration) error {
	if err := e.open(); err != nil {
		return err
	}
	ttl = cmp.Or(ttl, markTTL)
	if err := errors.Join(checkMarkTTL(ttl), queue.CheckMark(scope, "-")); err != nil {
		return err
	}
	return e.engine.keepMarks(ctx, scope, ttl)
}

func checkMarkTTL(ttl time.Duration) error {
	if ttl < time.Second || ttl > 30*24*time.Hour {
		return &dedup.OptionsError{Option: "ttl of marks", Have: ttl.String(), Rule: "from 1s to 720h"}
	}
	return nil
}

// Marks returns a store for dedup.Idempotent whose marks are kept in the queue, in the scope of that name, for ttl: a second to 30 days; 0: 24 hours. What a function publishes through its Tx and its mark are one
// commit. Handlers that mark in the same scope by Tx.Mark have the same marks. A scope keeps 16,777,216 marks, the newest. What is wrong with the arguments is returned by
// Once.
func (e *Engine) Marks(scope string, ttl time.Duration) dedup.Store[*queue.Tx] {
	return &markStore{engine: e, scope: scope, ttl: cmp.Or(ttl, markTTL)}
}

// markStore is a dedup.Store.
type markStore struct {
	engine *Engine
	scope  string
	ttl    time.Duration
}

// Once implements dedup.Store.
func (s *markStore) Once(ctx context.Context, key string, fn func(ctx context.Context, tx *queue.Tx) error) (first bool, err error) {
	if err := dedup.CheckKey(key); err != nil {
		return false, err
	}
	if err := s.engine.open(); err != nil {
		return false, err
	}
	if err := checkMarkTTL(s.ttl); err != nil {
		return false, err
	}
	if err := errors.Join(ctx.Err(), queue.CheckMark(s.scope, key)); err != nil {
		return false, err
	}
	if err := s.engine.engine.keepMarks(ctx, s.scope, s.ttl); err != nil {
		return false, err
	}
	_, err = s.engine.broker.Transact(ctx, func(tx *queue.Tx) error {
		if first, err = tx.Mark(ctx, s.scope, key); err != nil || !first {
			return err
		}
		return fn(ctx, tx)
	})
	if errors.Is(err, queue.ErrIndeterminate) {
		err = fmt.Errorf("%w: %w", dedup.ErrIndeterminate, err)
	}
	return first && err == nil, err
}
