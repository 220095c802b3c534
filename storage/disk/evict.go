package disk

import (
	"slices"

	"github.com/leatmq/leat/storage/internal/core"
)

// Records that are in segments stay in memory to be read again, as far as the budget goes. Blocks are given back in the order in which they were
// staged, and with that alone a topic that writes much would drive all others out of memory. So each topic has the same right to the budget,
// whatever the others write: what it has in a block that is given back is copied to a block of its own, if all that it has in memory is not more
// than half of its part. Half of it, since then all that topics keep for themselves is at most half of the budget, and topics that write alike are
// never copied. Nothing is copied twice: a topic's own blocks are dropped, oldest first, when it has more than that half.

// evict gives memory back until at most s.cache bytes are held, and all that is of no use.
func (s *spiller) evict() error {
	s.fresh = 0
	held := s.journal.pool.Live()
	for _, b := range s.journal.spent() {
		drop(b)
	}
	s.disown()
	err := s.shrink()
	if s.journal.pool.Live() < held {
		s.journal.given()
	}
	return err
}

// shrink gives memory back until at most s.cache bytes are held.
func (s *spiller) shrink() error {
	if s.journal.pool.Live() <= s.cache {
		return nil
	}
	limit := s.cache / 2 / max(1, s.journal.core.Catalog.Sharers())
	for _, share := range s.keeping {
		share.Shrink(limit)
	}
	for s.journal.pool.Live() > s.cache {
		b, err := s.oldest()
		if b == nil || err != nil {
			return err
		}
		for _, p := range b.Parts() {
			s.spare(p, b, limit)
		}
		drop(b)
	}
	return nil
}

// oldest takes the block that was staged first off the list. What is not spilled in it yet, of topics that write little, is spilled first. It returns nil if
// that cannot be, since it is not committed.
func (s *spiller) oldest() (*core.Block, error) {
	b, pinned := s.journal.oldest()
	if !pinned {
		return b, nil
	}
	limit := s.journal.core.State.Applied()
	for _, p := range b.Parts() {
		for p.Pins(b) {
			if n, err := s.chunk(p, limit); n == 0 || err != nil {
				return nil, err
			}
		}
	}
	if b, pinned = s.journal.oldest(); pinned {
		return nil, nil
	}
	return b, nil
}

func drop(b *core.Block) {
	for _, p := range b.Parts() {
		p.Evict(b)
	}
	b.Release()
}

// spare lets p's topic keep what p has in b, if it has a right to it.
func (s *spiller) spare(p *core.Partition, b *core.Block, limit int64) {
	if !p.Cached() {
		limit = -1
	}
	share := p.Share()
	if !share.Shrink(limit) {
		return
	}
	had := share.Keeps()
	share.Keep(p, b, s.journal.pool, limit)
	if !had && share.Keeps() {
		s.keeping = append(s.keeping, share)
	}
}

// disown takes their own blocks from topics that are not to keep anything in memory any more.
func (s *spiller) disown() {
	s.keeping = slices.DeleteFunc(s.keeping, func(share *core.Share) bool {
		if share.Keeps() && !share.Owner().Cached() {
			share.Shrink(-1)
		}
		return !share.Keeps()
	})
}

// oldest returns the block that was staged first, nil if it is in use for staging, and takes it off the list unless it is pinned: some of its frames are not
// spilled.
func (j *journal) oldest() (b *core.Block, pinned bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.blocks) == 0 || j.blocks[0] == j.block {
		return nil, false
	}
	b = j.blocks[0]
	if b.Unspilled.Load() > 0 {
		return b, true
	}
	j.blocks[0] = nil
	j.blocks = j.blocks[1:]
	return b, false
}

// given says that memory was given back.
func (j *journal) given() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.roomMade()
}

// spent returns the blocks whose records are all spilled and are to stay in memory no longer, that in use for staging included; and takes them off the list.
func (j *journal) spent() (spent []*core.Block) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.blocks = slices.DeleteFunc(j.blocks, func(b *core.Block) bool {
		if b.Cached() || len(b.Parts()) == 0 || b.Unspilled.Load() > 0 {
			return false
		}
		if b == j.block {
			j.block = nil
		}
		spent = append(spent, b)
		return true
	})
	return spent
}
