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
	m.core.CommitInPlace(e, func(*Partition, *Block, int) *Block { return pool.Get(1 << 10) })
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

// behindGap makes a partition with one record in memory, behind a gap.
func behindGap(t *testing.T, older Older) (*Core, storage.PartitionID) {
	m := &memory{}
	m.core = New(m)
	m.core.SetSeed(frame.Seed(1))
	topic, err := m.core.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := m.core.Catalog.Partition(topic.First)
	p.Raise(base)
	e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: []byte("v")}}}}}
	if _, err := m.core.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	p.SetOlder(older)
	return m.core, topic.First
}

const base = 1 << 24

// A read that comes to a gap while the records behind it are being spilled does not pass over them.
func TestReadAcrossAGapDuringASpill(t *testing.T) {
	c, p := behindGap(t, &growing{base: base, next: base})
	rs, next, err := c.Read(nil, p, 0, 1<<10)
	if err != nil || len(rs) != 1 || next != base+1 {
		t.Errorf("read %d records, next %d, %v; want the one at %d", len(rs), next, err, base)
	}
}

// ruined is an Older that has lost the records from an offset on.
type ruined struct{ growing }

func (r *ruined) ReadInto(*[]byte, int64, int) ([]byte, error) {
	return nil, &storage.DamageError{File: "f", First: r.base, Next: r.next}
}

// A read that comes to damage behind a gap finds what memory still has of it; and is told of it if that is nothing.
func TestReadAcrossAGapIntoDamage(t *testing.T) {
	c, p := behindGap(t, &ruined{growing{base: base, next: base + 1}})
	rs, next, err := c.Read(nil, p, 0, 1<<10)
	if err != nil || len(rs) != 1 || next != base+1 {
		t.Errorf("read %d records, next %d, %v; want the one at %d", len(rs), next, err, base)
	}
	c, p = behindGap(t, &ruined{growing{base: base - 1, next: base}})
	if _, _, err = c.Read(nil, p, 0, 1<<10); err == nil {
		t.Error("what memory has not was passed over")
	}
}
