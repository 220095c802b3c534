package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leatmq/leat/storage"
	"pgregory.net/rapid"
)

// jump sets the wall clock, ahead or back.
func (m *machine) jump(rt *rapid.T) {
	m.Jump(time.Duration(rapid.Int64Range(int64(-100*24*time.Hour), int64(100*24*time.Hour)).Draw(rt, "jump")))
}

// seal has everything written to where it stays.
func (m *machine) seal(rt *rapid.T) {
	if err := m.Seal(m.store); err != nil {
		rt.Fatalf("seal: %v", err)
	}
}

// damage ruins bytes of one partition: reads name what is lost of it, and everything else is there. It is skipped or not, and made good again.
func (m *machine) damage(rt *rapid.T) {
	if err := m.Seal(m.store); err != nil {
		rt.Fatalf("seal: %v", err)
	}
	hurt, mend, err := m.Damage(m.store, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "where") })
	if err != nil {
		rt.Fatalf("damage: %v", err)
	}
	if mend == nil {
		rt.Skip("no files")
	}
	m.hurt(rt, hurt, rapid.Bool().Draw(rt, "skip"))
	if rapid.Bool().Draw(rt, "reopened in between") {
		m.end()
		if m.store, err = m.Open(); err != nil {
			rt.Fatalf("open: %v", err)
		}
		m.forget()
		m.hurt(rt, hurt, false)
	}
	if err := mend(m.store); err != nil {
		rt.Fatalf("mend: %v", err)
	}
}

func (m *machine) hurt(rt *rapid.T, hurt storage.PartitionID, skip bool) {
	for id, p := range m.partitions {
		holes, err := m.around(id, p)
		if err != nil {
			rt.Fatalf("partition %d while %d is damaged: %v", id, hurt, err)
		}
		if len(holes) > 0 && id != hurt {
			rt.Fatalf("partition %d: %v, but %d is damaged", id, holes[0], hurt)
		}
		for _, h := range holes {
			if !skip || h.Skipped {
				continue
			}
			if err := m.Skip(m.store, h); err != nil {
				rt.Fatalf("skip of %v: %v", h, err)
			}
		}
		if _, err := m.around(id, p); err != nil {
			rt.Fatalf("partition %d while %d is skipped: %v", id, hurt, err)
		}
	}
}

// around reads a partition with its holes: what is not in them must be what the model has.
func (m *machine) around(id storage.PartitionID, p *modelPart) (holes []*storage.DamageError, err error) {
	var got []storage.Record
	for from := int64(0); ; {
		had, at := len(got), from
		if got, from, err = m.store.Read(got, id, from, 4000); err == nil {
			if len(got) == had {
				break
			}
			continue
		}
		var hole *storage.DamageError
		if !errors.As(err, &hole) || hole.Next <= at || hole.Partition != id {
			return holes, fmt.Errorf("read from %d: %w", at, err)
		}
		holes = append(holes, hole)
		from = hole.Next
	}
	skipped := m.Skipped(m.store)
	lost := func(r storage.Record) bool {
		in := func(h *storage.DamageError) bool {
			return h.Partition == id && r.Offset >= h.First && r.Offset < h.Next
		}
		return slices.ContainsFunc(holes, in) || slices.ContainsFunc(skipped, in)
	}
	want := slices.DeleteFunc(slices.Clone(p.records), lost)
	if len(got) != len(want) {
		return holes, fmt.Errorf("%d records, want %d of %d beside %d holes and %d skipped", len(got), len(want), len(p.records), len(holes), len(skipped))
	}
	return holes, sameRecords(got, want)
}
