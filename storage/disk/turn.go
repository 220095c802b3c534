package disk

// turn is held by who commits: a lock that may be held for as long as a disk takes. It is a channel, and no sync.Mutex, since who waits for one of these in a
// test's bubble does not let its time pass.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// Lock waits for the turn.
func (t turn) Lock() { t <- struct{}{} }

// TryLock takes the turn if nobody has it.
func (t turn) TryLock() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

// Unlock gives the turn up.
func (t turn) Unlock() { <-t }
