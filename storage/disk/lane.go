package disk

import (
	"sync/atomic"
	"time"
)

// lane counts the calls that write or sync something, so that one that does not return is seen from outside. Any number may be under way; as long as one of
// them returns now and then, nothing is stuck. The zero lane is ready.
type lane struct {
	begun, ended atomic.Uint64
	what         atomic.Pointer[string] // of the call that began last

	seen    uint64        // ended, when the lookout looked; its own, as is all below
	idle    time.Duration // for so long it was the same while a call was under way
	stalled bool
}

// enter begins a call that writes or syncs what is named. The name is not copied.
func (l *lane) enter(what *string) {
	l.what.Store(what)
	l.begun.Add(1)
}

func (l *lane) leave() { l.ended.Add(1) }

// look is called every so often. It tells whether a call has just been found stuck, because none has returned for the time after, or has been found to go on.
func (l *lane) look(every, after time.Duration) (stuck, moving bool) {
	ended := l.ended.Load()
	if ended == l.seen && l.begun.Load() > ended {
		l.idle += every
		stuck = l.idle >= after && !l.stalled
		l.stalled = l.stalled || stuck
		return stuck, false
	}
	moving = l.stalled
	l.seen, l.idle, l.stalled = ended, 0, false
	return false, moving
}

// lanes are those of a store.
type lanes struct{ journal, files, segments, checkpoint lane }

func (ls *lanes) all() []*lane { return []*lane{&ls.journal, &ls.files, &ls.segments, &ls.checkpoint} }
