package dedup

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// call is one call on a key: ticket 0 reserves, others end the reservation.
type call struct {
	key    int
	ticket uint64
	commit bool
}

// answer is what came back: the ticket of a reservation, and whether a commit counted.
type answer struct {
	state  State
	ticket uint64
	ended  bool
}

// keyState is all that a key is, as long as nothing is forgotten.
type keyState struct {
	holder uint64
	done   bool
}

// lineModel says what one key does when calls come one after the other.
func lineModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[int][]porcupine.Operation{}
			for _, op := range history {
				byKey[op.Input.(call).key] = append(byKey[op.Input.(call).key], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return keyState{} },
		Step: func(state, input, output any) (bool, any) {
			return stepKey(state.(keyState), input.(call), output.(answer))
		},
	}
}

func stepKey(s keyState, c call, a answer) (bool, any) {
	switch {
	case c.ticket == 0 && s.holder != 0:
		return a.state == InFlight, s
	case c.ticket == 0 && s.done:
		return a.state == Seen, s
	case c.ticket == 0:
		return a.state == New, keyState{holder: a.ticket}
	case c.ticket != s.holder:
		return !a.ended, s // it had ended
	case c.commit:
		return a.ended, keyState{done: true}
	}
	return true, keyState{}
}

// TestLinearizable has some goroutines reserve, commit, abort, and end what had ended, and looks for an order of all calls that explains every answer.
func TestLinearizable(t *testing.T) {
	const histories, workers, calls, keys = 150, 4, 60, 3
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ops := 0
	for h := range histories {
		f := newFilter(t, FilterOptions{})
		var mu sync.Mutex
		var history []porcupine.Operation
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				mine := record(f, rand.New(rand.NewPCG(seed, uint64(h*workers+w))), w, calls, keys)
				mu.Lock()
				defer mu.Unlock()
				history = append(history, mine...)
			})
		}
		all.Wait()
		ops += len(history)
		if result := porcupine.CheckOperationsTimeout(lineModel(), history, time.Minute); result != porcupine.Ok {
			t.Fatalf("history %d: %v", h, result)
		}
	}
	t.Logf("%d histories, %d calls", histories, ops)
}

// record makes random calls, keys beginning in flight, done and new as they come.
func record(f *Filter, rng *rand.Rand, worker, calls, keys int) []porcupine.Operation {
	var history []porcupine.Operation
	var mine []Reservation
	for range calls {
		op := porcupine.Operation{ClientId: worker}
		if len(mine) == 0 || rng.IntN(2) == 0 {
			k := rng.IntN(keys)
			op.Call = now()
			r, state := f.Reserve(key(k))
			op.Return, op.Input, op.Output = now(), call{key: k}, answer{state: state, ticket: r.ticket}
			if state.Reserved() {
				mine = append(mine, r)
			}
		} else {
			r := mine[rng.IntN(len(mine))]
			c := call{key: int(r.key[31]), ticket: r.ticket, commit: rng.IntN(8) == 0}
			op.Call = now()
			ended := false
			if c.commit {
				ended = r.Commit()
			} else {
				r.Abort()
			}
			op.Return, op.Input, op.Output = now(), c, answer{ended: ended}
		}
		history = append(history, op)
		runtime.Gosched()
	}
	return history
}

// now only grows: the clock of the wall may be set while histories are recorded.
func now() int64 { return int64(time.Since(time.Unix(0, 0))) }

// TestModelSeesWhatIsWrong holds the model itself: two holders at a time are not explained by any order.
func TestModelSeesWhatIsWrong(t *testing.T) {
	at := func(from, to int64, c call, a answer) porcupine.Operation {
		return porcupine.Operation{Call: from, Return: to, Input: c, Output: a}
	}
	wrong := map[string][]porcupine.Operation{
		"two holders":      {at(1, 4, call{}, answer{New, 1, false}), at(2, 5, call{}, answer{New, 2, false})},
		"lost commit":      {at(1, 2, call{}, answer{New, 1, false}), at(3, 4, call{ticket: 1, commit: true}, answer{ended: true}), at(5, 6, call{}, answer{New, 2, false})},
		"seen, not done":   {at(1, 2, call{}, answer{Seen, 0, false})},
		"a stale commit":   {at(1, 2, call{}, answer{New, 1, false}), at(3, 4, call{ticket: 1}, answer{}), at(5, 6, call{ticket: 1, commit: true}, answer{ended: true})},
		"aborted but kept": {at(1, 2, call{}, answer{New, 1, false}), at(3, 4, call{ticket: 1}, answer{}), at(5, 6, call{}, answer{InFlight, 0, false})},
	}
	for name, history := range wrong {
		if porcupine.CheckOperations(lineModel(), history) {
			t.Errorf("%s is taken for right", name)
		}
	}
}
