package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// TestRefusedOptions: each names the field, and is refused before a directory is made.
func TestRefusedOptions(t *testing.T) {
	refused := map[string]func(o *disk.Options){
		"Options.MemoryBytes":          func(o *disk.Options) { o.MemoryBytes = 1 << 20 },
		"Options.ScrubEvery":           func(o *disk.Options) { o.ScrubEvery = -1 },
		"Options.ScrubBytesPerSecond":  func(o *disk.Options) { o.ScrubBytesPerSecond = -1 },
		"Options.StallAfter":           func(o *disk.Options) { o.StallAfter = -1 },
		"Tuning.SlotBytes":             func(o *disk.Options) { o.Tuning.SlotBytes = 64<<10 + 1 },
		"Tuning.Slots":                 func(o *disk.Options) { o.Tuning.Slots = 1 },
		"Tuning.JournalBytes":          func(o *disk.Options) { o.Tuning.JournalBytes = 1 << 20 },
		"Tuning.SegmentBytes":          func(o *disk.Options) { o.Tuning.SegmentBytes = 1 },
		"Tuning.OpenFiles":             func(o *disk.Options) { o.Tuning.OpenFiles = -1 },
		"Tuning.RoomEvery":             func(o *disk.Options) { o.Tuning.RoomEvery = 1 },
		"Tuning.RewriteBytesPerSecond": func(o *disk.Options) { o.Tuning.RewriteBytesPerSecond = -1 },
		"Tuning.CompactBytes":          func(o *disk.Options) { o.Tuning.CompactBytes = 1 },
		"Tuning.SpillBytes":            func(o *disk.Options) { o.Tuning.SpillBytes = 1 << 40 },
	}
	for field, change := range refused {
		var o disk.Options
		change(&o)
		dir := filepath.Join(t.TempDir(), "store")
		_, err := disk.Open(dir, o)
		var limit *storage.LimitError
		if !errors.As(err, &limit) || !strings.Contains(limit.What, field) {
			t.Errorf("%s: got %v, want it to be refused", field, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory was made: %v", field, err)
		}
	}
}
