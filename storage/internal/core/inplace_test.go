package core

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/leatmq/leat/storage"
)

// pooled is a backend in memory whose partitions have blocks of their own. asked is called when a partition needs a new one.
type pooled struct {
	core  *Core
	pool  *Pool
	asked func(*Partition)
}

func (m *pooled) Room(context.Context, *Entry) error { return nil }
func (m *pooled) Wait(context.Context, *Entry) error { return nil }
func (m *pooled) Unroom(*Entry)                      {}
func (m *pooled) Trimmed(p *Partition)               { p.Release() }
func (m *pooled) Stage(e *Entry) (bool, error) {
	m.core.CommitInPlace(e, func(p *Partition, last *Block, n int) *Block {
		m.asked(p)
		return m.pool.Grow(p, last, n, m.pool.Usual())
	})
	return true, nil
}

func openPooled(t *testing.T, partitions int) (*pooled, storage.Topic) {
	t.Helper()
	m := &pooled{pool: NewPool(64 << 20), asked: func(*Partition) {}}
	m.core = New(m)
	topic, err := m.core.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	return m, topic
}

func (m *pooled) append(t *testing.T, bs ...storage.Batch) {
	t.Helper()
	if _, err := m.core.Append(t.Context(), &storage.Entry{Batches: bs}); err != nil {
		t.Fatal(err)
	}
}

// TestBlockIsDroppedWhileItIsWritten: everything in a partition's last block may be removed after an append began to write behind it. Nobody else gets the block then, and it is given back once.
func TestBlockIsDroppedWhileItIsWritten(t *testing.T) {
	m, topic := openPooled(t, 2)
	first, second := topic.Partition(0), topic.Partition(1)
	value := func(b byte) []storage.Record { return []storage.Record{{Value: bytes.Repeat([]byte{b}, 600<<10)}} }
	m.append(t, storage.Batch{Partition: first, Records: value('a')})
	m.append(t, storage.Batch{Partition: first, Records: []storage.Record{{Value: []byte("a")}}}) // in a block that the pool keeps
	p := m.core.Catalog.Partition(first)
	block := p.last()
	m.asked = func(q *Partition) { // that is written: the new record of the first partition lies in its last block already
		if q.ID != second {
			t.Errorf("partition %d had room for its record", q.ID)
		}
		m.core.Begin(p, 2)
		if again := m.pool.Get(1); again == block {
			t.Error("the block is given to another while it is written")
		} else {
			again.Release()
		}
	}
	little := []storage.Record{{Value: []byte("b")}}
	m.append(t, storage.Batch{Partition: first, Records: little}, storage.Batch{Partition: second, Records: value('c')})
	if p.last() != block || block.refs.Load() != 1 {
		t.Errorf("the record is elsewhere, or its block has %d users, want 1", block.refs.Load())
	}
	if rs, _, err := m.core.Read(nil, first, 0, 1<<20); err != nil || len(rs) != 1 || string(rs[0].Value) != "b" || rs[0].Offset != 2 {
		t.Errorf("read %d records, %v", len(rs), err)
	}
	m.core.Begin(p, 3)
	m.core.Begin(m.core.Catalog.Partition(second), 1)
	if live := m.pool.Live(); live != 0 {
		t.Errorf("%d bytes are in use though nothing is stored", live)
	}
}

// TestReadsAreCopiesOfAnySize: whatever part of which blocks a read takes, and into whose memory, it returns what was appended, and none of it is the store's.
func TestReadsAreCopiesOfAnySize(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	m, topic := openPooled(t, 1)
	id := topic.First
	var want []string
	for range 300 {
		rs := make([]storage.Record, 1+rng.IntN(4))
		for i := range rs {
			v := bytes.Repeat(fmt.Append(nil, len(want)), 1+rng.IntN(1+rng.IntN(4000)))
			rs[i].Value, want = v, append(want, string(v))
		}
		m.append(t, storage.Batch{Partition: id, Records: rs})
	}
	var into []byte
	for range 300 {
		from, most := rng.IntN(len(want)), 1+rng.IntN(1<<uint(rng.IntN(21)))
		read, own := m.core.ReadInto, rng.IntN(2) == 0
		if own {
			read = func(dst []storage.Record, _ *[]byte, id storage.PartitionID, from int64, most int) ([]storage.Record, int64, error) {
				return m.core.Read(dst, id, from, most)
			}
		}
		got, next, err := read(nil, &into, id, int64(from), most)
		if err != nil || len(got) == 0 || next != int64(from+len(got)) {
			t.Fatalf("%d records from %d on, next %d, %v", len(got), from, next, err)
		}
		for i := range got {
			if got[i].Offset != int64(from+i) || string(got[i].Value) != want[from+i] {
				t.Fatalf("record %d is not what was appended", from+i)
			}
			clear(got[i].Value)
		}
	}
	if rs, _, err := m.core.Read(nil, id, 0, 64<<20); err != nil || len(rs) != len(want) || string(rs[0].Value) != want[0] {
		t.Errorf("%d records, %v, want %d", len(rs), err, len(want))
	}
	if n := m.core.Catalog.Partition(id).last().refs.Load(); n != 1 {
		t.Errorf("a block has %d users when all reads are over", n)
	}
}
