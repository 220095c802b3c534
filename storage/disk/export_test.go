package disk

import "github.com/leatmq/leat/storage/internal/vfs"

// FollowFS returns o with a follower into a file system of this module.
func FollowFS(o Options, to vfs.FS) Options {
	o.Follower.fs = to
	return o
}

// InFS returns o with a file system of this module that Open opens, whatever directory it is told.
func InFS(o Options, fs vfs.FS) Options {
	o.fs = fs
	return o
}

// TurnClock returns o with a clock: the wall clock, and one that is never set, in nanoseconds.
func TurnClock(o Options, read func() (wall, mono int64)) Options {
	o.clock = read
	return o
}

// InDoubt is what Resumed says of an open that has left for later what makes the journal's end durable.
const InDoubt = "in doubt"

// Resumed says how an open after an unclean stop went on with what it had replayed.
func Resumed(st *Store) string {
	switch {
	case st.report.Clean:
		return "closed"
	case st.resumed.how == anew:
		return "anew"
	case st.resumed.how == wait:
		return InDoubt
	}
	return "taken over"
}

// BoundNotes returns o with so many bytes for the notes that an open takes of the journal.
func BoundNotes(o Options, bytes int64) Options {
	o.noteBytes = bytes
	return o
}
