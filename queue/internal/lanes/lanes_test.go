package lanes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what Set promises, done the slow way.
type model struct {
	t     *rapid.T
	set   *Set[string]
	turns [2]*Turns[string]
	parts []*modelPart
	now   time.Duration
	seq   int64
}

type modelPart struct {
	p     *Partition[string]
	turns int // -1: none
	lanes map[string]*modelLane
}

type modelLane struct {
	queued []*Item[string]
	out    []*Item[string]
}

func TestSetKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, set: NewSet(func(*string) {}), turns: [2]*Turns[string]{{}, {}}}
		for range 3 {
			p := m.set.Partition()
			p.Give(m.turns[0])
			m.parts = append(m.parts, &modelPart{p: p, lanes: map[string]*modelLane{}})
		}
		t.Repeat(map[string]func(*rapid.T){
			"add":   m.add,
			"take":  m.take,
			"done":  m.done,
			"back":  m.back,
			"aside": m.aside,
			"away":  m.away,
			"wake":  m.wake,
			"rouse": m.rouse,
			"give":  m.give,
			"clear": m.clear,
			"shed":  m.shed,
			"":      m.check,
		})
	})
}

func (m *model) add(t *rapid.T) {
	part := rapid.SampledFrom(m.parts).Draw(t, "partition")
	name := rapid.SampledFrom([]string{"a", "b", "", "lone"}).Draw(t, "key")
	m.seq++
	it := m.set.Item()
	it.Seq, it.Size = m.seq, rapid.IntRange(0, 9).Draw(t, "size")
	if rapid.IntRange(0, 5).Draw(t, "later") == 0 {
		it.Due = m.now + 5
	}
	if name == "lone" {
		name = fmt.Sprint("lone ", m.seq)
		it.Value = name
		part.p.AddLone(it)
	} else {
		it.Value = name
		part.p.Add([]byte(name), it)
	}
	l := part.lanes[name]
	if l == nil {
		l = &modelLane{}
		part.lanes[name] = l
	}
	l.queued = append(l.queued, it)
}

// ready lists the lanes that may be taken from.
func (m *model) ready(turns int) (lanes []*modelLane, items Count) {
	for _, part := range m.parts {
		if part.turns != turns {
			continue
		}
		for _, l := range part.lanes {
			if len(l.out) > 0 || len(l.queued) == 0 || l.queued[0].Due > 0 {
				continue
			}
			lanes = append(lanes, l)
			for _, it := range l.queued {
				items.add(1, it.Size)
			}
		}
	}
	return lanes, items
}

func (m *model) take(t *rapid.T) {
	turns := rapid.IntRange(0, 1).Draw(t, "turns")
	most, bytes := rapid.IntRange(1, 4).Draw(t, "max"), rapid.IntRange(0, 20).Draw(t, "bytes")
	ready, _ := m.ready(turns)
	got := m.turns[turns].Take(nil, most, bytes)
	if len(got) == 0 {
		if len(ready) > 0 {
			t.Fatalf("nothing taken, though %d lanes are ready", len(ready))
		}
		return
	}
	i := slices.IndexFunc(ready, func(l *modelLane) bool { return l.queued[0] == got[0] })
	if i < 0 {
		t.Fatalf("%q was not the first of a ready lane", got[0].Value)
	}
	l := ready[i]
	if len(got) > most || !slices.Equal(got, l.queued[:len(got)]) {
		t.Fatalf("took %d of at most %d, not one after the other", len(got), most)
	}
	left := bytes - got[0].Size
	for _, it := range got[1:] {
		if left -= it.Size; left < 0 || it.Due > 0 {
			t.Fatalf("took too much: %d bytes over, due %v", -left, it.Due)
		}
	}
	l.out = append(l.out, got...)
	l.queued = l.queued[len(got):]
}

func (m *model) anyOut(t *rapid.T) (*modelPart, *modelLane, *Item[string]) {
	var choices []func() (*modelPart, *modelLane, *Item[string])
	for _, part := range m.parts {
		for _, name := range sortedNames(part.lanes) {
			for _, it := range part.lanes[name].out {
				choices = append(choices, func() (*modelPart, *modelLane, *Item[string]) { return part, part.lanes[name], it })
			}
		}
	}
	if len(choices) == 0 {
		t.Skip("nothing is out")
	}
	return choices[rapid.IntRange(0, len(choices)-1).Draw(t, "which")]()
}

