package disk_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
)

// site is where a script of the loop fails that its strides may pass over: every operation of these kinds on files whose names begin so.
type site struct {
	script string
	seed   uint64
	side   int
	kinds  string // of vfs, apart by spaces
	prefix string
	err    error // nil: EIO
	always bool
	ends   bool // the context ends then
	stride int  // so many times fewer are tried; 0: all are
	most   int  // so many are tried; 0: all are
	luck   bool // whether the script comes there depends on how goroutines take turns
}

var faultSites = []site{
	{script: "salvaging again", kinds: "open size read", prefix: "journal"},
	{script: "salvaging again", kinds: "open size read", prefix: "aside"},
	{script: "salvaging again", kinds: "open", prefix: "checkpoint"},
	{script: "rebuilding", kinds: "open size", prefix: "seg/"},
	{script: "rebuilding", kinds: "open read", prefix: "checkpoint"},
	{script: "verifying", kinds: "open read", prefix: "journal", ends: true},
	{script: "verifying", kinds: "read", prefix: "journal"},
	{script: "restoring", side: 1, kinds: "syncdir", prefix: "journal"},
	{script: "following what is damaged", side: 1, kinds: "write", prefix: "seg/"},
	{script: "mending", kinds: "link", prefix: "seg/"},
	{script: "mending", kinds: "link create", always: true},
	{script: "mending holes", side: 1, kinds: "read", prefix: "journal"},
	{script: "foreign files", kinds: "open read close rename", prefix: "checkpoint"},
	{script: "foreign files", seed: 1, kinds: "open read close rename", prefix: "checkpoint"},
	{script: "foreign files", seed: 1, kinds: "read", prefix: "journal"},
	{script: "mending what is half mended", kinds: "open", prefix: "seg/", err: syscall.EACCES},
	{script: "mending what is half mended", kinds: "write", prefix: "journal"},
	{script: "opening what has no room", kinds: "create allocate", prefix: "journal", err: syscall.ENOSPC},
	{script: "opening what has no room", kinds: "create allocate", prefix: "journal"},
	{script: "rebuilding", side: 1, kinds: "syncdir", prefix: "."},
	{script: "salvaging what lost an epoch", kinds: "read", prefix: "journal"},
	{script: "reading a broken header", kinds: "read", prefix: "seg/", err: syscall.EACCES},
	{script: "opening what is long", kinds: "read", prefix: "journal"},
	{script: "salvaging what is long", kinds: "read", prefix: "journal"},
	{script: "verifying what is long", kinds: "open read", prefix: "journal", err: syscall.EACCES},
	{script: "opening what has lost bodies", kinds: "open read", prefix: "seg/", err: syscall.EMFILE, stride: 2},
	{script: "opening with leftovers", kinds: "remove", prefix: "seg/"},
	{script: "opening with leftovers", kinds: "remove", prefix: "seg/", always: true},
	{script: "opening with leftovers", seed: 1, kinds: "remove", prefix: "seg/", always: true},
	{script: "opening many frames", kinds: "create", prefix: "seg/", most: 2},
	{script: "opening what is forged at the end", kinds: "open", prefix: "journal", most: 3},
	{script: "opening what is in memory for long", kinds: "create write", prefix: "seg/00000000/"},
	{script: "rebuilding what is long", side: 1, kinds: "read", prefix: "journal", most: 14},
	{script: "salvaging what is headless", kinds: "read close", prefix: "journal"},
	{script: "salvaging what is headless", seed: 1, kinds: "read close", prefix: "journal"},
	{script: "salvaging what is empty", kinds: "read", prefix: "journal"},
	{script: "salvaging what is torn", kinds: "read", prefix: "journal"},
	{script: "salvaging what is torn", kinds: "create write", prefix: "seg/"},
	{script: "salvaging what was spilled", seed: 1, kinds: "open read create write", prefix: "seg/", err: syscall.EACCES, stride: 2},
	{script: "salvaging what was spilled", seed: 1, kinds: "create", prefix: "seg/"},
	{script: "rebuilding what is bitten", side: 1, kinds: "write create", prefix: "seg/", stride: 2},
	{script: "salvaging again", kinds: "list", prefix: "aside"},
	{script: "mending", kinds: "mkdir", prefix: "aside"},
	{script: "opening what is long without notes", kinds: "read", prefix: "journal"},
	{script: "opening what lost its checkpoints", kinds: "list open read", prefix: "journal"},
	{script: "rebuilding what is long", kinds: "list open close", prefix: "journal"},
	{script: "restoring", kinds: "list", prefix: "journal"},
	{script: "mending from what is unfit", seed: 1, side: 1, kinds: "read", prefix: "seg/", err: syscall.EACCES, luck: true},
	{script: "mending from what is unfit", seed: 2, side: 1, kinds: "read", prefix: "seg/", err: syscall.EACCES, luck: true},
	{script: "compacting", kinds: "write", prefix: "checkpoint"},
	{script: "compacting", kinds: "read", prefix: "seg/", ends: true},
	{script: "rewriting", kinds: "write", prefix: "checkpoint", always: true},
	{script: "verifying what is long and ruined", kinds: "read", prefix: "journal"},
	{script: "resuming", kinds: "read", prefix: "journal"},
	{script: "forged frames", seed: 10, kinds: "read", prefix: "journal", most: 2},
	{script: "forged frames", seed: 11, kinds: "read", prefix: "journal", most: 2},
	{script: "forged frames", seed: 12, kinds: "read", prefix: "journal", most: 2},
	{script: "forged frames", seed: 13, kinds: "read", prefix: "journal", most: 2},
}

