package disk

import (
	"context"
	"time"
)

// pace holds work to so many bytes per second. It is for one goroutine.
type pace struct {
	perSecond int64     // 0: as fast as it goes
	due       time.Time // when what was announced so far is to be done
}

func newPace(perSecond int64) *pace { return &pace{perSecond: max(0, perSecond)} }

// catchUp is how far the work may fall behind and hurry afterwards.
const catchUp = 100 * time.Millisecond

// wait returns when n more bytes may be worked on, or with the error of ctx.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.perSecond == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	now := time.Now()
	if earliest := now.Add(-catchUp); p.due.Before(earliest) {
		p.due = earliest
	}
	wait := p.due.Sub(now)
	p.due = p.due.Add(time.Duration(float64(n) / float64(p.perSecond) * float64(time.Second)))
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
