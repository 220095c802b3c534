package embedded

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage/disk/disktest"
)

// What tests of crashes have in common: a script runs on a disk, of which images are taken at some of the operations that change it, and each image is opened and judged by what was known before it was taken.

// crash is a disk as a crash left it.
type crash struct {
	disk   *disktest.Disk
	at     time.Time
	killed bool // else the power was lost
	where  string
}

// photograph takes an image of d at one of so many operations that change it, most at most, killed or with its power lost. Before each know is called, which returns what takes the image, together with what it knew: what happens meanwhile
// may be in the image or not. None of it runs twice at a time, and the returned function ends it.
func photograph(d *disktest.Disk, rng *rand.Rand, oneOf, most int, know func() func(crash)) (stop func()) {
	var mu sync.Mutex
	taken := 0
	dice := rand.New(rand.NewPCG(rng.Uint64(), 1))
	d.Hook(func(op disktest.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if !op.Changes || dice.IntN(oneOf) > 0 || taken >= most {
			return nil
		}
		taken++
		keep, c := know(), crash{at: time.Now()}
		if mode, seed := dice.IntN(disktest.Modes()+1), dice.Uint64(); mode == disktest.Modes() {
			c.disk, c.killed, c.where = d.Killed(), true, "killed at "+op.Name
		} else {
			c.disk, c.where = d.PowerLost(mode, seed), fmt.Sprintf("power lost in mode %d (seed %d) at %s", mode, seed, op.Name)
		}
		keep(c)
		return nil
	})
	return func() { d.Hook(nil) }
}

// aftermath judges what one crash left.
type aftermath struct {
	where string
	check func(t *testing.T)
}

// throughCrashes has one life after the other, each in a bubble, until there were so many crashes, and tested says that they tested something, and has what they left judged, each in a bubble of its own. It returns how many
// there were.
func throughCrashes(t *testing.T, target int, tested func() bool, life func(t *testing.T, rng *rand.Rand) []aftermath) (points int) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := uint64(0); (points < target || !tested() && points < 20*target) && !t.Failed(); round++ {
		var left []aftermath
		synctest.Test(t, func(t *testing.T) { left = life(t, rand.New(rand.NewPCG(seed, round))) })
		for i := range left {
			synctest.Test(t, func(t *testing.T) {
				if left[i].check(t); t.Failed() {
					t.Logf("seed %d, round %d, image %d, %s", seed, round, i, left[i].where)
				}
			})
			points++
		}
	}
	if !tested() && !t.Failed() {
		t.Error("nothing was tested")
	}
	return points
}
