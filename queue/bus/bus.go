package bus

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

// Options of a Bus. The zero value is as the comments say.
type Options struct {
	Name    string        // letters, digits, '_' and '-'; one of several buses that ask over one broker has its own; "": main
	Timeout time.Duration // of a Call whose context has no deadline; 0: 30s
	Rescan  time.Duration // how often subscribers to patterns look for topics that came or went; 0: 1s
	Calls   int           // that wait for answers at a time; one more is queue.ErrFull; 0: 10,000
}

const (
	defaultName    = "main"
	defaultTimeout = 30 * time.Second
	defaultRescan  = time.Second
	defaultCalls   = 10_000
)

// Bus subscribes and asks, over a broker that is the caller's. All methods may be called at the same time. It must be closed, before the broker.
type Bus struct {
	broker *queue.Broker
	o      Options
	calls  chan struct{} // a token for each that waits

	life    context.Context // of what reads answers
	end     context.CancelFunc
	reading sync.WaitGroup

	mu      sync.Mutex
	inboxes map[bool]*inbox // guarded by mu; by whether the answers are to topics in memory
	classes map[string]bool // guarded by mu; by topic, whether it is in memory
}

// New makes a bus over b, which starts nothing yet. A *queue.ConfigError tells of options that cannot be.
func New(b *queue.Broker, o Options) (*Bus, error) {
	o, err := o.withDefaults(b != nil)
	if err != nil {
		return nil, err
	}
	bus := &Bus{broker: b, o: o, calls: make(chan struct{}, o.Calls), inboxes: map[bool]*inbox{}, classes: map[string]bool{}}
	bus.life, bus.end = context.WithCancel(context.Background())
	return bus, nil
}

func (o Options) withDefaults(broker bool) (Options, error) {
	e := &queue.ConfigError{Subject: "bus"}
	check := func(ok bool, field, have, rule string) {
		if !ok {
			e.Faults = append(e.Faults, queue.Fault{Field: field, Have: have, Rule: rule})
		}
	}
	if o.Name == "" {
		o.Name = defaultName
	}
	p, rule := parse(o.Name)
	check(broker, "broker", "", "must not be nil")
	check(rule == "" && len(p) == 1 && p[0] != one && p[0] != some && len(o.Name) <= 64, "Name", strconv.Quote(o.Name), "one word of letters, digits, '_' and '-', at most 64")
	check(o.Timeout >= 0 && o.Timeout <= queue.MaxAhead, "Timeout", o.Timeout.String(), "not negative, at most 100 years")
	check(o.Rescan >= 0, "Rescan", o.Rescan.String(), "not negative")
	check(o.Calls >= 0, "Calls", strconv.Itoa(o.Calls), "not negative")
	if len(e.Faults) > 0 {
		return o, e
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Rescan == 0 {
		o.Rescan = defaultRescan
	}
	if o.Calls == 0 {
		o.Calls = defaultCalls
	}
	return o, nil
}

// Close ends what reads answers, and calls that wait for them with queue.ErrClosed. Subscribers end with their own contexts. Closing again is fine. It returns nil.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.end() // under mu, so that nobody begins to read afterwards
	b.mu.Unlock()
	b.reading.Wait()
	return nil
}

// uniqueName is a name that nobody has.
func (b *Bus) uniqueName() string { return "bus." + b.o.Name + "." + rand.Text() }

// can tells whether the engine has a feature.
func (b *Bus) can(f queue.Feature) bool {
	_, ok := b.broker.Engine().Capabilities().Features[f]
	return ok
}
