package memfs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// A script leaves behind something that no sync covered. What the crash may make of it is listed for each mode: with "!" what 400 seeds
// must show at least once, and nothing else but what is listed may be seen.
var crashes = []struct {
	name    string
	script  func(x tester)
	images  map[Mode][]string
	garbage []string // allowed besides in GarbageSectors, which is otherwise as RandomSectors
}{
	{
		name: "overwritten",
		script: func(x tester) {
			x.write(x.synced("a", "AA"), "BB", 0)
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:AA"}, Everything: {"!a:BB"}, RandomSectors: {"!a:AA", "!a:AB", "!a:BA", "!a:BB"},
			Prefix: {"!a:AA", "!a:BB"}, CutAnyByte: {"a:AA", "!a:?A", "a:BA", "!a:B?", "!a:BB"},
			ZeroedSize: {"!a:AA"}, RenameWithoutData: {"!a:AA"}, UnlinkWithoutRest: {"!a:AA"},
		},
		garbage: []string{"!a:?A", "!a:A?", "!a:??", "!a:?B", "!a:B?"},
	}, {
		name: "appended",
		script: func(x tester) {
			x.write(x.synced("a", "A"), "BC", 1)
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:A"}, Everything: {"!a:ABC"}, RandomSectors: {"!a:A", "!a:A..", "!a:AB.", "!a:A.C", "!a:ABC"},
			Prefix: {"!a:A", "!a:ABC"}, CutAnyByte: {"a:A", "!a:AB~", "a:AB", "!a:ABC~", "!a:ABC"},
			ZeroedSize: {"!a:A.."}, RenameWithoutData: {"!a:A"}, UnlinkWithoutRest: {"!a:A"},
		},
		garbage: []string{"!a:A??", "!a:A.?", "!a:A?.", "!a:AB?", "!a:A?C"},
	}, {
		name: "two writes to one sector",
		script: func(x tester) {
			h := x.synced("a", "A")
			x.write(h, "B", 0)
			x.write(h, "C", 0)
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:A"}, Everything: {"!a:C"}, RandomSectors: {"!a:A", "!a:B", "!a:C"},
			Prefix: {"!a:A", "!a:B", "!a:C"}, CutAnyByte: {"a:A", "a:B", "!a:C", "!a:?"},
			ZeroedSize: {"!a:A"}, RenameWithoutData: {"!a:A"}, UnlinkWithoutRest: {"!a:A"},
		},
		garbage: []string{"!a:?"},
	}, {
		name: "two files",
		script: func(x tester) {
			a, b := x.synced("a", "A"), x.synced("b", "A")
			x.write(a, "B", 0)
			x.write(b, "B", 0)
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:A b:A"}, Everything: {"!a:B b:B"}, RandomSectors: {"!a:A b:A", "!a:A b:B", "!a:B b:A", "!a:B b:B"},
			Prefix: {"!a:A b:A", "!a:B b:A", "!a:B b:B"}, CutAnyByte: {"a:A b:A", "!a:? b:A", "a:B b:A", "!a:B b:?", "!a:B b:B"},
			ZeroedSize: {"!a:A b:A"}, RenameWithoutData: {"!a:A b:A"}, UnlinkWithoutRest: {"!a:A b:A"},
		},
		garbage: []string{"!a:? b:A", "!a:? b:B", "!a:A b:?", "!a:B b:?", "!a:? b:?"},
	}, {
		name: "truncated",
		script: func(x tester) {
			h := x.synced("a", "AAA")
			x.ok("truncate", h.Truncate(1*sector))
			x.ok("truncate", h.Truncate(2*sector))
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:AAA"}, Everything: {"!a:A."}, RandomSectors: {"!a:AAA", "!a:A", "!a:A."},
			Prefix: {"!a:AAA", "!a:A", "!a:A."}, CutAnyByte: {"!a:AAA", "!a:A", "!a:A."},
			ZeroedSize: {"!a:A."}, RenameWithoutData: {"!a:AAA"}, UnlinkWithoutRest: {"!a:AAA"},
		},
	}, {
		name: "created, its directory not synced",
		script: func(x tester) {
			h := x.create("a")
			x.write(h, "A", 0)
			x.ok("sync", h.SyncData())
		},
		images: map[Mode][]string{
			SyncedOnly: {"!"}, Everything: {"!a:A"}, RandomSectors: {"!", "!a:A"}, Prefix: {"!", "!a:A"}, CutAnyByte: {"!", "!a:A"},
			ZeroedSize: {"!a:A"}, RenameWithoutData: {"!a:A"}, UnlinkWithoutRest: {"!"},
		},
	}, {
		name: "created, its directory synced and not the file",
		script: func(x tester) {
			h := x.create("a")
			x.write(h, "A", 0)
			x.ok("syncdir", x.SyncDir("."))
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:"}, Everything: {"!a:A"}, RandomSectors: {"!a:", "!a:.", "!a:A"}, Prefix: {"!a:", "!a:A"},
			CutAnyByte: {"a:", "!a:A~", "!a:A"}, ZeroedSize: {"!a:."}, RenameWithoutData: {"!a:"}, UnlinkWithoutRest: {"!a:"},
		},
		garbage: []string{"!a:?"},
	}, {
		name: "renamed over another, synced, its directory not",
		script: func(x tester) {
			x.synced("old", "A")
			x.synced("new", "B")
			x.ok("rename", x.Rename("new", "old"))
		},
		images: map[Mode][]string{
			SyncedOnly: {"!new:B old:A"}, Everything: {"!old:B"}, RandomSectors: {"!new:B old:A", "!old:B"},
			Prefix: {"!new:B old:A", "!old:B"}, CutAnyByte: {"!new:B old:A", "!old:B"},
			ZeroedSize: {"!old:B"}, RenameWithoutData: {"!old:B"}, UnlinkWithoutRest: {"!new:B old:A"},
		},
	}, {
		name: "renamed over another, not synced",
		script: func(x tester) {
			x.synced("old", "A")
			x.write(x.create("new"), "B", 0)
			x.ok("rename", x.Rename("new", "old"))
			x.ok("syncdir", x.SyncDir("."))
		},
		images: map[Mode][]string{
			SyncedOnly: {"!old:"}, Everything: {"!old:B"}, RandomSectors: {"!old:", "!old:.", "!old:B"}, Prefix: {"!old:", "!old:B"},
			CutAnyByte: {"old:", "!old:B~", "!old:B"}, ZeroedSize: {"!old:."}, RenameWithoutData: {"!old:"}, UnlinkWithoutRest: {"!old:"},
		},
		garbage: []string{"!old:?"},
	}, {
		name: "removed, another created and written",
		script: func(x tester) {
			x.synced("a", "A")
			h := x.synced("b", "A")
			x.ok("remove", x.Remove("a"))
			x.create("c")
			x.write(h, "B", 0)
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:A b:A"}, Everything: {"!b:B c:"},
			RandomSectors: {
				"!a:A b:A", "!a:A b:B", "!b:A", "!b:B", "!a:A b:A c:", "!a:A b:B c:", "!b:A c:", "!b:B c:",
			},
			Prefix: {"!a:A b:A", "!b:A", "!b:A c:", "!b:B c:"}, CutAnyByte: {"!a:A b:A", "!b:A", "b:A c:", "!b:? c:", "!b:B c:"},
			ZeroedSize: {"!b:A c:"}, RenameWithoutData: {"!b:A c:"}, UnlinkWithoutRest: {"!b:A"},
		},
		garbage: []string{"!a:A b:?", "!b:?", "!a:A b:? c:", "!b:? c:"},
	}, {
		name: "removed and created anew",
		script: func(x tester) {
			x.synced("a", "A")
			x.ok("remove", x.Remove("a"))
			h := x.create("a")
			x.write(h, "B", 0)
			x.ok("sync", h.SyncData())
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:A"}, Everything: {"!a:B"}, RandomSectors: {"!a:A", "!", "!a:B"}, Prefix: {"!a:A", "!", "!a:B"},
			CutAnyByte: {"!a:A", "!", "!a:B"}, ZeroedSize: {"!a:B"}, RenameWithoutData: {"!a:B"}, UnlinkWithoutRest: {"!"},
		},
	}, {
		name: "renamed, and another created under the name before",
		script: func(x tester) {
			x.synced("a", "A")
			x.ok("rename", x.Rename("a", "b"))
			x.create("a")
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:A"}, Everything: {"!a: b:A"}, RandomSectors: {"!a:A", "!b:A", "!a: b:A"},
			Prefix: {"!a:A", "!b:A", "!a: b:A"}, CutAnyByte: {"!a:A", "!b:A", "!a: b:A"},
			ZeroedSize: {"!a: b:A"}, RenameWithoutData: {"!a: b:A"}, UnlinkWithoutRest: {"!a:A"},
		},
	}, {
		name: "renamed over another and removed",
		script: func(x tester) {
			x.synced("a", "A")
			x.synced("b", "B")
			x.ok("rename", x.Rename("a", "b"))
			x.ok("remove", x.Remove("b"))
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:A b:B"}, Everything: {"!"}, RandomSectors: {"!a:A b:B", "!b:A", "!"},
			Prefix: {"!a:A b:B", "!b:A", "!"}, CutAnyByte: {"!a:A b:B", "!b:A", "!"},
			ZeroedSize: {"!"}, RenameWithoutData: {"!"}, UnlinkWithoutRest: {"!a:A b:B"},
		},
	}, {
		name: "two renamed in a row",
		script: func(x tester) {
			x.synced("a", "A")
			x.synced("b", "B")
			x.ok("rename", x.Rename("b", "c"))
			x.ok("rename", x.Rename("a", "b"))
		},
		images: map[Mode][]string{
			SyncedOnly: {"!a:A b:B"}, Everything: {"!b:A c:B"}, RandomSectors: {"!a:A b:B", "!a:A c:B", "!b:A c:B"},
			Prefix: {"!a:A b:B", "!a:A c:B", "!b:A c:B"}, CutAnyByte: {"!a:A b:B", "!a:A c:B", "!b:A c:B"},
			ZeroedSize: {"!b:A c:B"}, RenameWithoutData: {"!b:A c:B"}, UnlinkWithoutRest: {"!a:A b:B"},
		},
	}, {
		name: "in a directory whose parent is not synced",
		script: func(x tester) {
			x.ok("mkdir", x.Mkdir("d"))
			x.write(x.create("d/a"), "A", 0)
			x.ok("sync", x.open("d/a").SyncData())
			x.ok("syncdir", x.SyncDir("d"))
		},
		images: map[Mode][]string{
			SyncedOnly: {"!"}, Everything: {"!d/a:A"}, RandomSectors: {"!", "!d/a:A"}, Prefix: {"!", "!d/a:A"},
			CutAnyByte: {"!", "!d/a:A"}, ZeroedSize: {"!d/a:A"}, RenameWithoutData: {"!d/a:A"}, UnlinkWithoutRest: {"!"},
		},
	}, {
		name: "all synced",
		script: func(x tester) {
			x.ok("mkdir", x.Mkdir("d"))
			h := x.create("d/tmp")
			x.write(h, "AAA", 0)
			x.ok("truncate", h.Truncate(2*sector))
			x.ok("rename", x.Rename("d/tmp", "d/a"))
			x.create("d/b")
			x.ok("remove", x.Remove("d/b"))
			x.ok("sync", h.SyncData())
			x.ok("syncdir", x.SyncDir("d"))
			x.ok("syncdir", x.SyncDir("."))
		},
		images: map[Mode][]string{
			SyncedOnly: {"!d/a:AA"}, Everything: {"!d/a:AA"}, RandomSectors: {"!d/a:AA"}, Prefix: {"!d/a:AA"}, CutAnyByte: {"!d/a:AA"},
			ZeroedSize: {"!d/a:AA"}, RenameWithoutData: {"!d/a:AA"}, UnlinkWithoutRest: {"!d/a:AA"},
		},
	},
}

