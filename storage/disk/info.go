package disk

import "github.com/leatmq/leat/storage"

// Info is what only a store in a directory has.
type Info struct {
	ID           uint64 // a random number that all files of the store carry; a copy has it, too
	Format       int    // version of the format that the directory is in
	JournalFiles int
}

// Info describes the store's directory.
func (st *Store) Info() Info {
	st.ring.mu.Lock()
	defer st.ring.mu.Unlock()
	return Info{ID: st.journal.id.store, Format: checkpointVersion, JournalFiles: len(st.ring.slots)}
}

// Files tells how many segments p has, and how large they are. What is in the journal and in memory only is not among them.
func (st *Store) Files(p storage.PartitionID) (segments int, bytes int64) {
	h := st.keeper.parts.find(p)
	if h == nil {
		return 0, 0
	}
	for _, s := range h.list() {
		segments++
		bytes += s.Meta().Length
	}
	return segments, bytes
}
