package core

import (
	"errors"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// loan is the frames that somebody reads in place. Their blocks are retained.
type loan struct {
	core *Core
	refs []tailFrame
}

// ReadInPlace is storage.Lender's.
func (c *Core) ReadInPlace(dst []storage.Record, id storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, storage.Loan, error) {
	p, err := c.partition(id)
	if err != nil {
		return dst, from, nil, err
	}
	if !c.inPlace(p) {
		return dst, from, nil, errors.ErrUnsupported
	}
	l := c.takeLoan()
	p.mu.Lock()
	from = max(from, 0, p.first)
	next := from
	if from < p.end {
		l.refs, _ = p.gather(l.refs, from, maxBytes)
		next = p.end // but for what follows
	}
	p.mu.Unlock()
	for i := range l.refs {
		f := &l.refs[i]
		h := f.header()
		if dst, err = frame.DecodeRecords(dst, &h, f.bytes(), from); err != nil {
			l.Return()
			return dst, from, nil, undecodable("memory", &h, err)
		}
		next = f.next()
	}
	if len(l.refs) == 0 {
		l.Return()
		return dst, next, nil, nil
	}
	return dst, next, l, nil
}

func (c *Core) takeLoan() *loan {
	if l, ok := c.loans.Get().(*loan); ok {
		return l
	}
	return &loan{core: c}
}

// Return implements storage.Loan.
func (l *loan) Return() {
	releaseAll(l.refs)
	clear(l.refs)
	l.refs = l.refs[:0]
	l.core.loans.Put(l)
}

// Abandon implements storage.Loan.
func (l *loan) Abandon() {
	for i := range l.refs {
		l.refs[i].block.lost.Store(true)
	}
	l.Return()
}
