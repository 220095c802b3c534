package compress

import "sync"

// pool keeps encoders or decoders for later calls: as many as were in use at once, until the garbage collector takes those that were not used since
// its last cycle.
type pool[T any] struct {
	kept sync.Pool
	make func() T
}

func (p *pool[T]) take() T {
	if v, ok := p.kept.Get().(T); ok {
		return v
	}
	return p.make()
}

func (p *pool[T]) give(v T) { p.kept.Put(v) }
