package queue

import (
	"slices"
	"time"

	"github.com/leatmq/leat/backpressure"
)

// outbox is what a Publisher holds of one topic. It has a goroutine, which ends when it holds nothing.
type outbox struct {
	p       *Publisher
	topic   string
	wake    chan struct{} // of one; the first parcel may be due sooner than was known
	parcels []*parcel     // guarded by p.mu; those that wait, oldest first. All but the last are full
	sending *outcome      // guarded by p.mu; of the parcel that is on its way. nil: none is
}

// parcel is messages that go together, with copies of their bytes. It is used again.
type parcel struct {
	messages []Message
	bytes    int                 // of keys, values and headers
	weight   backpressure.Weight // in the buffer
	memory   []byte
	headers  []Header
	opened   time.Time
	hurried  bool // guarded by p.mu; it does not linger
	outcome  *outcome
}

// add puts a copy of m behind what is there. p.mu is held.
func (o *outbox) add(m *Message, weight backpressure.Weight) Pending {
	c := o.open(m.Size())
	i := len(c.messages)
	c.add(m)
	c.weight = c.weight.Plus(weight)
	if c.full(&o.p.o) {
		o.rouse()
	}
	return Pending{c.outcome, i}
}

// open returns the last parcel if there is room in it, else a new one.
func (o *outbox) open(size int) *parcel {
	if n := len(o.parcels); n > 0 {
		c := o.parcels[n-1]
		if !c.full(&o.p.o) && c.bytes+size <= o.p.o.BatchBytes {
			return c
		}
		o.rouse()
	}
	c := o.p.parcels.Get().(*parcel)
	c.outcome = &outcome{p: o.p, topic: o.topic, settled: make(chan struct{})}
	c.opened = time.Now()
	o.parcels = append(o.parcels, c)
	return c
}

func (c *parcel) full(o *PublisherOptions) bool {
	return len(c.messages) >= o.BatchMessages || c.bytes >= o.BatchBytes
}

func (o *outbox) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// hurry has everything sent without lingering, and appends the outcomes of all that is held to held. p.mu is held.
func (o *outbox) hurry(held []*outcome) []*outcome {
	if o.sending != nil {
		held = append(held, o.sending)
	}
	for _, c := range o.parcels {
		c.hurried = true
		held = append(held, c.outcome)
	}
	o.rouse()
	return held
}

func (o *outbox) run() {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		c := o.next(t)
		if c == nil {
			return
		}
		o.p.send(c)
	}
}

// next returns the first parcel when it is due. If there is none, the outbox is no longer its publisher's, and it returns nil.
func (o *outbox) next(t *time.Timer) *parcel {
	p := o.p
	p.mu.Lock()
	defer p.mu.Unlock()
	o.sending = nil
	for len(o.parcels) > 0 {
		c := o.parcels[0]
		wait := p.o.Linger - time.Since(c.opened)
		if len(o.parcels) > 1 || c.full(&p.o) || c.hurried || wait <= 0 {
			o.parcels = slices.Delete(o.parcels, 0, 1)
			o.sending = c.outcome
			return c
		}
		p.mu.Unlock()
		t.Reset(wait)
		select {
		case <-t.C:
		case <-o.wake:
		}
		p.mu.Lock()
	}
	delete(p.outboxes, o.topic)
	return nil
}

// add copies m.
func (c *parcel) add(m *Message) {
	own := *m
	own.Key, own.Value = c.copy(m.Key), c.copy(m.Value)
	if len(m.Headers) > 0 {
		own.Headers = c.copyHeaders(m.Headers)
	}
	c.messages = append(c.messages, own)
	c.bytes += m.Size()
}

// copy copies b behind what the parcel has. What is full stays with those who have a part of it.
func (c *parcel) copy(b []byte) []byte {
	switch {
	case b == nil:
		return nil
	case len(b) == 0:
		return []byte{}
	}
	at := len(c.memory)
	if cap(c.memory)-at < len(b) {
		c.memory, at = make([]byte, 0, max(4096, 2*cap(c.memory), len(b))), 0
	}
	c.memory = append(c.memory, b...)
	return c.memory[at:len(c.memory):len(c.memory)]
}

func (c *parcel) copyHeaders(hs Headers) Headers {
	at := len(c.headers)
	if cap(c.headers)-at < len(hs) {
		c.headers, at = make([]Header, 0, max(64, 2*cap(c.headers), len(hs))), 0
	}
	for i := range hs {
		c.headers = append(c.headers, Header{Key: hs[i].Key, Value: c.copy(hs[i].Value)})
	}
	return c.headers[at:len(c.headers):len(c.headers)]
}

// recycle keeps the parcel's memory for another, unless a large message made it large.
func (p *Publisher) recycle(c *parcel) {
	if cap(c.memory) > 4*p.o.BatchBytes {
		c.memory = nil
	}
	clear(c.messages)
	clear(c.headers)
	*c = parcel{messages: c.messages[:0], memory: c.memory[:0], headers: c.headers[:0]}
	p.parcels.Put(c)
}
