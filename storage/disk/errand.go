package disk

import "context"

// errands are what others have the keeper's goroutine do, since it alone appends to segments.

// do has f done by the keeper's goroutine, and waits for it.
func (k *keeper) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	k.asked.Lock()
	k.errands = append(k.errands, func() {
		f()
		close(done)
	})
	k.asked.Unlock()
	signal(k.journal.kick)
	select {
	case <-done:
		return nil
	case <-k.core.Stopped():
		return k.core.StopCause()
	case <-k.done:
		return k.core.Writable()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runErrands does what was asked for.
func (k *keeper) runErrands() {
	k.asked.Lock()
	errands := k.errands
	k.errands = nil
	k.asked.Unlock()
	for _, f := range errands {
		f()
	}
}

// settle waits until a sealed segment may be swapped: see Store.swap.
func (k *keeper) settle(ctx context.Context, file uint64) error {
	for {
		k.asked.Lock()
		if k.completed == nil {
			k.completed = make(chan struct{})
		}
		next := k.completed
		k.asked.Unlock()
		if k.sealings.settled(file, k.graves.settled()) {
			return nil
		}
		k.want()
		select {
		case <-next:
		case <-k.core.Stopped():
			return k.core.StopCause()
		case <-k.done:
			return k.core.Writable()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// announce wakes those who wait for a checkpoint.
func (k *keeper) announce() {
	k.asked.Lock()
	defer k.asked.Unlock()
	if k.completed != nil {
		close(k.completed)
		k.completed = nil
	}
}