func sortedNames(lanes map[string]*modelLane) []string {
	var names []string
	for name := range lanes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m *model) done(t *rapid.T) {
	_, l, it := m.anyOut(t)
	l.out = slices.DeleteFunc(l.out, func(o *Item[string]) bool { return o == it })
	it.Done()
}

func (m *model) back(t *rapid.T) {
	_, l, it := m.anyOut(t)
	var due time.Duration
	if rapid.Bool().Draw(t, "later") {
		due = m.now + time.Duration(rapid.IntRange(1, 9).Draw(t, "due"))
	}
	l.out = slices.DeleteFunc(l.out, func(o *Item[string]) bool { return o == it })
	it.Back(due)
	l.queued = append(l.queued, it)
	slices.SortFunc(l.queued, func(a, b *Item[string]) int { return int(a.Seq - b.Seq) })
}

// aside puts an item that has a key into a lane of the model's own until it is due.
func (m *model) aside(t *rapid.T) {
	part, l, it := m.anyOut(t)
	if strings.HasPrefix(it.Value, "lone ") {
		t.Skip("it has no key")
	}
	l.out = slices.DeleteFunc(l.out, func(o *Item[string]) bool { return o == it })
	it.Aside(m.now + time.Duration(rapid.IntRange(1, 9).Draw(t, "due")))
	m.seq++
	part.lanes[fmt.Sprint("lane aside ", m.seq)] = &modelLane{queued: []*Item[string]{it}}
}

// away takes a lane that waits away and puts it back: what stood aside at the front of its lane.
func (m *model) away(t *rapid.T) {
	part := rapid.SampledFrom(m.parts).Draw(t, "partition")
	firsts := part.p.Waiters()
	if len(firsts) == 0 {
		t.Skip("nothing waits")
	}
	slices.SortFunc(firsts, func(a, b *Item[string]) int { return int(a.Seq - b.Seq) })
	first := rapid.SampledFrom(firsts).Draw(t, "first")
	items, from := first.Waits().Withdraw()
	for name, l := range part.lanes {
		if len(l.queued) == 0 || l.queued[0] != first {
			continue
		}
		if !slices.Equal(items, l.queued) || from.Aside != strings.HasPrefix(name, "lane aside ") || from.Named == strings.HasPrefix(first.Value, "lone ") {
			t.Fatalf("of lane %q came %d items, %+v", name, len(items), from)
		}
		if from.Named && from.Lane != m.set.Key([]byte(first.Value)) {
			t.Fatalf("%+v of key %q", from, first.Value)
		}
	}
	for _, it := range items {
		switch {
		case from.Aside:
			first.Due = 0
			part.p.Insert(from.Lane, it)
		case from.Named:
			part.p.AddTo(from.Lane, it)
		default:
			part.p.AddLone(it)
		}
	}
	if from.Aside {
		part.join(0)
	}
}

// join has what stood aside and is due by now stand in its lane again.
func (part *modelPart) join(now time.Duration) {
	for _, name := range sortedNames(part.lanes) {
		l := part.lanes[name]
		if !strings.HasPrefix(name, "lane aside ") || l.queued[0].Due > now {
			continue
		}
		delete(part.lanes, name)
		it := l.queued[0]
		home := part.lanes[it.Value]
		if home == nil {
			home = &modelLane{}
			part.lanes[it.Value] = home
		}
		home.queued = append(home.queued, it)
		slices.SortFunc(home.queued, func(a, b *Item[string]) int { return int(a.Seq - b.Seq) })
	}
}

func (m *model) wake(t *rapid.T) {
	m.now += time.Duration(rapid.IntRange(1, 9).Draw(t, "pass"))
	for _, part := range m.parts {
		part.join(m.now)
	}
	m.set.Wake(m.now)
	for _, part := range m.parts {
		for name, l := range part.lanes {
			if len(l.out) == 0 && len(l.queued) > 0 && l.queued[0].Due > 0 && l.queued[0].Due <= m.now {
				t.Fatalf("lane %q was due at %v and still waits at %v", name, l.queued[0].Due, m.now)
			}
		}
	}
}

