package disk_test

import (
	"bytes"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// squeezed makes a store with compressed segments of each codec, with compacted ones, and with ones that are both; end is called with it open.
func squeezed(t *testing.T, end func(st *disk.Store)) *memfs.FS {
	t.Helper()
	im := memfs.New()
	var topics []storage.Topic
	write := func(st *disk.Store, n, size int) {
		t.Helper()
		for i := range n {
			for _, topic := range topics {
				e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{
					{Key: []byte{'k', byte(i % 4)}, Value: bytes.Repeat([]byte{byte(i + 1)}, size)}, {Headers: storage.AppendHeader(nil, "h", []byte{byte(i)})},
				}}}}
				if _, err := st.Append(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	st := right(disk.OpenFS(im, quiet()))
	reopen := func() {
		t.Helper()
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		st = right(disk.OpenFS(im, quiet()))
	}
	for codec := compress.ID(0); codec <= compress.IDZstd; codec++ {
		s := storage.Strategy{Level: storage.Compressed, Compression: storage.CompressionPolicy{Codec: codec, BlockBytes: 24 << 10}}
		if codec == 0 {
			s = storage.Strategy{Level: storage.DiskOnly}
		}
		s.Cleanup.LatestByKey = codec == 0 || codec == compress.IDZstd
		topics = append(topics, right(st.CreateTopic(t.Context(), storage.TopicSpec{Name: codec.String(), Partitions: 1, Strategy: s})))
	}
	write(st, 5, 14_000) // more than fits a segment
	reopen()
	write(st, 7, 50) // so that what is full is sealed
	reopen()
	if err := st.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := st.Stats().Work; w["rewrite"].Runs < 3 || w["compact"].Runs < 2 {
		t.Fatalf("rewritten: %+v", w)
	}
	if end != nil {
		end(st)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return im
}

func goldenRewritten(t *testing.T) *memfs.FS { return squeezed(t, nil) }

// goldenSnapshot is a copy that was not opened yet.
func goldenSnapshot(t *testing.T) *memfs.FS {
	copied := memfs.New()
	squeezed(t, func(st *disk.Store) {
		if _, err := st.SnapshotFS(t.Context(), copied, disk.SnapshotOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	return copied
}
