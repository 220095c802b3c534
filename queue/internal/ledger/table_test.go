package ledger

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is a Table that is plainly right.
type model struct {
	limit  int
	window int64
	first  uint64
	list   []Entry
}

func (m *model) find(id ID, now int64) (Entry, bool) {
	if e := m.live(id, now); e != nil {
		return *e, true
	}
	return Entry{}, false
}

func (m *model) live(id ID, now int64) *Entry {
	for i := len(m.list) - 1; i >= 0; i-- {
		if m.list[i].ID == id && now-m.list[i].Born < m.window {
			return &m.list[i]
		} else if m.list[i].ID == id {
			return nil
		}
	}
	return nil
}

func (m *model) expire(now int64) {
	for len(m.list) > 0 && now-m.list[0].Born >= m.window {
		m.list, m.first = m.list[1:], m.first+1
	}
}

// colliding returns IDs of which many have the same home.
func colliding(n int) ID {
	id := ID{byte(n % 5)}
	id[15] = byte(n)
	return id
}

func TestTableIsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(1, 200).Draw(rt, "limit")
		window := rapid.IntRange(1, 300).Draw(rt, "window")
		table, m := NewTable(limit, time.Duration(window)), &model{limit: limit, window: int64(window)}
		now := int64(0)
		for range rapid.IntRange(1, 600).Draw(rt, "steps") {
			now += int64(rapid.IntRange(0, 3).Draw(rt, "pass"))
			id := colliding(rapid.IntRange(0, 80).Draw(rt, "id"))
			switch rapid.IntRange(0, 20).Draw(rt, "what") {
			case 0:
				table.Expire(now)
				m.expire(now)
			case 1:
				m.expire(now)
				limit, window = rapid.IntRange(1, 200).Draw(rt, "limit"), rapid.IntRange(1, 300).Draw(rt, "window")
				table.Limit(limit, time.Duration(window), now)
				m.limit, m.window = limit, int64(window)
			case 2, 3:
				born := now - int64(rapid.IntRange(0, 300).Draw(rt, "age"))
				table.Move(id, 7, now+1, born, now)
				if e := m.live(id, now); e != nil {
					e.Partition, e.Offset, e.Born = 7, now+1, max(e.Born, born)
				}
			case 4:
				table.Drop(id, now)
				if e := m.live(id, now); e != nil {
					e.Born = dropped
				}
			default:
				if _, ok := table.Find(id, now); ok {
					break
				}
				e := Entry{ID: id, Born: now, Offset: now, Partition: int32(id[15])}
				table.Add(e)
				m.list = append(m.list, e)
			}
			for len(m.list) > m.limit { // what is too old may stay or not: nobody finds it
				m.list, m.first = m.list[1:], m.first+1
			}
			if table.First() < m.first || table.Next() != m.first+uint64(len(m.list)) || table.Len() > limit {
				rt.Fatalf("entries %d to %d, want %d to %d, at most %d", table.First(), table.Next(), m.first, m.first+uint64(len(m.list)), limit)
			}
			for n := range 81 {
				got, ok := table.Find(colliding(n), now)
				if want, is := m.find(colliding(n), now); ok != is || got != want {
					rt.Fatalf("%v: %+v %v, want %+v %v", colliding(n), got, ok, want, is)
				}
			}
			for n := table.First(); n < table.Next(); n++ {
				if got, want := *table.At(n), m.list[n-m.first]; got != want {
					rt.Fatalf("entry %d is %+v, want %+v", n, got, want)
				}
			}
		}
	})
}

// TestTableGivesMemoryBack: what a burst took is not kept.
func TestTableGivesMemoryBack(t *testing.T) {
	table := NewTable(1<<20, time.Minute)
	for i := range 100_000 {
		table.Add(Entry{ID: Of(fmt.Sprint(i))})
	}
	if len(table.ring) < 100_000 {
		t.Fatalf("room for %d", len(table.ring))
	}
	table.Expire(int64(time.Minute))
	if table.Len() != 0 || len(table.ring) > 64 || len(table.slots) > 128 {
		t.Errorf("%d entries, room for %d, %d slots, after all became too old", table.Len(), len(table.ring), len(table.slots))
	}
	table.Add(Entry{ID: Of("a"), Born: int64(time.Minute)})
	if _, ok := table.Find(Of("a"), int64(time.Minute)); !ok || table.Next() != 100_001 {
		t.Errorf("%v, next is %d", ok, table.Next())
	}
}

func TestOfTellsTextsApart(t *testing.T) {
	seen := map[ID]string{}
	for _, text := range []string{"", "a", "A", "a ", "a\x00", "\x00", "\xff", "ä", "a\u0308", "1", "01"} {
		if before, again := seen[Of(text)]; again {
			t.Errorf("%q and %q are one", before, text)
		}
		seen[Of(text)] = text
	}
	if got := fmt.Sprintf("%x", Of("abc")); got != "ba7816bf8f01cfea414140de5dae2223" {
		t.Errorf("abc is %s: what is stored would not be found any more", got)
	}
	if n := testing.AllocsPerRun(100, func() { runtime.KeepAlive(Of("an ID of the usual length, 2026-11-30")) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTableAdd(b *testing.B) {
	const limit = 1_000_000
	ids := make([]ID, 2*limit)
	for i := range ids {
		ids[i] = Of(fmt.Sprint(i))
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := NewTable(limit, time.Hour)
	for i := range limit {
		table.Add(Entry{ID: ids[i]})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	i := limit
	for b.Loop() {
		if _, ok := table.Find(ids[i%len(ids)], 0); !ok {
			table.Add(Entry{ID: ids[i%len(ids)]})
		}
		i++
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/limit, "bytes/ID")
	runtime.KeepAlive(table)
}
