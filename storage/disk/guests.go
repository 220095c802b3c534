package disk

import (
	"context"
	"sync"

	"github.com/leatmq/leat/storage"
)

// guests are the long calls that use the store's files from outside its own goroutines. Close sends them home before it gives up the files.
type guests struct {
	mu   sync.Mutex
	home chan struct{}  // closed when no more may come; made by the first enter
	gone bool           // guarded by mu
	in   sync.WaitGroup // Add only with mu held and gone false
}

// enter returns a context that ends with the store, too. done is to be called at the end.
func (g *guests) enter(ctx context.Context) (_ context.Context, done func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return nil, nil, storage.ErrClosed
	}
	if g.home == nil {
		g.home = make(chan struct{})
	}
	g.in.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	home, left := g.home, make(chan struct{})
	go func() {
		select {
		case <-home:
			cancel()
		case <-left:
		}
	}()
	return ctx, func() {
		close(left)
		cancel()
		g.in.Done()
	}, nil
}

func (g *guests) closing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone
}

// leave ends all calls, and returns when they have ended.
func (g *guests) leave() {
	g.mu.Lock()
	g.gone = true
	if g.home != nil {
		close(g.home)
	}
	g.mu.Unlock()
	g.in.Wait()
}
