package disk

import (
	"github.com/leatmq/leat/storage/internal/frame"
)

// doubt is the part of a journal of which nothing shows that it was synced, though it may have been: it begins behind the last frame that a later one says
// was synced, at the end of a sector, since what is synced ends with one. Only the cache may have what lies in it, as the owner may have died of a sync that failed.
type doubt struct {
	synced frame.LSN // the newest that a frame says was synced
	from   mark      // where the doubt begins: everything in front of it was synced, or is in the checkpoint
	prev   frame.LSN // of the last frame in front of it: of the epoch before, where even the header in which this epoch says so may be in doubt
	before int64     // bytes in front of it
	total  int64     // and of all
	ends   []sectorEnd
}

// sectorEnd is the end of an entry at the end of a sector.
type sectorEnd struct {
	mark
	before int64
}

// bytes is how many of the journal are in doubt.
func (d *doubt) bytes() int64 { return d.total - d.before }

// begin starts at a place behind the frame prev with everything in front of it certain, as where an epoch begins: that is not before all of the one before is
// durable.
func (d *doubt) begin(at mark, prev frame.LSN) {
	*d = doubt{synced: at.lsn, from: at, prev: prev, ends: d.ends[:0]}
}

// enter goes on at the beginning of another slot.
func (d *doubt) enter(at mark) {
	if d.bytes() == 0 {
		d.from = at
	}
}

// pass takes an entry that ends at the given place.
func (d *doubt) pass(frames []found, end mark) {
	for i := range frames {
		h := &frames[i].h
		d.total += int64(h.Size())
		if claim := h.LSN - frame.LSN(h.SyncedBack); claim.Epoch() == h.LSN.Epoch() {
			d.synced = max(d.synced, claim)
		}
	}
	if end.pos%sector == 0 {
		d.ends = append(d.ends, sectorEnd{end, d.total})
	}
	d.settle()
}

// settle moves the beginning up to the last end that was synced.
func (d *doubt) settle() {
	n := 0
	for n < len(d.ends) && d.ends[n].lsn <= d.synced {
		n++
	}
	if n == 0 {
		return
	}
	end := d.ends[n-1]
	d.from, d.prev, d.before = end.mark, end.lsn, end.before
	d.ends = append(d.ends[:0], d.ends[n:]...)
}
