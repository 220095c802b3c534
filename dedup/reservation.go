package dedup

// Reservation is the right to work on a key, until Commit or Abort. It is a value that may be copied; of all its copies, the first call of either counts. The zero
// Reservation is nobody's: its methods do nothing.
type Reservation struct {
	filter *Filter
	key    Key
	places places // of key
	ticket uint64
}

// Commit says that the work is done: from now on the key is [Seen], for the window of the filter. It reports whether that counts: it is false if the reservation
// had ended before.
func (r Reservation) Commit() bool {
	f := r.filter
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.inFlight.end(&r.key, r.places.from, r.ticket) {
		return false
	}
	now := f.clock()
	f.turn(now)
	if f.gens[0].keys >= f.options.Keys {
		f.rotate(now, now)
		f.counts.RotatedByCount++
	}
	f.gens[0].add(r.key, r.places, now)
	f.counts.Commits++
	return true
}

// Abort says that the work was not done: the key is free again, as if it had not been reserved. It does nothing if the reservation had ended before, so that it may
// be deferred.
func (r Reservation) Abort() {
	f := r.filter
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inFlight.end(&r.key, r.places.from, r.ticket) {
		f.counts.Aborts++
	}
}
