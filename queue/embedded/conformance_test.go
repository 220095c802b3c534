package embedded_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/queue/queuetest"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/disk/disktest"
)

func TestConformanceInMemory(t *testing.T) {
	queuetest.TestEngine(t, queuetest.Harness{
		Bubble: true,
		Alter:  alterTopic,
		Open: func(t testing.TB, o queue.Options) *queue.Broker {
			b, err := embedded.InMemory(embedded.Options{Broker: o})
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	})
}

func TestConformanceOnDisk(t *testing.T) {
	var dirs sync.Map // from a broker to its directory
	open := func(t testing.TB, dir string, o queue.Options) *queue.Broker {
		b, err := embedded.Open(dir, embedded.Options{Broker: o})
		if err != nil {
			t.Fatal(err)
		}
		dirs.Store(b, dir)
		return b
	}
	queuetest.TestEngine(t, queuetest.Harness{
		Alter: alterTopic,
		Open:  func(t testing.TB, o queue.Options) *queue.Broker { return open(t, t.TempDir(), o) },
		Restart: func(t testing.TB, b *queue.Broker, o queue.Options) *queue.Broker {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			dir, _ := dirs.Load(b)
			return open(t, dir.(string), o)
		},
		Crash: func(t testing.TB, o queue.Options) (*queue.Broker, func() *queue.Broker) {
			p := &perishable{t: t, o: o, disk: disktest.New()}
			return p.open(), p.crash
		},
	})
}

func alterTopic(t testing.TB, b *queue.Broker, topic string, c queue.TopicConfig) {
	if err := embedded.From(b).AlterTopic(t.Context(), topic, c, storage.Strategy{}); err != nil {
		t.Fatal(err)
	}
}

// perishable is a queue on a disk in memory, of which the power can be cut.
type perishable struct {
	t      testing.TB
	o      queue.Options
	disk   *disktest.Disk
	broker *queue.Broker
	lives  int
}

func (p *perishable) open() *queue.Broker {
	s, err := p.disk.Open(disk.Options{MemoryBytes: 8 << 20, Tuning: disk.Tuning{SlotBytes: 64 << 10, Slots: 2, JournalBytes: 256 << 10, SegmentBytes: 64 << 10}})
	if err != nil {
		p.t.Fatal(err)
	}
	if p.broker, err = embedded.OpenOn(s, embedded.Options{Broker: p.o}); err != nil {
		p.t.Fatal(err)
	}
	b := p.broker
	p.t.Cleanup(func() { b.Close() }) // what crashed says so
	return b
}

// crash has the disk fail from now on, in each life in another of its ways.
func (p *perishable) crash() *queue.Broker {
	p.disk.Hook(func(disktest.Op) error { return errors.New("the power went away") })
	now, cancel := context.WithCancel(context.Background())
	cancel()
	p.broker.Shutdown(now)
	p.lives++
	p.disk = p.disk.PowerLost(p.lives%disktest.Modes(), uint64(p.lives))
	return p.open()
}
