package main

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"strconv"

	"github.com/leatmq/leat/queue"
)

// neverPast has a group stop rather than go past a line: what it would leave out as a dead letter would be missing from its files, however often the process was killed.
var neverPast = queue.Failure{MaxAttempts: -1, MaxCrashes: -1, Exhausted: queue.StopGroup}

// counter is a group that counts records.
type counter struct {
	file   string
	counts counts
}

// counts is stored as a whole, the last positions with what was counted up to them.
type counts struct {
	Last    map[int]queue.Position // by partition
	Lines   int64
	Records int64
	Bytes   int64            // sent, of access logs
	Status  map[string]int64 // requests by status, of access logs
	Clients map[string]int64 // requests by client, of access logs
}

func openCounter(dir string) (*counter, error) {
	c := &counter{file: filepath.Join(dir, "counts.json")}
	c.counts = counts{Last: map[int]queue.Position{}, Status: map[string]int64{}, Clients: map[string]int64{}}
	return c, load(c.file, &c.counts)
}

func (c *counter) consume(ctx context.Context, broker *queue.Broker) error {
	return broker.ConsumeBatch(ctx, queue.Group{
		Name: "counts", Topics: []string{"lines"}, Order: queue.ByPartition, Concurrency: 1,
		Batch:   queue.Batch{Messages: 1000},
		Failure: neverPast,
		Resume: func(_ context.Context, _ string, partition int) (queue.Position, error) {
			return c.counts.Last[partition], nil
		},
	}, c.count)
}

func (c *counter) count(_ context.Context, ds []*queue.Delivery) []error {
	next := c.counts.clone()
	for _, d := range ds {
		next.add(d)
	}
	if err := save(c.file, next); err != nil {
		return queue.FailAll(ds, err)
	}
	c.counts = next
	return nil
}

func (c counts) clone() counts {
	c.Last, c.Status, c.Clients = maps.Clone(c.Last), maps.Clone(c.Status), maps.Clone(c.Clients)
	return c
}

func (c *counts) add(d *queue.Delivery) {
	c.Last[d.Position.Partition()] = d.Position
	c.Records++
	c.Lines += int64(bytes.Count(d.Value, []byte("\n"))) + 1
	if !access.Match(d.Value) {
		return
	}
	fields := bytes.Fields(d.Value)
	c.Clients[string(fields[0])]++
	if len(fields) >= 10 {
		c.Status[string(fields[8])]++
		sent, _ := strconv.ParseInt(string(fields[9]), 10, 64) // "-" for nothing
		c.Bytes += sent
	}
}
