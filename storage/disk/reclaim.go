package disk

import (
	"context"
	"time"

	"github.com/leatmq/leat/storage"
)

// reclaimLook is how often Reclaim looks whether the files are gone.
const reclaimLook = 10 * time.Millisecond

// Reclaim returns when the files of everything that was removed before the call are removed, too, so that the disk has their space. They go anyway: this is
// for who wants to wait for it. It takes two checkpoints, which it asks for, a second or two. Errors: the cause why files could not be removed, or why the store stopped;
// storage.ErrReadOnly, storage.ErrClosed, and ctx's.
func (st *Store) Reclaim(ctx context.Context) error {
	if err := st.core.Writable(); err != nil {
		return err
	}
	inside, done, err := st.guests.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	graves := st.keeper.graves
	before := graves.newest()
	look := time.NewTicker(reclaimLook)
	defer look.Stop()
	for {
		if err := st.core.StopCause(); err != nil {
			return err
		}
		if graves.settled() > before {
			if len(graves.list()) == 0 {
				return nil
			}
			if err := st.works.all()[unlinkWork].LastError; err != nil {
				return err
			}
		} else {
			st.keeper.want()
		}
		select {
		case <-look.C:
		case <-inside.Done():
			if ctx.Err() == nil {
				return storage.ErrClosed
			}
			return ctx.Err()
		}
	}
}
