package main

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// flat is by how much memory may grow: a small part of the file.
const flat = 32 << 20

// watch looks at the memory of the process from now on, and returns a function that ends it and says by how much it grew at most.
func watch() (peak func() uint64) {
	runtime.GC()
	began := inUse()
	most := began
	end := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		t := time.NewTicker(5 * time.Millisecond)
		defer t.Stop()
		for {
			most = max(most, inUse())
			select {
			case <-t.C:
			case <-end:
				return
			}
		}
	})
	return func() uint64 {
		close(end)
		watching.Wait()
		return most - began
	}
}

// inUse is what objects and stacks take, garbage that is not collected yet included.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}