// siteScripts fail at sites only.
var siteScripts = []faultScript{
	{name: "opening what is long", start: startLong, play: playOpening, whole: opensWhole},
	{name: "opening what is long without notes", start: startLong, play: playOpeningWithoutNotes, whole: opensWhole},
	{name: "opening what lost its checkpoints", start: startUsed, play: playOpeningUsed, whole: isUsed},
	{name: "salvaging what is long", start: startLongRuined, play: playSalvaging, whole: salvagesTheSame},
	{name: "verifying what is long", play: playVerifyingLong, whole: opensWhole},
	{name: "verifying what is long and ruined", play: playVerifyingRuined, whole: opensOrIsRefused},
	{name: "opening with leftovers", start: startLeftovers, play: playReclaiming, whole: opensWhole},
	{name: "opening many frames", start: startManyFrames, play: playOpening, whole: opens},
	{name: "opening what is forged at the end", start: startForgedLast, play: playForged, whole: isSalvagedOrNewer},
	{name: "opening what is in memory for long", start: startKeptLong, play: playOpening, whole: opens},
	{name: "rebuilding what is long", sides: 2, start: startLongBare, play: playRebuilding, whole: rebuildsTheSame},
	{name: "mending what is half mended", sides: 2, start: startHalfMended, play: playMendingHoles, whole: mendsAgain},
	{name: "opening what has no room", start: startOneFile, play: playOpening, whole: opensWhole},
	{name: "reading a broken header", start: startBrokenHeader, play: playVerifyingBroken, whole: opens},
	{name: "salvaging what is headless", start: startHeadless, play: playSalvaging, whole: salvagesTheSame},
	{name: "salvaging what lost an epoch", start: startEpochLost, play: playSalvaging, whole: salvagesTheSame},
	{name: "salvaging what is empty", start: startEmptied, play: playSalvaging, whole: salvagesTheSame},
	{name: "salvaging what is torn", start: startTorn, play: playSalvaging, whole: salvagesTheSame},
	{name: "salvaging what was spilled", start: startSpilled, play: playSalvaging, whole: salvagesTheSame},
	{name: "rebuilding what is bitten", sides: 2, start: startBitten, play: playRebuilding, whole: rebuildsTheSame},
	{name: "opening what has lost bodies", start: startLostBodies, play: playOpening, whole: opens},
}

// TestFaultSites has scripts of the loop fail at operations that are few, each of them in turn.
func TestFaultSites(t *testing.T) {
	f := &faults{tally: newTally()}
	t.Run("sites", func(t *testing.T) {
		for _, s := range faultSites {
			script := scriptNamed(t, s.script)
			name := strings.ReplaceAll(fmt.Sprintf("%s %d side %d %s %s", s.script, s.seed, s.side, s.kinds, s.prefix), "/", "")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f.everyOne(t, &s, script)
			})
		}
	})
	f.end(t, "fault sites", fmt.Sprintf("%d runs at %d sites, %d faults injected", f.get("runs"), len(faultSites), f.get("injected")), "runs", "injected")
}

func (f *faults) everyOne(t *testing.T, s *site, script *faultScript) {
	start := script.begin(t, s.seed)
	how := failure{name: s.kinds, ends: s.ends, fault: errfs.Fault{Kinds: kindsNamed(t, s.kinds), Prefix: s.prefix, Err: s.err, Always: s.always}}
	if s.err == nil && !s.ends {
		how.fault.Err = syscall.EIO
	}
	for k := 1; !f.failed() && (s.most == 0 || k <= s.most); k += sized(t, 12, 1, 1) * max(1, s.stride) {
		one := faultRun{t: t, faults: f, script: script, start: start, how: how, seed: s.seed, side: s.side, k: k}
		one.where = fmt.Sprintf("%s, %s of %q, seed %d, side %d, k %d", s.script, s.kinds, s.prefix, s.seed, s.side, k)
		if !one.run() {
			if k == 1 && !s.luck {
				f.wrong("%s: there is none", one.where)
			}
			return
		}
	}
}

func scriptNamed(t *testing.T, name string) *faultScript {
	t.Helper()
	for _, all := range [][]faultScript{faultScripts, siteScripts} {
		for i := range all {
			if all[i].name == name {
				return &all[i]
			}
		}
	}
	t.Fatalf("no script %q", name)
	return nil
}

func kindsNamed(t *testing.T, names string) (kinds []vfs.Kind) {
	t.Helper()
	for _, name := range strings.Fields(names) {
		found := false
		for k := vfs.OpOpen; k <= vfs.OpSyncData; k++ {
			if k.String() == name {
				kinds, found = append(kinds, k), true
			}
		}
		if !found {
			t.Fatalf("no operation is called %q", name)
		}
	}
	return kinds
}
