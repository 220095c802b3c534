package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leatmq/leat/queue"
)

// ledger is a group that notes what it has handled.
type ledger struct {
	group   string
	failing string // the order whose first attempt fails; "" for none
	mark    int    // reached is called when so many orders have been handled
	reached func()

	mu         sync.Mutex // guards what follows while the group works
	times      map[string]int
	last       map[string]int // by customer, the last order
	disordered int
	failed     int
	total      int
}

func newLedger(group string) *ledger {
	return &ledger{group: group, times: map[string]int{}, last: map[string]int{}}
}

func (l *ledger) consume(ctx context.Context, broker *queue.Broker) error {
	return broker.Consume(ctx, queue.Group{Name: l.group, Topics: []string{"orders"}}, l.handle)
}

func (l *ledger) handle(_ context.Context, d *queue.Delivery) error {
	var producer, order int
	if _, err := fmt.Sscanf(string(d.Value), "producer %d, order %d", &producer, &order); err != nil {
		return err
	}
	if d.Attempt == 1 && string(d.Value) == l.failing {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failed++
		return errors.New("the bank does not answer")
	}
	if l.note(string(d.Key), string(d.Value), order) == l.mark {
		l.reached()
	}
	return nil
}

// note returns how many orders have been handled.
func (l *ledger) note(customer, id string, order int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times[id]++
	l.total++
	if last, ok := l.last[customer]; ok && order <= last {
		l.disordered++
	}
	l.last[customer] = order
	return l.total
}
