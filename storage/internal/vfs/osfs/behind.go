package osfs

// behindWindow is in how large steps a file that is written front to back is written out. One window is being written by the system while the next
// is filled; what lies further back leaves the page cache.
const behindWindow = 8 << 20

// writeBehind is how far the system was told to write a file out. The zero value is for a file of which nothing was told.
//
// Left alone, the system collects what is written for half a minute or a fifth of its memory, and then writes it all at once, while everybody's syncs wait;
// and it takes a page that it has not touched before for each page written, which costs several times what copying costs. Written out in
// windows, the same few pages are used again and again, and what the application itself has in the page cache stays there. See sync_file_range(2) and
// posix_fadvise(2).
type writeBehind struct {
	begun int64 // the system was told to write out what lies before
}
