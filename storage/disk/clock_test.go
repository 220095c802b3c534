package disk

import (
	"fmt"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// A store whose records were stamped by a clock ten years ahead says so when it is opened, and knows its lead again after a restart (G31).
func TestClockAheadAtOpen(t *testing.T) {
	fs := memfs.New()
	var told []storage.Event
	open := func() *Store {
		st, err := OpenFS(fs, Options{MemoryBytes: 8 << 20, Events: func(e storage.Event) { told = append(told, e) }})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	const ahead = int64(10 * 365 * 24 * time.Hour)
	st := open()
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	st.core.Clock.Turn(func() (int64, int64) { return time.Now().UnixNano() + ahead, time.Now().UnixNano() })
	entry := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: []byte("v")}}}}}
	if _, err := st.Append(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	stamp := entry.Batches[0].Records[0].Appended
	for range 2 {
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		st = open()
		if lead := st.core.Clock.Lead(); lead < ahead-int64(time.Hour) || lead > ahead {
			t.Errorf("the lead is %v", time.Duration(lead))
		}
	}
	if age := st.core.Clock.Age(stamp.UnixNano()); age < 0 || age > time.Minute {
		t.Errorf("what was just appended is %v old", age)
	}
	if _, err := st.Append(t.Context(), entry); err != nil || entry.Batches[0].Records[0].Appended.Before(stamp) {
		t.Errorf("appended at %v after %v, %v", entry.Batches[0].Records[0].Appended, stamp, err)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || told[0].Kind != storage.EventClock {
		t.Error(fmt.Sprint("told ", told))
	}
}