func TestCrashModes(t *testing.T) {
	for _, c := range crashes {
		c.images[GarbageSectors] = slices.Concat(c.images[RandomSectors], c.garbage)
		for _, mode := range Modes() {
			t.Run(fmt.Sprintf("%s/%v", c.name, mode), func(t *testing.T) {
				f := New()
				c.script(tester{t, f})
				seen := map[string]bool{}
				for seed := range uint64(400) {
					image := f.Clone(mode, seed)
					seen[image.show(t)] = true
					image.root.check(t)
				}
				compare(t, seen, c.images[mode])
				if after := f.Crash(mode, 7).show(t); !seen[after] {
					t.Errorf("Crash left %q, which no Clone did", after)
				}
			})
		}
	}
}

// compare checks what was seen against a list of what may be, and with "!" must be.
func compare(t *testing.T, seen map[string]bool, listed []string) {
	t.Helper()
	allowed := map[string]bool{}
	for _, image := range listed {
		must := strings.TrimPrefix(image, "!")
		allowed[must] = true
		if must != image && !seen[must] {
			t.Errorf("no seed left %q", must)
		}
	}
	for _, image := range slices.Sorted(maps.Keys(seen)) {
		if !allowed[image] {
			t.Errorf("a seed left %q, which must not happen", image)
		}
	}
}

