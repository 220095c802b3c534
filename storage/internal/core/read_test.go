package core

import (
	"context"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// memory is a backend that commits at once.
type memory struct{ core *Core }

func (m *memory) Room(context.Context, *Entry) error { return nil }
func (m *memory) Wait(context.Context, *Entry) error { return nil }
func (m *memory) Unroom(*Entry)                      {}
func (m *memory) Trimmed(*Partition)                 {}
func (m *memory) Stage(e *Entry) (bool, error) {
	pool := NewPool(1 << 20)
	m.core.CommitInPlace(e, func(*Partition, int) *Block { return pool.Get(1 << 10) })
	return true, nil
}

// growing is an Older whose segment is empty when it is read, and has a frame when the read has returned.
type growing struct{ base, next int64 }

func (g *growing) Next() int64                         { return g.next }
func (g *growing) OffsetAt(int64) (int64, bool, error) { return 0, false, nil }
func (g *growing) Ordinal(int64) int64                 { return 0 }
func (g *growing) ReadInto(*[]byte, int64, int) ([]byte, error) {
	g.next = g.base + 1
	return nil, nil
}

// A read that comes to a gap while the records behind it are being spilled does not pass over them.
func TestReadAcrossAGapDuringASpill(t *testing.T) {
	m := &memory{}
	m.core = New(m)
	m.core.SetSeed(frame.Seed(1))
	topic, err := m.core.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	const base = 1 << 24
	p := m.core.Catalog.Partition(topic.First)
	p.Raise(base)
	e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: []byte("v")}}}}}
	if _, err := m.core.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	p.SetOlder(&growing{base: base, next: base})
	rs, next, err := m.core.Read(nil, topic.First, 0, 1<<10)
	if err != nil || len(rs) != 1 || next != base+1 {
		t.Errorf("read %d records, next %d, %v; want the one at %d", len(rs), next, err, base)
	}
}
