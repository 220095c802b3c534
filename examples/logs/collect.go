package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/leatmq/leat/queue"
)

// What is published in one step.
const (
	batchRecords = 500
	batchBytes   = 256 << 10
)

// collect publishes what the files hold beyond what earlier runs published.
func collect(ctx context.Context, broker *queue.Broker, files []string) error {
	published := map[string]int64{} // by file, the place behind the last record that was published
	for r, err := range broker.Read(ctx, queue.Range{Topic: "positions"}) {
		if err != nil {
			return err
		}
		at, err := strconv.ParseInt(string(r.Value), 10, 64)
		if err != nil {
			return fmt.Errorf("position of %s: %w", r.Key, err)
		}
		published[string(r.Key)] = at
	}
	for _, name := range files {
		name, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		if err := collectFile(ctx, broker, name, published[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// collectFile publishes the records of a file from at on. Records and the place behind them are one commit.
func collectFile(ctx context.Context, broker *queue.Broker, name string, at int64) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return err
	}
	var batch []queue.Message
	bytes := 0
	flush := func() error {
		batch = append(batch, queue.Message{Topic: "positions", Key: []byte(name), Value: strconv.AppendInt(nil, at, 10)})
		_, err := broker.PublishBatch(ctx, batch...)
		batch, bytes = batch[:0], 0
		return err
	}
	for r, err := range records(file) {
		if err != nil {
			return err
		}
		batch = append(batch, queue.Message{Topic: "lines", Key: r.key(name), Value: r.text})
		bytes += len(r.text)
		at += int64(r.length)
		if len(batch) == batchRecords || bytes >= batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return flush()
}
