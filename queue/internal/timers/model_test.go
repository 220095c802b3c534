package timers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/leatmq/leat/storage"
)

// act is one thing that a script does.
type act struct {
	kind string
	n    int
	by   time.Duration
}

func (a act) String() string { return fmt.Sprintf("%s %d %v", a.kind, a.n, a.by) }

var kinds = []string{"publish", "publish", "publish", "publish", "cancel", "cancel", "move", "wait", "slow", "full", "jump", "crash", "restart"}

func drawScript(t *rapid.T, kinds []string) []act {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) act {
		return act{
			kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
			n:    rapid.IntRange(0, 60).Draw(t, "n"),
			by:   time.Duration(rapid.IntRange(-5_000, 600_000).Draw(t, "by")) * time.Millisecond,
		}
	}), 10, 60).Draw(t, "script")
}

const century = 100 * 365 * 24 * time.Hour

// known is what is known of a message.
type known struct {
	id       ID
	from, to int // the changes of the store before and after it was published
	gone     int // 1: cancelled, since its ID was found
	cut, end int // the changes before and after that
	moved    bool
}

// play is a script that is played.
type play struct {
	*rig
	messages []*known
	runs     int
	figures  struct{ delivered, cancelled, moved, late, crashes, jumps, merged int }
	wrong    error
}

func (p *play) fail(format string, args ...any) {
	if p.wrong == nil {
		p.wrong = fmt.Errorf(format, args...)
	}
}

func (p *play) do(a act) {
	switch a.kind {
	case "publish":
		var due []int64
		for i := range a.n {
			due = append(due, p.now().Add(a.by+time.Duration(i*i%17)*10*time.Second).UnixNano())
		}
		if len(due) == 0 {
			return
		}
		before := p.store.length()
		ids, err := p.publish(uint64(len(p.messages)), due...)
		if err != nil {
			p.fail("publishing: %w", err)
		}
		for _, id := range ids {
			p.messages = append(p.messages, &known{id: id, from: before, to: p.store.length()})
		}
	case "cancel", "move":
		p.change(a)
	case "wait":
		time.Sleep(max(0, a.by))
	case "slow": // or quick
		p.store.slow(a.by)
	case "full": // the target, or the places for runs, or nothing any more
		p.store.fill(p.target.First, a.n%3)
	case "jump":
		by := []time.Duration{-time.Second, -24 * time.Hour, -29 * 365 * 24 * time.Hour, time.Second, 10 * time.Minute, 10 * 365 * 24 * time.Hour}[a.n%6]
		if to := p.now().Add(by); to.Year() > 1971 && to.Year() < 2100 { // what may be shown in nanoseconds
			p.figures.jumps++
			p.turn(by)
		}
	case "crash":
		p.figures.crashes++
		p.index.Close()
		p.store.slow(0)
		p.store = p.store.rebuilt(p, p.store.length())
		p.open()
	case "restart":
		p.index.Close()
		p.open()
	}
}

// change cancels or moves a message.
func (p *play) change(a act) {
	if len(p.messages) == 0 {
		return
	}
	m := p.messages[(a.n*7919)%len(p.messages)]
	before := p.store.length()
	var err error
	if a.kind == "cancel" {
		err = p.index.Cancel(ctx, m.id)
	} else {
		var id ID
		if id, err = p.index.Move(ctx, m.id, p.now().Add(a.by).UnixNano()); err == nil {
			m.id, m.moved = id, true
			p.figures.moved++
		}
	}
	switch {
	case errors.Is(err, ErrGone):
		p.figures.late++
	case errors.Is(err, storage.ErrFull): // nothing was done
	case err != nil:
		p.fail("%v: %w", a, err)
	case a.kind == "cancel":
		if m.gone++; m.gone > 1 {
			p.fail("message cancelled twice")
		}
		m.cut, m.end = before, p.store.length()
		p.figures.cancelled++
	}
}

// count holds what the index counts against what is known.
func (p *play) count(when string) {
	synctest.Wait()
	got := p.delivered()
	want := len(p.messages) - len(got)
	for _, m := range p.messages {
		want -= m.gone
	}
	b, err := p.store.Bounds(p.index.inboxID)
	if err != nil || p.index.snapshot().Known < b.Next {
		return // it waits for a run to be written
	}
	if n := p.pending(); n != int64(want) {
		p.fail("%s: %d pending, want %d", when, n, want)
	}
}

// empty tells whether the index has looked at all there is, and has nothing left.
func (p *play) empty() bool {
	b, err := p.store.Bounds(p.index.inboxID)
	return err == nil && p.index.snapshot().Known >= b.Next && p.pending() == 0
}

// end has all become due, and judges what came.
func (p *play) end() {
	p.store.slow(0)
	p.store.fill(0, 2)
	p.turn(century)
	synctest.Wait()
	for i := 0; !p.empty() && i < 1000; i++ {
		time.Sleep(time.Second)
		synctest.Wait()
	}
	p.count("at the end")
	times := make([]int, len(p.messages))
	for _, n := range p.delivered() {
		times[n]++
	}
	for n, m := range p.messages {
		if times[n] != 1-m.gone {
			p.fail("message %d, cancelled %d times, was delivered %d times; the index says %+v", n, m.gone, times[n], p.index.snapshot())
		}
	}
	p.figures.delivered = len(p.delivered())
	if len(p.early) > 0 {
		p.fail("%s", p.early[0])
	}
}

// playScript plays in a bubble.
func playScript(t *testing.T, refs int, script []act, then func(p *play)) (p *play) {
	synctest.Test(t, func(t *testing.T) {
		s := newLogged(t)
		p = &play{rig: newRig(t, s, refs)}
		p.open()
		for i, a := range script {
			if p.do(a); i%4 == 3 {
				p.count(fmt.Sprint("after ", script[:i+1]))
			}
			synctest.Wait()
		}
		then(p)
		p.index.Close()
		p.store.Close(ctx)
	})
	return p
}

