package dedup

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// exact is what a filter must remember, in the plainest form: everything, for ever.
type exact struct {
	o         FilterOptions
	commits   []committed
	inFlight  map[Key]Reservation
	abandoned []Reservation // that have ended
	now       time.Duration
}

type committed struct {
	key Key
	at  time.Duration
}

// answers says which answers for k the promises of the filter allow.
func (m *exact) answers(k Key) map[State]bool {
	if _, ok := m.inFlight[k]; ok {
		return map[State]bool{InFlight: true}
	}
	allowed := map[State]bool{}
	for back, i := 0, len(m.commits)-1; i >= 0; back, i = back+1, i-1 {
		c := m.commits[i]
		if c.key != k {
			continue
		}
		age := m.now - c.at
		switch gone := back/m.o.Keys + int(age/m.o.Window); {
		case age < m.o.Window && back < m.o.Keys:
			allowed[Seen] = true // and nothing else
		case age < m.o.Window && back < 2*m.o.Keys:
			allowed[Seen] = true
			allowed[New] = m.o.History == 0
			allowed[Perhaps] = m.o.History > 0
		case m.o.History > 0 && gone <= m.o.History: // generations, each of Keys or a Window
			allowed[Perhaps] = true
		default:
			allowed[New] = true
			allowed[Perhaps] = m.o.History > 0
		}
		break
	}
	if len(allowed) == 0 {
		allowed[New] = true
		allowed[Perhaps] = m.o.History > 0 // a false positive
	}
	if len(m.inFlight) >= m.o.InFlight && !(allowed[Seen] && len(allowed) == 1) {
		return map[State]bool{Full: true, Seen: allowed[Seen]}
	}
	return allowed
}

// TestModel compares filters of all small sizes with exact, at a clock of the test. What a filter may forget early, the model leaves open; what it must
// know, and what it must not claim to know, it does not.
func TestModel(t *testing.T) {
	states := map[State]int{}
	for range 5 {
		rapid.Check(t, func(r *rapid.T) { checkModel(r, drawOptions(r), states) })
	}
	t.Log(states)
	for s := New; s <= Full; s++ {
		if states[s] == 0 {
			t.Errorf("%v was never answered", s)
		}
	}
}

func drawOptions(t *rapid.T) FilterOptions {
	return FilterOptions{
		Keys: rapid.IntRange(1, 8).Draw(t, "keys"), Window: 10 * time.Millisecond, History: rapid.IntRange(0, 3).Draw(t, "history"),
		InFlight: rapid.IntRange(1, 6).Draw(t, "in flight"), FalsePositives: rapid.SampledFrom([]float64{0.5, 0.01}).Draw(t, "false positives"),
	}
}

// reserve reserves k, and wants an answer that is allowed.
func (m *exact) reserve(t *rapid.T, f *Filter, k Key, states map[State]int) (r Reservation, ok bool) {
	allowed := m.answers(k)
	r, state := f.Reserve(k)
	states[state]++
	if !allowed[state] {
		t.Fatalf("key %d is %v, allowed are %v", k[31], state, allowed)
	}
	if state.Reserved() {
		m.inFlight[k] = r
	}
	return r, state.Reserved()
}

func (m *exact) committed(k Key, r Reservation) {
	delete(m.inFlight, k)
	m.commits = append(m.commits, committed{k, m.now})
	m.abandoned = append(m.abandoned, r)
}

func checkModel(t *rapid.T, o FilterOptions, states map[State]int) {
	f, err := NewFilter(o)
	if err != nil {
		t.Fatal(err)
	}
	m := &exact{o: o, inFlight: map[Key]Reservation{}}
	f.clock = func() time.Duration { return m.now }
	k := rapid.Custom(func(t *rapid.T) Key { return key(rapid.IntRange(0, 12).Draw(t, "key")) })
	t.Repeat(map[string]func(*rapid.T){
		"reserve": func(t *rapid.T) { m.reserve(t, f, k.Draw(t, "key"), states) },
		"do": func(t *rapid.T) {
			for range rapid.IntRange(1, 20).Draw(t, "times") {
				k := k.Draw(t, "key")
				if r, ok := m.reserve(t, f, k, states); ok && r.Commit() {
					m.committed(k, r)
				}
			}
		},
		"commit": func(t *rapid.T) {
			k := k.Draw(t, "key")
			r, ok := m.inFlight[k]
			if r.Commit() != ok {
				t.Fatalf("key %d: a commit counts: %v", k[31], !ok)
			}
			if ok {
				m.committed(k, r)
			}
		},
		"abort": func(t *rapid.T) {
			k := k.Draw(t, "key")
			r, ok := m.inFlight[k]
			if r.Abort(); ok {
				delete(m.inFlight, k)
				m.abandoned = append(m.abandoned, r)
			}
		},
		"late": func(t *rapid.T) {
			if len(m.abandoned) == 0 {
				t.Skip("nothing has ended")
			}
			r := rapid.SampledFrom(m.abandoned).Draw(t, "reservation")
			if r.Abort(); r.Commit() {
				t.Fatal("a reservation that had ended counts")
			}
		},
		"wait": func(t *rapid.T) {
			m.now += time.Duration(rapid.SampledFrom([]int{1, 3, 9, 10, 11, 20, 35, 200}).Draw(t, "ms")) * time.Millisecond
		},
		"": func(t *rapid.T) {
			s := f.Stats()
			if s.InFlight != len(m.inFlight) || s.Commits != uint64(len(m.commits)) || s.Keys > 2*o.Keys || s.Reach > o.Window {
				t.Fatalf("%+v, with %d in flight and %d commits", s, len(m.inFlight), len(m.commits))
			}
			for _, c := range m.commits { // what the figure says is kept is kept
				if _, busy := m.inFlight[c.key]; !busy && m.now-c.at < s.Reach {
					if _, state := f.Reserve(c.key); state != Seen {
						t.Fatalf("key %d of %v ago is %v, and the reach is %v", c.key[31], m.now-c.at, state, s.Reach)
					}
				}
			}
		},
	})
}
