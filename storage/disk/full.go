package disk

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// room is what the keeper knows of the space on the disk, and what the journal may take on the strength of it.
//
// While there is space, the reserve covers what is in memory and not yet in segments. When a write finds none, the store is full: it gives the reserve up,
// spills what it has, and refuses records from then on. Entries without records go on: a checkpoint takes no new space, and the journal is written
// over. Every so often, and when files were removed, it tries to have its reserve again, and then takes records again.
type room struct {
	reserve *reserve      // nil in a store that is only read
	first   int64         // size of a new reserve
	pause   time.Duration // between looks for it
	look    *time.Timer   // when to try again what could not be done
	put     bool          // something was put off until then
	told    error         // why, as the operator was told
	awake   bool          // the store serves: before that nobody is told anything
	pinch   atomic.Pointer[error]
	freed   atomic.Bool // files were removed
	cramped bool        // the reserve could not grow, so it is not tried ahead of need until the next look
}

// later tells that err says that something is short, and that the same can be tried again.
func later(err error) bool { return vfs.NoSpace(err) || vfs.Exhausted(err) }

// noSpace is the error of an entry that there is no space for, or nothing else that it takes to have a file made for it.
func noSpace(cause error) error {
	if !vfs.NoSpace(cause) && vfs.Exhausted(cause) {
		return errors.Join(storage.ErrFull, cause)
	}
	return errors.Join(storage.ErrNoSpace, storage.ErrFull, cause)
}

// short adds storage.ErrNoSpace to an error that means it.
func short(err error) error {
	if vfs.NoSpace(err) && !errors.Is(err, storage.ErrNoSpace) {
		return fmt.Errorf("%w: %w", storage.ErrNoSpace, err)
	}
	return err
}

// spilling calls f, which writes to segments, and calls it again after the reserve was given up if there was no space. done is false if something is short
// even so: nothing is lost then, and it is tried again later.
func (k *keeper) spilling(f func() error) (done bool, err error) {
	err = f()
	if vfs.NoSpace(err) {
		freed, cutErr := k.giveUp(err)
		if cutErr != nil {
			return false, cutErr
		}
		if freed {
			err = f()
		}
	}
	if later(err) {
		k.putOff(err)
		return false, nil
	}
	return err == nil, err
}

// must is spilling for where there is no later.
func (k *keeper) must(f func() error) error {
	done, err := k.spilling(f)
	if err == nil && !done {
		err = short(k.told)
	}
	return err
}

// giveUp makes the store full, and cuts the reserve if it is not cut already.
func (k *keeper) giveUp(cause error) (freed bool, err error) {
	if k.journal.fill(cause) && k.awake {
		k.tellFull(cause)
	}
	k.look.Reset(k.pause)
	if k.reserve == nil || k.reserve.size == 0 {
		return false, nil
	}
	return true, k.reserve.cut(0)
}

// wakeUp begins to tell the operator, and first that the store was full when it was opened.
func (k *keeper) wakeUp() {
	k.awake = true
	if cause := k.journal.fullCause(); cause != nil {
		k.tellFull(cause)
	}
}

func (k *keeper) tellFull(cause error) {
	k.tell(storage.Event{Kind: storage.EventFull, Err: cause, Text: "records are refused until there is space; cursors and cleanup go on"})
}

// putOff notes that something could not be done, and has it tried again. The operator is told once that it was not for want of space.
func (k *keeper) putOff(err error) {
	if k.told == nil && k.awake && !vfs.NoSpace(err) {
		k.tell(storage.Event{Kind: storage.EventWorkError, Err: err, Text: "copying records to segments, or a checkpoint, is tried again"})
	}
	k.put, k.told = true, err
	k.journal.hinder(err)
	k.look.Reset(k.pause)
}

// again does what was put off.
func (k *keeper) again() error {
	k.put, k.cramped = false, false
	if err := k.lookForRoom(); err != nil {
		return err
	}
	err := k.turn(false)
	if !k.put {
		k.told = nil
		k.journal.hinder(nil)
	}
	if k.journal.isFull() {
		k.look.Reset(k.pause)
	}
	return err
}

// lookForRoom ends being full, if what is in memory could be spilled and there is space for a reserve twice the size of a new one.
func (k *keeper) lookForRoom() error {
	if !k.journal.isFull() || k.reserve == nil {
		return nil
	}
	if done, err := k.spilling(func() error { return k.relieve(0) }); !done {
		return err
	}
	switch err := k.reserve.grow(2 * k.first); {
	case later(err):
		return nil
	case err != nil:
		return err
	}
	k.journal.cover(k.reserve.size)
	k.tell(storage.Event{Kind: storage.EventRoom, Text: "records are taken again"})
	return nil
}

// madeSpace says that files were removed.
func (k *keeper) madeSpace() {
	k.freed.Store(true)
	signal(k.journal.kick)
}

// pinched deals with a checkpoint that could not be made because something was short.
func (k *keeper) pinched() error {
	p := k.pinch.Swap(nil)
	if p == nil {
		return nil
	}
	if vfs.NoSpace(*p) {
		if freed, err := k.giveUp(*p); freed || err != nil {
			return err
		}
	}
	k.putOff(*p)
	return nil
}

// provide makes the reserve larger if someone waits for that, or before someone does; and has a journal file made for an entry that fits none.
func (k *keeper) provide() error {
	want, ahead, slot := k.journal.wanted()
	if slot > 0 {
		k.makeAhead(slot)
	}
	if want == 0 && (ahead == 0 || k.cramped) {
		return nil
	}
	err := k.reserve.grow(max(want, ahead))
	if later(err) && want > 0 && want < ahead {
		err = k.reserve.grow(want)
	}
	switch {
	case later(err):
		k.cramped = true
		k.look.Reset(k.pause)
		if want > 0 {
			k.journal.deny(err)
		}
		return nil
	case err != nil:
		return err
	}
	k.journal.cover(k.reserve.size)
	return nil
}

// takeReserve opens the reserve of a store that is being opened, before anything is spilled.
func (st *Store) takeReserve() (err error) {
	st.keeper.reserve, err = openReserve(st.fs, &st.lookout.lanes.segments)
	return err
}

// cover gives a store that was opened the reserve of a new one. A directory on a full disk opens full.
func (st *Store) cover() error {
	k := st.keeper
	if k.journal.isFull() {
		return nil
	}
	if err := k.reserve.cut(0); err != nil {
		return err
	}
	err := k.reserve.grow(k.first)
	if later(err) {
		k.journal.fill(err)
		k.look.Reset(k.pause)
		return nil
	}
	if err == nil {
		k.journal.cover(k.first)
	}
	return err
}

// coverAgain is cover for a store with records in the journal that are still to be spilled: the reserve that its last owner has left stays.
func (st *Store) coverAgain() error {
	k := st.keeper
	if k.reserve.size < k.first || k.journal.isFull() {
		return st.cover()
	}
	k.journal.cover(k.reserve.size)
	return nil
}