// rouse has the first of a lane that waits be due.
func (m *model) rouse(t *rapid.T) {
	part := rapid.SampledFrom(m.parts).Draw(t, "partition")
	firsts := part.p.Waiters()
	if len(firsts) == 0 {
		t.Skip("nothing waits")
	}
	slices.SortFunc(firsts, func(a, b *Item[string]) int { return int(a.Seq - b.Seq) })
	first := rapid.SampledFrom(firsts).Draw(t, "first")
	aside := first.lane.aside
	first.Waits().Rouse()
	if first.Due != 0 {
		t.Fatalf("%q is due at %v still", first.Value, first.Due)
	}
	if aside {
		part.join(0)
	}
}

func (m *model) give(t *rapid.T) {
	part := rapid.SampledFrom(m.parts).Draw(t, "partition")
	part.turns = rapid.IntRange(-1, 1).Draw(t, "turns")
	if part.turns < 0 {
		part.p.Give(nil)
		return
	}
	part.p.Give(m.turns[part.turns])
}

// shed wants a ready lane's first item, and where there is none the oldest that is behind what is out and due.
func (m *model) shed(t *rapid.T) {
	part := rapid.SampledFrom(m.parts).Draw(t, "partition")
	ready, behind := false, (*Item[string])(nil)
	for _, l := range part.lanes {
		if len(l.queued) == 0 || l.queued[0].Due > 0 {
			continue
		}
		ready = ready || len(l.out) == 0
		if it := l.queued[0]; len(l.out) > 0 && (behind == nil || it.Seq < behind.Seq) {
			behind = it
		}
	}
	value, ok := part.p.Shed()
	if ok != (ready || behind != nil) {
		t.Fatalf("shed: %v, though ready is %v and behind others %v", ok, ready, behind)
	}
	for _, name := range sortedNames(part.lanes) {
		l := part.lanes[name]
		if !ok || len(l.queued) == 0 || l.queued[0].lane != nil {
			continue
		}
		if name != value || !ready && l.queued[0] != behind || ready && len(l.out) > 0 {
			t.Fatalf("%q was shed of lane %q, ready %v", value, name, ready)
		}
		if l.queued = l.queued[1:]; len(l.queued)+len(l.out) == 0 {
			delete(part.lanes, name)
		}
		return
	}
	if ok {
		t.Fatalf("nothing is gone, though %q was shed", value)
	}
}

func (m *model) clear(t *rapid.T) {
	part := rapid.SampledFrom(m.parts).Draw(t, "partition")
	if part.p.Out() > 0 {
		t.Skip("something is out")
	}
	part.p.Clear()
	part.lanes = map[string]*modelLane{}
}

func (m *model) check(t *rapid.T) {
	all, waiting := Count{}, 0
	for _, part := range m.parts {
		queued, out, kept := Count{}, 0, 0
		for name, l := range part.lanes {
			for _, it := range l.queued {
				queued.add(1, it.Size)
			}
			out += len(l.out)
			if len(l.out) == 0 && len(l.queued) > 0 && l.queued[0].Due > 0 {
				waiting++
			}
			if name != "" && name[0] == 'l' {
				continue
			}
			if len(l.queued)+len(l.out) > 0 {
				kept++
			}
		}
		if part.p.Ready() != part.readyLanes() {
			t.Fatalf("%d lanes are ready, want %d", part.p.Ready(), part.readyLanes())
		}
		if part.p.Queued() != queued || part.p.Out() != out || len(part.p.lanes) != kept {
			t.Fatalf("queued %v, out %d, lanes %d; want %v, %d, %d", part.p.Queued(), part.p.Out(), len(part.p.lanes), queued, out, kept)
		}
		part.checkOldest(t)
		all.add(queued.Items, queued.Bytes)
	}
	for i, turns := range m.turns {
		lanes, run := m.ready(i)
		if turns.Lanes() != len(lanes) || turns.Run() != run {
			t.Fatalf("turns %d: %d lanes ready with %v, want %d with %v", i, turns.Lanes(), turns.Run(), len(lanes), run)
		}
	}
	due, any := m.set.NextDue()
	if m.set.Queued() != all || m.set.Waiting() != waiting || any != (waiting > 0) || any && due <= 0 {
		t.Fatalf("set: %v queued, %d waiting, next due %v; want %v, %d", m.set.Queued(), m.set.Waiting(), due, all, waiting)
	}
}

