package claimcheck

import (
	"context"
	"errors"
	"time"

	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/storage"
)

// Swept is what a sweep found and did.
type Swept struct {
	Values, Named int   // that are kept, and those of them that messages name
	Removed       int   // values
	RemovedBytes  int64 // of those
}

// known is what earlier sweeps found. It belongs to the sweeper.
type known struct {
	partitions map[storage.PartitionID]*seen
	unnamed    map[hash]time.Time // values that nobody names, since when that is known
}

// seen is what of a partition was looked at.
type seen struct {
	next   int64
	claims []claimAt // by offset
}

type claimAt struct {
	offset int64
	hash   hash
}

func newKnown() known {
	return known{map[storage.PartitionID]*seen{}, map[hash]time.Time{}}
}

// Sweep removes values that no message names any more, nor did at the sweep before, Options.Grace ago or more. It reads what was published since the last sweep, and everything when it is the
// first since the store was opened. What a cursor has passed and retention has not removed still counts as a message. If a partition cannot be read, nothing is removed, and the error says why. One
// sweep runs at a time. queue.ErrClosed after Close.
func (s *Store) Sweep(ctx context.Context) (Swept, error) {
	if err := s.enter(); err != nil {
		return Swept{}, err
	}
	defer s.leave()
	select {
	case <-s.sweeps:
		defer func() { s.sweeps <- struct{}{} }()
	case <-ctx.Done():
		return Swept{}, ctx.Err()
	}
	s.beginSweep()
	defer s.endSweep()
	values, err := s.blobs.List() // before what names them is looked at: what comes later is pinned meanwhile
	if err != nil {
		return Swept{}, err
	}
	named, err := s.look(ctx)
	if err != nil {
		return Swept{}, err
	}
	return s.clear(values, named)
}

func (s *Store) beginSweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched = make(map[hash]struct{}, len(s.pins))
	for h := range s.pins {
		s.touched[h] = struct{}{}
	}
}

func (s *Store) endSweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched = nil
}

// look returns what messages name.
func (s *Store) look(ctx context.Context) (map[hash]struct{}, error) {
	ps, err := s.engine.RawPartitions()
	if err != nil {
		return nil, err
	}
	named := map[hash]struct{}{}
	there := make(map[storage.PartitionID]*seen, len(ps))
	for i := range ps {
		at := s.known.partitions[ps[i].ID]
		if at == nil || at.next > ps[i].Next || ps[i].Compacted { // it is new, or begins again, or may have gaps
			at = &seen{}
		}
		if err := s.catchUp(ctx, at, &ps[i]); err != nil {
			return nil, err
		}
		there[ps[i].ID] = at
		for _, c := range at.claims {
			named[c.hash] = struct{}{}
		}
	}
	s.known.partitions = there
	return named, nil
}

// catchUp looks at what is new in a partition, and forgets what is gone.
func (s *Store) catchUp(ctx context.Context, at *seen, p *embedded.RawPartition) (err error) {
	gone := 0
	for gone < len(at.claims) && at.claims[gone].offset < p.First {
		gone++
	}
	at.claims = at.claims[gone:]
	if from := max(at.next, p.First); from < p.Next {
		at.next, err = s.engine.ReadRaw(ctx, p.ID, from, func(r *storage.Record) bool {
			note := func(h hash) { at.claims = append(at.claims, claimAt{r.Offset, h}) }
			findClaims(r.Value, note)
			return true
		})
	}
	return err
}

// clear removes what nobody names.
func (s *Store) clear(values map[hash]int64, named map[hash]struct{}) (Swept, error) {
	swept := Swept{Values: len(values)}
	now := time.Now()
	unnamed := map[hash]time.Time{}
	var errs []error
	for h, size := range values {
		if _, ok := named[h]; ok {
			swept.Named++
			continue
		}
		since, before := s.known.unnamed[h]
		if !before {
			since = now
		}
		if now.Sub(since) < s.o.Grace {
			unnamed[h] = since
			continue
		}
		removed, err := s.removeUnpinned(h, size)
		errs = append(errs, err)
		if removed {
			swept.Removed++
			swept.RemovedBytes += size
		}
	}
	s.known.unnamed = unnamed
	return swept, errors.Join(errs...)
}

// removeUnpinned removes a value, unless somebody is about to publish a message that names it, or was since the sweep began.
func (s *Store) removeUnpinned(h hash, size int64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.touched[h]; ok {
		return false, nil
	}
	if err := s.blobs.Remove(h); err != nil {
		return false, err
	}
	s.total -= size
	return true, nil
}
