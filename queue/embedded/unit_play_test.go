package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// unitPlay is a script that is played.
type unitPlay struct {
	*unitModel
	t      *testing.T
	f      *unitFigures
	disk   *disktest.Disk
	broker *queue.Broker
	member *testMember
	held   []unitHeld
}

// unitHeld is a hand-over, its number its token.
type unitHeld struct {
	member   *testMember
	handover queue.Handover
}

func playUnits(t *testing.T, steps []unitStep, f *unitFigures) (err error) {
	p := &unitPlay{unitModel: newUnitModel(), t: t, f: f, disk: disktest.New()}
	defer func() { p.broker.Close() }()
	for i := -1; i < len(steps) && err == nil; i++ {
		if i < 0 {
			err = p.open()
			continue
		}
		if err = p.do(steps[i]); err != nil {
			err = fmt.Errorf("step %d, %+v: %w", i, steps[i], err)
		}
	}
	if err == nil {
		err = p.finish()
	}
	return err
}

func (p *unitPlay) open() (err error) {
	if p.broker, err = openOn(p.disk); err != nil {
		return err
	}
	for topic, n := range map[string]int{"in": 2, "out": 1} {
		if err := p.broker.EnsureTopic(context.Background(), topic, queue.TopicConfig{Partitions: n}); err != nil {
			return err
		}
	}
	p.member = join(p.t, p.broker, queue.Group{Topics: []string{"in"}, Concurrency: 4})
	return p.compare()
}

// compare wants the partitions to have what they must.
func (p *unitPlay) compare() error {
	got := map[string][]string{}
	for _, topic := range []string{"in", "out"} {
		for r, err := range p.broker.Read(context.Background(), queue.Range{Topic: topic}) {
			if err != nil {
				return err
			}
			log := fmt.Sprintf("%s/%d", topic, r.Position.Partition())
			got[log] = append(got[log], string(r.Value))
		}
	}
	for _, log := range []string{"in/0", "in/1", "out/0"} {
		if !slices.Equal(got[log], p.logs[log]) {
			return fmt.Errorf("%s has %v, want %v", log, got[log], p.logs[log])
		}
	}
	return nil
}

func (p *unitPlay) do(s unitStep) error {
	ctx := context.Background()
	switch s.what {
	case "publish":
		x := p.message("in", s.a)
		r, err := p.broker.Publish(ctx, x)
		if err != nil {
			return err
		}
		return p.stored(x, r, p.f)
	case "batch":
		return p.unit([]queue.Message{p.message("in", s.a), p.message("out", 0), p.message("in", s.b)}, func(ms []queue.Message) ([]queue.Receipt, error) {
			return p.broker.PublishBatch(ctx, ms...)
		})
	case "transact":
		return p.transact(s)
	case "receive":
		_, err := p.receive(1 + s.a%3)
		return err
	case "settle":
		return p.settle(s)
	case "reopen":
		if err := p.broker.Close(); err != nil {
			return err
		}
		p.close(false)
		return p.open()
	}
	return p.crash(s)
}

// unit publishes ms by do, all or, if two have one ID, none.
func (p *unitPlay) unit(ms []queue.Message, do func(ms []queue.Message) ([]queue.Receipt, error)) error {
	p.f.units.Add(1)
	rs, err := do(ms)
	if twice(ms) {
		if !errors.Is(err, queue.ErrConflict) {
			return fmt.Errorf("two of one ID: %w, want ErrConflict", err)
		}
		return p.compare()
	}
	for i := 0; i < len(ms) && err == nil; i++ {
		err = p.stored(ms[i], rs[i], p.f)
	}
	return err
}

// transact marks two keys, publishes with each that it is the first of, and every third time fails.
func (p *unitPlay) transact(s unitStep) error {
	ctx := context.Background()
	fails := s.c%3 == 0
	var ms []queue.Message
	var marked []string
	told := map[string]bool{}
	err := p.unit(nil, func([]queue.Message) (rs []queue.Receipt, err error) {
		return p.broker.Transact(ctx, func(tx *queue.Tx) error {
			for i, n := range []int{s.a, s.b} {
				key := fmt.Sprint(n % 9)
				first, err := tx.Mark(ctx, "s", key)
				if want := !p.marks[key] && !told[key]; err != nil || first != want && !told[key] {
					return fmt.Errorf("key %s is marked: first %v, want %v: %w", key, first, want, err)
				}
				told[key] = true
				if marked = append(marked, key); first {
					x := p.message([]string{"in", "out"}[i], n)
					x.ID = ""
					ms = append(ms, x)
					if err := tx.Publish(x); err != nil {
						return err
					}
				}
			}
			if fails {
				return errUnit
			}
			return nil
		})
	})
	switch {
	case fails && errors.Is(err, errUnit):
		p.f.failed.Add(1)
		return p.compare()
	case fails || err != nil:
		return fmt.Errorf("a transaction that fails: %v: %w", fails, err)
	}
	for _, key := range marked {
		p.marks[key] = true
	}
	for _, x := range ms {
		p.append(x)
	}
	return nil
}

