package disk

import (
	"fmt"
	"math"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
)

// leftovers looks for segment files that an owner who did not close has made behind its last checkpoint c. All their records are in
// the journal. Files that no checkpoint explains are foreign, but for those of which the medium does not say whose they are: these are an error.
func (st *Store) leftovers(c *checkpoint) error {
	if c.clean && c.followed == 0 {
		return nil
	}
	found, foreign, err := st.segments.Scan()
	if err != nil {
		return fmt.Errorf("storage: segments: %w", err)
	}
	st.report.Foreign = append(st.report.Foreign, foreign...)
	for _, name := range foreign { // a header that a power cut has swallowed proves nothing, but the name is taken
		var p, file uint64
		if _, err := fmt.Sscanf(name, segmentDir+"/%8x/%16x", &p, &file); err == nil && file < math.MaxUint64 {
			st.keeper.nextFile.Store(max(st.keeper.nextFile.Load(), file+1))
			st.headless = append(st.headless, segment.Found{Partition: storage.PartitionID(p), File: file, Name: name})
		}
	}
	known := st.keeper.parts.files()
	for _, f := range found {
		st.keeper.nextFile.Store(max(st.keeper.nextFile.Load(), f.File+1))
		switch {
		case known[f.File], st.keeper.graves.has(f.Partition, f.File):
		case f.Unread != nil:
			return fmt.Errorf("storage: whether a segment that no checkpoint knows is needed cannot be told: %w", f.Unread)
		case f.File >= c.nextFile, f.Rewritten: // what is in it is in the files that it was made of, or replay finds that it counts
			st.orphans = append(st.orphans, f)
		default:
			st.report.Foreign = append(st.report.Foreign, f.Name)
		}
	}
	return nil
}

// leftover returns those that nothing needs: some were found to be needed by the replay.
func (st *Store) leftover() (all []segment.Found) {
	known := st.keeper.parts.files()
	for _, f := range st.orphans {
		if !known[f.File] && !st.keeper.graves.has(f.Partition, f.File) {
			all = append(all, f)
		}
	}
	return all
}

// removeLeftovers removes them, now that another checkpoint is durable.
func (st *Store) removeLeftovers() error {
	all := st.leftover()
	for _, f := range all {
		if err := st.segments.Remove(f); err != nil {
			return fmt.Errorf("storage: leftover segment: %w", err)
		}
	}
	st.report.Leftovers = len(all)
	st.orphans, st.headless = nil, nil
	return nil
}
