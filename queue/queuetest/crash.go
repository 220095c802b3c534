package queuetest

import (
	"context"
	"errors"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// Durable returns a broker with the topics, each of one partition and Synced, on a disk that is in memory and can lose power: see Crash. It is as that of Broker otherwise, and slower.
func Durable(t testing.TB, topics ...string) *queue.Broker {
	t.Helper()
	return ensured(t, onDisk(t, disktest.New()), topics)
}

// onDisk opens the queue on a disk: with small files, which are made quickly, and with no work from time to time.
func onDisk(t testing.TB, d *disktest.Disk) *queue.Broker {
	t.Helper()
	return watched(t, func() *queue.Broker {
		s, err := d.Open(disk.Options{MemoryBytes: 16 << 20, Tuning: disk.Tuning{
			SlotBytes: 256 << 10, Slots: 2, JournalBytes: 1 << 20, SegmentBytes: 1 << 20, CheckpointEvery: -1, CleanEvery: -1, RewriteEvery: -1,
		}})
		if err != nil {
			t.Fatal("opening the disk: ", err)
		}
		b, err := embedded.OpenOn(s, embedded.Options{})
		if err != nil {
			t.Fatal("opening a broker: ", err)
		}
		return b
	})
}

// errPowerLost is what the disk says when its power is gone, and so what whoever is cut off gets at last.
var errPowerLost = errors.New("queuetest: the power went away")

// Crash takes the power away from b, a broker of Durable or Crash, and returns what comes up again: with all that was durable when Crash was called, such as messages
// of which there was a receipt, and nothing else that no sync had covered. Of what was on its way then, nobody knows. b is closed: handlers have their contexts ended and a second to return, and what they do
// counts no more; what waits fails, and a Consume in the background ends without failing t. So t consumes again, from the broker that is returned.
//
// A broker of Broker keeps nothing: what comes up is empty.
func Crash(t testing.TB, b *queue.Broker) *queue.Broker {
	t.Helper()
	d := diskOf(t, b)
	if d != nil {
		d.Hook(func(disktest.Op) error { return errPowerLost })
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	var stuck *queue.StuckError
	if err := b.Shutdown(now); errors.As(err, &stuck) || err != nil && !cutOff(err) {
		t.Errorf("taking the power away: %v", err)
	}
	if d == nil {
		return Broker(t)
	}
	return onDisk(t, d.PowerLost(0, 0)) // nothing but what was synced
}

// diskOf returns what b stands on, nil for memory.
func diskOf(t testing.TB, b *queue.Broker) *disktest.Disk {
	t.Helper()
	e, ok := b.Engine().(interface{ Store() storage.Store })
	if !ok {
		t.Fatal("Crash is for brokers of Broker, Durable and Crash")
	}
	s, ok := e.Store().(*disk.Store)
	if !ok {
		return nil
	}
	d, ok := disktest.Of(s)
	if !ok {
		t.Fatal("Crash is not for a broker over a directory: it would lose nothing")
	}
	return d
}

// cutOff tells whether err comes of Crash.
func cutOff(err error) bool { return errors.Is(err, errPowerLost) }
