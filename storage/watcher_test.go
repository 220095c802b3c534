package storage_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/leatmq/leat/storage"
)

func TestWatcherListsEachOnce(t *testing.T) {
	w := storage.NewWatcher()
	select {
	case <-w.C():
		t.Fatal("a notice before any")
	default:
	}
	for _, p := range []storage.PartitionID{3, 1, 3, 3, 2, 1} {
		w.Notify(p)
	}
	<-w.C()
	if got := w.Take([]storage.PartitionID{9}); !slices.Equal(got, []storage.PartitionID{9, 3, 1, 2}) {
		t.Errorf("got %v, want what was there and each partition once", got)
	}
	if got := w.Take(nil); len(got) > 0 {
		t.Errorf("taken again: %v", got)
	}
	w.Notify(3)
	<-w.C()
	if got := w.Take(nil); !slices.Equal(got, []storage.PartitionID{3}) {
		t.Errorf("notified again after it was taken: got %v", got)
	}
}

// However notices and takes fall together, each notice is followed by a Take that returns its partition, or the taker would wait for
// ever, which ends the bubble.
func TestWatcherLosesNoNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, rounds = 8, 500
		w := storage.NewWatcher()
		var seen [partitions]chan struct{}
		for p := range seen {
			seen[p] = make(chan struct{})
		}
		stop := make(chan struct{})
		var takers, notifiers sync.WaitGroup
		takers.Go(func() {
			var ready []storage.PartitionID
			for {
				select {
				case <-stop:
					return
				case <-w.C():
				}
				ready = w.Take(ready[:0])
				for _, p := range ready {
					seen[p] <- struct{}{}
				}
			}
		})
		for p := range seen {
			notifiers.Go(func() {
				for range rounds {
					w.Notify(storage.PartitionID(p))
					<-seen[p]
				}
			})
		}
		notifiers.Wait()
		close(stop)
		takers.Wait()
	})
}