func (part *modelPart) readyLanes() (n int) {
	for _, l := range part.lanes {
		if len(l.out) == 0 && len(l.queued) > 0 && l.queued[0].Due <= 0 {
			n++
		}
	}
	return n
}

func (part *modelPart) checkOldest(t *rapid.T) {
	var oldest *Item[string]
	waiting := 0
	for _, l := range part.lanes {
		switch {
		case len(l.queued) == 0:
		case len(l.out) == 0 && l.queued[0].Due > 0:
			waiting++
		case oldest == nil || l.queued[0].Seq < oldest.Seq:
			oldest = l.queued[0]
		}
	}
	if got := part.p.Oldest(); got != oldest || part.p.Waiting() != waiting {
		t.Fatalf("the oldest is %v, %d lanes wait; want %v, %d", got, part.p.Waiting(), oldest, waiting)
	}
}

func TestPartitionsTakeTurns(t *testing.T) {
	set, turns := NewSet(func(*int) {}), &Turns[int]{}
	for n := range 3 {
		p := set.Partition()
		p.Give(turns)
		for i := range 3 {
			it := set.Item()
			it.Value, it.Seq = n, int64(i)
			p.AddLone(it)
		}
	}
	var got []int
	for turns.Lanes() > 0 {
		got = append(got, turns.Take(nil, 1, 0)[0].Value)
	}
	if want := []int{0, 1, 2, 0, 1, 2, 0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("partitions came in the order %v, want %v", got, want)
	}
}

func TestSteadyWorkDoesNotAllocate(t *testing.T) {
	set, turns := NewSet(func(*int) {}), &Turns[int]{}
	p := set.Partition()
	p.Give(turns)
	keys := [][]byte{[]byte("a"), []byte("b"), []byte("c")}
	var taken []*Item[int]
	if n := testing.AllocsPerRun(1000, func() {
		for _, key := range keys {
			p.Add(key, set.Item())
			p.AddLone(set.Item())
		}
		for turns.Lanes() > 0 {
			taken = turns.Take(taken[:0], 10, 100)
			for _, it := range taken {
				it.Done()
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations for six items", n)
	}
}

func TestItemsComeBackInOrder(t *testing.T) {
	set, turns := NewSet(func(*int) {}), &Turns[int]{}
	p := set.Partition()
	p.Give(turns)
	for i := range 5 {
		it := set.Item()
		it.Value, it.Seq = i, int64(i)
		p.Add(nil, it)
	}
	out := turns.Take(nil, 3, 0)
	for _, i := range []int{1, 0, 2} {
		out[i].Back(0)
	}
	for i, it := range turns.Take(nil, 5, 0) {
		if it.Value != i {
			t.Errorf("item %d came at place %d", it.Value, i)
		}
	}
}

func TestTakeStopsAtWhatIsNotDue(t *testing.T) {
	set, turns := NewSet(func(*int) {}), &Turns[int]{}
	p := set.Partition()
	p.Give(turns)
	for i := range 3 {
		it := set.Item()
		it.Value, it.Seq = i, int64(i)
		p.Add(nil, it)
	}
	out := turns.Take(nil, 2, 0)
	out[0].Back(0)
	out[1].Back(5)
	out = turns.Take(nil, 3, 0)
	if len(out) != 1 {
		t.Fatalf("%d items taken, the second is due later", len(out))
	}
	out[0].Done()
	if due, ok := set.NextDue(); turns.Lanes() != 0 || !ok || due != 5 {
		t.Errorf("%d lanes ready, next due %v", turns.Lanes(), due)
	}
	set.Wake(4)
	if turns.Lanes() != 0 {
		t.Error("ready before its time")
	}
	set.Wake(5)
	if out = turns.Take(nil, 3, 0); len(out) != 2 || out[0].Value != 1 {
		t.Errorf("%d items when it was due", len(out))
	}
}