// receive takes up to n messages, and tells whether there were any.
func (p *unitPlay) receive(n int) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	dst := make([]queue.Handover, n)
	n, err := p.member.Receive(ctx, dst, queue.ReceiveLimits{})
	if err != nil {
		return false, nil
	}
	inWork := map[string]bool{}
	for i := range dst[:n] {
		p.held = append(p.held, unitHeld{p.member, dst[i]})
		// Several of a key may come in one call, in order: those behind the first are not overtaking.
		if err := p.receivedBehind(&dst[i], len(p.held), inWork); err != nil {
			return false, err
		}
	}
	return true, nil
}

// receivedBehind is received, for one that may come behind others of its key in one call.
func (p *unitPlay) receivedBehind(h *queue.Handover, token int, inWork map[string]bool) error {
	defer func() { inWork[string(h.Key)] = true }()
	if !inWork[string(h.Key)] {
		return p.received(h, token, p.f)
	}
	for _, x := range p.group {
		if x.value == string(h.Value) {
			return x.hand(h, token, p.f)
		}
		if x.key == string(h.Key) && x.done == undone && x.holder == 0 {
			return fmt.Errorf("value %s of key %s comes before value %s", h.Value, h.Key, x.value)
		}
	}
	return fmt.Errorf("value %s: nobody has published it", h.Value)
}

// settle gives an outcome of a hand-over of not long ago: done, with outputs or not, failed, or given back.
func (p *unitPlay) settle(s unitStep) error {
	if len(p.held) == 0 {
		return nil
	}
	token := max(1, len(p.held)-s.a%4)
	h := p.held[token-1]
	var x *unitMessage
	if i := slices.IndexFunc(p.group, func(x *unitMessage) bool { return x.holder == token }); i >= 0 && h.member == p.member {
		x = p.group[i]
	}
	ss := []queue.Settlement{{Handle: h.handover.Handle, Outcome: queue.SettleDone}}
	switch s.b % 6 {
	case 2:
		ss[0].Outcome = queue.SettleRetry
	case 4:
		ss[0].Outcome = queue.SettleRelease
	case 0, 3:
		ss[0].Publish = []queue.Message{p.message("out", 0), p.message("out", 0)}
	case 5:
		ss[0].Wait = true
	}
	h.member.Settle(context.Background(), ss)
	if x == nil {
		if p.f.stale.Add(1); !errors.Is(ss[0].Err, queue.ErrLeaseLost) && h.member == p.member {
			return fmt.Errorf("an outcome by a handle that is not current: %w, want ErrLeaseLost", ss[0].Err)
		}
		return p.compare()
	}
	if ss[0].Err != nil {
		return fmt.Errorf("an outcome of value %s: %w", x.value, ss[0].Err)
	}
	x.holder = 0
	switch ss[0].Outcome {
	case queue.SettleDone:
		p.f.done.Add(1)
		x.done, x.durable = done, ss[0].Wait || ss[0].Publish != nil
		for i := range ss[0].Publish {
			p.f.outputs.Add(1)
			p.append(ss[0].Publish[i])
		}
	case queue.SettleRetry:
		x.failed++
	}
	return nil
}

// crash kills the process or cuts the power.
func (p *unitPlay) crash(s unitStep) error {
	p.f.crashes.Add(1)
	after := p.disk.Killed()
	if mode := s.a % (disktest.Modes() + 1); mode < disktest.Modes() {
		after = p.disk.PowerLost(mode, uint64(s.b))
	}
	p.disk.Hook(func(disktest.Op) error { return errPower })
	now, cancel := context.WithCancel(context.Background())
	cancel()
	p.broker.Shutdown(now) // that it fails is what it is about
	p.disk = after
	p.close(true)
	return p.open()
}

// finish does all that is left, and wants everything to be done.
func (p *unitPlay) finish() error {
	for idle := 0; idle < 3; {
		some, err := p.receive(1)
		if err != nil {
			return err
		}
		if !some {
			idle++
		}
		for _, x := range p.group {
			if x.holder == 0 {
				continue
			}
			h := p.held[x.holder-1]
			if err := p.member.settle(h.handover, queue.SettleDone, 0); err != nil {
				return fmt.Errorf("value %s at the end: %w", x.value, err)
			}
			x.holder, x.done = 0, done
			idle = 0
		}
	}
	for _, x := range p.group {
		if x.done == undone {
			return fmt.Errorf("12: value %s is not done, and does not come", x.value)
		}
	}
	return p.compare()
}