// TestScatter: sectors of both sizes, long writes that survive whole or not at all, and some in pieces.
func TestScatter(t *testing.T) {
	const pages = 20
	x := tester{t, New()}
	h := x.synced("a", strings.Repeat("A", pages*8))
	x.write(h, strings.Repeat("B", pages*8), 0)
	var none, whole, large, small bool
	for seed := range uint64(400) {
		letters := strings.TrimPrefix(x.Clone(RandomSectors, seed).show(t), "a:")
		kept := strings.Count(letters, "B")
		mixed := 0 // pages of which some sectors survived
		for p := range slices.Chunk([]byte(letters), 8) {
			if n := strings.Count(string(p), "B"); n > 0 && n < 8 {
				mixed++
			}
		}
		none = none || kept == 0
		whole = whole || kept == pages*8
		large = large || kept > 0 && kept < pages*8 && mixed == 0
		small = small || mixed > 0
	}
	if !none || !whole || !large || !small {
		t.Errorf("of 400 seeds some lost everything: %v; kept everything: %v; kept some sectors of 4096: %v; of 512: %v; want all",
			none, whole, large, small)
	}
}

// TestGarbageBesideSynced: only GarbageWholeSectors ruins bytes that were synced before, and only within the sector.
func TestGarbageBesideSynced(t *testing.T) {
	x := tester{t, New()}
	h := x.synced("a", "AAAAAAAAA")
	_, err := h.WriteAt(sectors("B")[:100], 50)
	x.ok("write", err)
	for _, mode := range append(Modes(), GarbageWholeSectors) {
		ruined := false
		for seed := range uint64(200) {
			p, err := x.Clone(mode, seed).Contents("a")
			x.ok("contents", err)
			if string(p[:50])+string(p[150:8*sector]) != string(sectors("AAAAAAAA")[100:]) {
				ruined = true
			}
			if string(p[8*sector:]) != string(sectors("A")) {
				t.Fatalf("%v, seed %d: a sector that was not written to is ruined", mode, seed)
			}
		}
		if ruined != (mode == GarbageWholeSectors) {
			t.Errorf("%v: synced bytes ruined: got %v, want %v", mode, ruined, mode == GarbageWholeSectors)
		}
	}
}
