package embedded

import (
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestOptionsOfADirectory: what is said once counts, and what is said of the directory alone counts more.
func TestOptionsOfADirectory(t *testing.T) {
	told := 0
	o := Options{MemoryBytes: 10, StorageEvents: func(storage.Event) { told++ }, Disk: disk.Options{ScrubEvery: time.Hour}}
	d := o.disk()
	d.Events(storage.Event{})
	if d.MemoryBytes != 10 || told != 1 || d.ScrubEvery != time.Hour {
		t.Errorf("%+v, told %d times", d, told)
	}
	o.Disk.MemoryBytes, o.Disk.Events = 20, func(storage.Event) { told += 10 }
	d = o.disk()
	d.Events(storage.Event{})
	if d.MemoryBytes != 20 || told != 11 {
		t.Errorf("%+v, told %d times", d, told)
	}
}
