package dedup

import (
	"math/rand/v2"
	"testing"
)

// TestFlights does to a table what it does to a map, at hashes of which many are the same, and at all loads.
func TestFlights(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for run := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, run))
		keys, hashes := 1+rng.IntN(300), uint32(1+rng.IntN(300))
		table, model := flights{}, map[Key]uint64{}
		for ticket := uint64(1); ticket < 2000; ticket++ {
			n := rng.IntN(keys)
			k := spread(n)
			hash := uint32(n) % hashes * 0x9e3779b1
			have, there := model[k]
			if table.has(&k, hash) != there {
				t.Fatalf("seed %d, run %d: key %d is there: %v", seed, run, n, !there)
			}
			switch rng.IntN(3) {
			case 0:
				if table.take(&k, hash, ticket) == there {
					t.Fatalf("seed %d, run %d: key %d was taken: %v", seed, run, n, there)
				}
				if !there {
					model[k] = ticket
				}
			case 1:
				if there && !table.end(&k, hash, have) {
					t.Fatalf("seed %d, run %d: key %d did not end", seed, run, n)
				}
				delete(model, k)
			default:
				if table.end(&k, hash, ticket) {
					t.Fatalf("seed %d, run %d: another's ticket ended key %d", seed, run, n)
				}
			}
			if table.count != len(model) {
				t.Fatalf("seed %d, run %d: %d are counted of %d", seed, run, table.count, len(model))
			}
		}
	}
}
