package disk

import "github.com/leatmq/leat/storage/internal/vfs"

// FollowFS returns o with a follower into a file system of this module.
func FollowFS(o Options, to vfs.FS) Options {
	o.Follower.fs = to
	return o
}
