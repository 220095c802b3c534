package disk

import "fmt"

// prove makes sure that the journal's files have on the disk the size that they show. A file is made before the checkpoint that lists it, so one that no
// checkpoint lists, and that was never used, may be left of an owner who could not finish it, or who died of a sync that failed: then only the
// system's cache has it. Such a file is made again, in its place.
func (r *ring) prove(listed []slotFile) error {
	known := map[int]int64{}
	for _, f := range listed {
		known[f.number] = f.size
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if s.whole || known[s.number] >= s.size {
			continue
		}
		if err := zero(s.file, 0, s.size); err != nil {
			return fmt.Errorf("journal file %s: %w", s.name, err)
		}
	}
	return nil
}
