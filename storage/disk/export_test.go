package disk

import "github.com/leatmq/leat/storage/internal/vfs"

// FollowFS returns o with a follower into a file system of this module.
func FollowFS(o Options, to vfs.FS) Options {
	o.Follower.fs = to
	return o
}

// TurnClock returns o with a clock: the wall clock, and one that is never set, in nanoseconds.
func TurnClock(o Options, read func() (wall, mono int64)) Options {
	o.clock = read
	return o
}
