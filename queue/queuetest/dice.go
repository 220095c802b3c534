package queuetest

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// dice is a source of chance that several goroutines may use.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// dice returns one whose seed is told.
func (s *stage) dice() *dice {
	seed := rand.Uint64()
	s.Logf("seed %d", seed)
	return diceOf(seed)
}

func diceOf(seed uint64) *dice { return &dice{rng: rand.New(rand.NewPCG(seed, 0))} }

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

// dawdle takes a little while.
func (s *stage) dawdle(chance *dice) {
	n := chance.n(5)
	if s.harness.Bubble {
		time.Sleep(time.Duration(n) * time.Millisecond)
		return
	}
	for range n {
		runtime.Gosched()
	}
}
