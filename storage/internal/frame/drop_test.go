package frame_test

import (
	"math"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

func TestDropBodies(t *testing.T) {
	for _, id := range []uint32{0, 1, 127, 128, math.MaxUint32} {
		if got, err := frame.DecodeDrop(frame.AppendDrop(nil, storage.PartitionID(id))); err != nil || got != storage.PartitionID(id) {
			t.Errorf("topic of partition %d: got %d, %v", id, got, err)
		}
		if got, err := frame.DecodeGroupDrop(frame.AppendGroupDrop(nil, storage.GroupID(id))); err != nil || got != storage.GroupID(id) {
			t.Errorf("group %d: got %d, %v", id, got, err)
		}
	}
	tests := map[string]error{
		"": frame.ErrField, "\x01": frame.ErrField, "\x00\x05": frame.ErrField, "\x02\x05": frame.ErrVersion, "\x02": frame.ErrVersion,
		"\x01\x05\x00": frame.ErrField, "\x01\x80\x80\x80\x80\x10": frame.ErrField, "\x01\xff\xff\xff\xff\x0f": nil,
	}
	for body, want := range tests {
		if _, err := frame.DecodeDrop([]byte(body)); err != want {
			t.Errorf("%x: got %v, want %v", body, err, want)
		}
	}
}
