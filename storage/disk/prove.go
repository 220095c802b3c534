package disk

import (
	"fmt"
	"slices"
)

// prove makes sure that the journal's files have on the disk the size that they show. A file is made before the checkpoint that lists it, so one that no
// checkpoint lists, and that was never used, may be left of an owner who could not finish it, or who died of a sync that failed: then only the
// system's cache has it. Such a file is made again, in its place.
func (r *ring) prove(listed []slotFile) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if s.proven(listed) {
			continue
		}
		if err := zero(s.file, 0, s.size); err != nil {
			return fmt.Errorf("journal file %s: %w", s.name, err)
		}
	}
	return nil
}

// setAside is prove for later: such files are made again when another one is wanted.
func (r *ring) setAside(listed []slotFile) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots = slices.DeleteFunc(r.slots, func(s *slot) bool {
		if s.proven(listed) || s.fresh {
			return false
		}
		r.unproven = append(r.unproven, s)
		return true
	})
}

// proven tells whether the slot was in use once, or is of the given ones.
func (s *slot) proven(listed []slotFile) bool {
	return s.whole || slices.ContainsFunc(listed, func(f slotFile) bool { return f.number == s.number && f.size >= s.size })
}

// takeUnproven takes an unproven file of at least size bytes, nil if there is none. mu is held.
func (r *ring) takeUnproven(size int64) *slot {
	i := slices.IndexFunc(r.unproven, func(s *slot) bool { return s.size >= size })
	if i < 0 {
		return nil
	}
	s := r.unproven[i]
	r.unproven = slices.Delete(r.unproven, i, i+1)
	return s
}
