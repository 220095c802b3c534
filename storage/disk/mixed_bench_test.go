package disk_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// BenchmarkMixed has three topics in one store: one under SyncAlways with one appender of single records, one under SyncOS written in bulk, and one in memory only.
// Each is run alone first, then all together; the ratios are of together to alone.
func BenchmarkMixed(b *testing.B) {
	const window = time.Second
	for b.Loop() {
		b.StopTimer()
		st, err := disk.Open(b.TempDir(), disk.Options{})
		if err != nil {
			b.Fatal(err)
		}
		loads := []*load{
			newLoad(b, st, "always", storage.Strategy{}, 1),
			newLoad(b, st, "os", storage.Strategy{Sync: storage.SyncOS}, 100),
			newLoad(b, st, "memory", storage.Strategy{Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{WhenFull: storage.DropOldest}}, 1),
		}
		b.StartTimer()
		for _, l := range loads {
			l.alone = runLoads(b, st, window, l)[0]
		}
		together := runLoads(b, st, window, loads...)
		b.StopTimer()
		for i, l := range loads {
			b.ReportMetric(together[i].rate/l.alone.rate, l.name+"-rate")
			b.ReportMetric(l.alone.rate, l.name+"-alone-msg/s")
		}
		b.ReportMetric(float64(together[0].p50)/float64(loads[0].alone.p50), "always-p50")
		b.ReportMetric(float64(together[0].p99)/float64(loads[0].alone.p99), "always-p99")
		b.ReportMetric(float64(loads[0].alone.p50)/1e3, "always-alone-p50-us")
		if err := st.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

type load struct {
	name  string
	entry *storage.Entry
	alone figures
}

type figures struct {
	rate     float64
	p50, p99 time.Duration
}

func newLoad(b *testing.B, st *disk.Store, name string, s storage.Strategy, records int) *load {
	b.Helper()
	t, err := st.CreateTopic(b.Context(), storage.TopicSpec{Name: name, Partitions: 1, Strategy: s})
	if err != nil {
		b.Fatal(err)
	}
	return &load{name: name, entry: benchEntry(t.First, records)}
}

// runLoads runs loads at the same time.
func runLoads(b *testing.B, st *disk.Store, window time.Duration, loads ...*load) []figures {
	b.Helper()
	fs := make([]figures, len(loads))
	var all sync.WaitGroup
	for i, l := range loads {
		all.Go(func() {
			var took []time.Duration
			began := time.Now()
			for at := began; at.Sub(began) < window; {
				if _, err := st.Append(context.Background(), l.entry); err != nil {
					b.Error(err)
					return
				}
				now := time.Now()
				took = append(took, now.Sub(at))
				at = now
			}
			records := len(took) * len(l.entry.Batches[0].Records)
			slices.Sort(took)
			fs[i] = figures{float64(records) / time.Since(began).Seconds(), took[len(took)/2], took[len(took)*99/100]}
		})
	}
	all.Wait()
	return fs
}
