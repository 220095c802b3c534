package memfs

import "fmt"

// Mode says what survives a crash of what no sync has covered. Where a choice is left, the seed makes it.
type Mode uint8

// The modes. What a sync covered survives in each of them.
const (
	// SyncedOnly keeps nothing else.
	SyncedOnly Mode = iota
	// Everything keeps all of it, as the death of the process does. It is still not durable: a second crash may take it.
	Everything
	// RandomSectors keeps any of the sectors written and not others, in sectors of 512 or 4,096 bytes; any of the changes to
	// directories that do not build on a lost one; and sizes up to some change of each file. How likely a change is to
	// survive differs from file to file, from never to always.
	RandomSectors
	// Prefix keeps the first n changes of the whole file system.
	Prefix
	// CutAnyByte is Prefix, and of a write that is the next change the first few bytes.
	CutAnyByte
	// GarbageSectors is RandomSectors, except that what was being written to a lost sector may be overwritten with garbage.
	GarbageSectors
	// ZeroedSize keeps sizes and directories and no data: zeros where a file grew, what was there before elsewhere.
	ZeroedSize
	// RenameWithoutData keeps directories, but neither data nor sizes.
	RenameWithoutData
	// UnlinkWithoutRest keeps removals only, but those of names whose last change was lost.
	UnlinkWithoutRest
	// GarbageWholeSectors is GarbageSectors on a device that also ruins the rest of a sector of which it was writing a part: bytes that
	// were synced long before. Only data that never shares a sector with later writes survives it, so Modes leaves it out.
	GarbageWholeSectors
	modes
)

// Modes returns the modes that whatever was synced must survive.
func Modes() []Mode {
	all := make([]Mode, 0, modes)
	for m := range GarbageWholeSectors {
		all = append(all, m)
	}
	return all
}

func (m Mode) String() string {
	names := [modes]string{
		"SyncedOnly", "Everything", "RandomSectors", "Prefix", "CutAnyByte", "GarbageSectors",
		"ZeroedSize", "RenameWithoutData", "UnlinkWithoutRest", "GarbageWholeSectors",
	}
	if m >= modes {
		return fmt.Sprintf("mode %d", uint8(m))
	}
	return names[m]
}
