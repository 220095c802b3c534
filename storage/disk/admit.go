package disk

import (
	"context"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
)

// admission is what decides which entries are taken: memory, the reserve that covers what waits for the disk, and the journal file that takes
// the largest group. It is guarded by journal.mu.
type admission struct {
	reserved reservation
	covers   int64         // bytes of the reserve: what is unspilled, and what spilling it takes, is no more
	full     error         // why records are refused; nil while there is space
	hindered error         // why nothing is spilled at present
	want     int64         // the reserve without which someone waits in vain
	soon     int64         // the reserve with which someone would not wait
	slot     int64         // the entry that someone waits with for a journal file that takes it
	denied   error         // why that, or the reserve, could not be had
	denials  uint64        // how often it could not
	room     chan struct{} // closed when room is made; nil while nobody waits
}

// reservation is what appenders were promised and have not staged yet.
type reservation struct{ bytes, records, parts int64 }

// Room implements core.Backend: it waits until memory, the reserve and the open group can take e. Entries without records wait for no memory.
func (j *journal) Room(ctx context.Context, e *core.Entry) error {
	if err := ctx.Err(); err != nil {
		return core.NoRoom(err)
	}
	r := reservation{bytes: int64(e.Bytes), records: count(e), parts: int64(e.Parts())}
	if r.records > maxGroupRecs {
		return &storage.LimitError{What: "number of records in an entry", Size: r.records, Max: maxGroupRecs}
	}
	for denials := ^uint64(0); ; {
		wait, hindered, err := j.reserve(r, &denials)
		if wait == nil || err != nil {
			return err
		}
		signal(j.kick)
		select {
		case <-wait:
		case <-j.core.Stopped():
			return j.core.StopCause()
		case <-ctx.Done():
			return core.NoRoom(ctx.Err(), hindered)
		}
		if err := j.core.Writable(); err != nil {
			return err
		}
	}
}

func count(e *core.Entry) (records int64) {
	for i := range e.Frames {
		records += int64(e.Frames[i].Header.Count)
	}
	return records
}

// reserve promises room for x, or returns a channel to wait on and why nothing is spilled at present. denials is how often room had been denied when the wait
// for it began.
func (j *journal) reserve(x reservation, denials *uint64) (wait <-chan struct{}, hindered, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.full != nil && x.parts > 0 {
		return nil, nil, noSpace(j.full)
	}
	capacity := j.ring.capacity()
	r, g := &j.reserved, j.open
	ahead := j.unspilled + r.bytes
	memory := x.parts == 0 || (ahead == 0 || ahead+x.bytes <= j.hard && j.pool.Live()+r.bytes+x.bytes <= 2*j.hard) && need(ahead+x.bytes, j.parts+r.parts+x.parts) <= j.covers
	group := g.bytes+r.bytes+x.bytes <= min(maxGroup, capacity) && g.records+r.records+x.records <= maxGroupRecs ||
		g.bytes+r.bytes == 0 && x.bytes <= capacity
	if memory && group {
		r.bytes += x.bytes
		r.records += x.records
		r.parts += x.parts
		return nil, nil, nil
	}
	uncovered := x.parts > 0 && need(x.bytes, x.parts) > j.covers
	switch {
	case !uncovered && x.bytes <= capacity:
	case *denials > j.denials:
		*denials = j.denials
	case *denials < j.denials:
		return nil, nil, noSpace(j.denied)
	}
	if uncovered {
		j.want = max(j.want, need(x.bytes, x.parts))
	}
	if x.bytes > capacity {
		j.slot = max(j.slot, x.bytes)
	}
	if !memory {
		j.soon = max(j.soon, need(ahead+x.bytes, j.parts+r.parts+x.parts))
	}
	if j.room == nil {
		j.room = make(chan struct{})
	}
	return j.room, j.hindered, nil
}

// roomMade wakes those who wait in Room. mu is held.
func (j *journal) roomMade() {
	if j.room != nil {
		close(j.room)
		j.room = nil
	}
}

// fill makes the journal refuse records, and returns false if it did already.
func (j *journal) fill(cause error) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.full != nil {
		return false
	}
	j.full = cause
	j.roomMade()
	return true
}

func (j *journal) isFull() bool { return j.fullCause() != nil }

func (j *journal) fullCause() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.full
}

// fileMade wakes those who may wait for a journal file.
func (j *journal) fileMade() {
	j.mu.Lock()
	j.roomMade()
	j.mu.Unlock()
	signal(j.kick)
}

// cover has the journal take records as far as a reserve of so many bytes allows.
func (j *journal) cover(bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.covers, j.full = bytes, nil
	j.roomMade()
}

// hinder notes why nothing can be spilled, for those who wait; nil: something can.
func (j *journal) hinder(cause error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hindered = cause
}

// wanted returns the reserve that someone waits for, 0 if nobody does; the one that should be had before someone does; and the size of an entry that waits for
// a journal file. What is wanted is so until it was taken here.
func (j *journal) wanted() (want, ahead, slot int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	want, slot = j.want, j.slot
	used := max(j.soon, need(j.unspilled+j.reserved.bytes, j.parts+j.reserved.parts))
	j.want, j.soon, j.slot = 0, 0, 0
	if j.full != nil {
		return 0, 0, slot
	}
	if want <= j.covers {
		want = 0
	}
	if most := need(j.hard, j.parts+j.reserved.parts); want > 0 || j.covers < most && used > j.covers/2 {
		ahead = max(want, min(2*max(j.covers, used), most))
	}
	return want, ahead, slot
}

// deny tells those who wait for a larger reserve, or a larger journal file, that there is none.
func (j *journal) deny(cause error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.denied = cause
	j.denials++
	j.roomMade()
}