// TestModel plays scripts of publishing, cancelling, moving, waiting, clock jumps, crashes and restarts: none is lost, none repeated, none early, and the counts are
// right all the time.
func TestModel(t *testing.T) {
	var runs, delivered, cancelled, moved, late, crashes, jumps atomic.Int64
	rapidChecks(t, sized(150, 1_000, 50_000))
	rapid.Check(t, func(rt *rapid.T) {
		script := drawScript(rt, kinds)
		refs := rapid.SampledFrom([]int{4, 16, 64, 1 << 15}).Draw(rt, "references")
		p := playScript(t, refs, script, func(p *play) { p.end() })
		if p.wrong != nil {
			rt.Fatal(p.wrong)
		}
		runs.Add(1)
		delivered.Add(int64(p.figures.delivered))
		cancelled.Add(int64(p.figures.cancelled))
		moved.Add(int64(p.figures.moved))
		late.Add(int64(p.figures.late))
		crashes.Add(int64(p.figures.crashes))
		jumps.Add(int64(p.figures.jumps))
	})
	t.Logf("%d scripts: %d delivered, %d cancelled, %d moved, %d too late, %d crashes, %d clock jumps",
		runs.Load(), delivered.Load(), cancelled.Load(), moved.Load(), late.Load(), crashes.Load(), jumps.Load())
	if delivered.Load() == 0 || cancelled.Load() == 0 || moved.Load() == 0 || late.Load() == 0 || crashes.Load() == 0 || jumps.Load() == 0 {
		t.Error("something never happened")
	}
}

// TestCrashSweep plays scripts without a crash, and then finds out for each prefix of what was written what an index makes of it: of what had been published by then and not
// cancelled each comes once, in due order, and nothing else.
func TestCrashSweep(t *testing.T) {
	points, runs, short := 0, 0, 0
	for seed := range sized(9, 40, 1_000) {
		script := randomScript(uint64(seed), 25)
		p := playScript(t, []int{8, 16, 40}[seed%3], script, func(p *play) { p.end() })
		if p.wrong != nil {
			t.Fatal(script, p.wrong)
		}
		log, first := p.store, 1
		for k := first; k <= log.length(); k++ {
			synctest.Test(t, func(t *testing.T) {
				q := &play{rig: newRig(t, log.rebuilt(t, k), p.refs), messages: p.messages}
				q.turn(century)
				if q.leftovers() {
					short++
				}
				q.open()
				q.after(k)
				runs += q.runs
				q.index.Close()
				q.store.Close(ctx)
				if q.wrong != nil {
					t.Fatalf("seed %d, after %d of %d changes: %v\n%v", seed+1, k, log.length(), q.wrong, script)
				}
			})
			points++
		}
	}
	t.Logf("%d crash points, %d of them with a run that was cut short or done; %d runs met", points, short, runs)
	if short == 0 || runs == 0 {
		t.Error("something never happened")
	}
}

func randomScript(seed uint64, n int) []act {
	dice := rand.New(rand.NewPCG(seed, 3))
	var script []act
	for range n {
		script = append(script, act{
			kind: kinds[dice.IntN(10)],
			n:    dice.IntN(60),
			by:   time.Duration(dice.IntN(100_000)-1_000) * time.Millisecond,
		})
	}
	return script
}

// leftovers tells whether there are records in places for runs of which the ledger has none. It also counts the runs.
func (p *play) leftovers() bool {
	x := Index{o: Options{Name: "leat.delayed.test"}, store: p.store}
	var ok1, ok2 bool
	x.topic, ok1 = p.store.Topic(x.o.Name)
	x.runTopic, ok2 = p.store.Topic(x.o.Name + RunsSuffix)
	if !ok1 || !ok2 {
		return false
	}
	x.inboxID, x.ledgerID = x.topic.Partition(inboxNumber), x.topic.Partition(LedgerPartition)
	if err := x.readLedger(); err != nil {
		p.fail("%w", err)
	}
	p.runs = len(x.ledger.runs)
	for slot := range maxRuns {
		if p.store.count(x.runTopic.Partition(slot)) > 0 && !slices.ContainsFunc(x.ledger.runs, func(s span) bool { return s.slot == slot }) {
			return true
		}
	}
	return false
}

// after judges what is delivered after a crash behind k changes.
func (p *play) after(k int) {
	synctest.Wait()
	before := len(p.delivered()) - len(p.told)
	for i := 0; p.pending() > 0 && i < 1000; i++ {
		time.Sleep(time.Second)
		synctest.Wait()
	}
	if n := p.pending(); n != 0 {
		p.fail("%d pending at the end", n)
	}
	got := p.delivered()
	times := make([]int, len(p.messages))
	for _, n := range got {
		times[n]++
	}
	for n, m := range p.messages {
		least, most := 1, 1
		switch {
		case k <= m.from:
			least, most = 0, 0
		case k < m.to: // the index did something at the same time
			least = 0
		case m.gone == 1 && k >= m.end:
			least, most = 0, 0
		case m.gone == 1 && k > m.cut:
			least = 0
		}
		if times[n] < least || times[n] > most {
			p.fail("message %d, published with change %d, cancelled with %d to %d, was delivered %d times", n, m.to, m.cut, m.end, times[n])
		}
	}
	if !slices.IsSortedFunc(p.dues, func(a, b int64) int { return int(min(1, max(-1, a-b))) }) {
		p.fail("not in due order after the crash, in which %d had been delivered", before)
	}
}
