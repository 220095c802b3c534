package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/leatmq/leat/queue"
)

// archive is a group that writes the records of each partition to a file.
type archive struct {
	dir    string
	files  map[int]*os.File
	places map[int]place // by partition; what the files hold beyond them does not count
}

// place is how far one file came.
type place struct {
	Last    queue.Position // of the last record in it
	Size    int64
	Records int64
}

func openArchive(dir string) (*archive, error) {
	a := &archive{dir: dir, files: map[int]*os.File{}, places: map[int]place{}}
	if err := os.MkdirAll(filepath.Join(dir, "archive"), 0o700); err != nil {
		return nil, err
	}
	return a, load(filepath.Join(dir, "archive.json"), &a.places)
}

func (a *archive) consume(ctx context.Context, broker *queue.Broker) error {
	err := broker.ConsumeBatch(ctx, queue.Group{
		Name: "archive", Topics: []string{"lines"}, Order: queue.ByPartition, Concurrency: 1, Resume: a.resume,
		Batch:   queue.Batch{Messages: 1000},
		Failure: neverPast,
	}, a.write)
	for _, f := range a.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// resume runs when the group gets a partition. What a killed run wrote behind the last place is cut.
func (a *archive) resume(_ context.Context, topic string, partition int) (queue.Position, error) {
	name := filepath.Join(a.dir, "archive", fmt.Sprintf("%s-%d.log", topic, partition))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return queue.Position{}, err
	}
	a.files[partition] = f
	if info, err := f.Stat(); err != nil {
		return queue.Position{}, err
	} else if info.Size() < a.places[partition].Size {
		delete(a.places, partition) // somebody cut it: all of it comes again
	}
	return a.places[partition].Last, f.Truncate(a.places[partition].Size)
}

// write appends to the files first and stores their new places then: until that, nothing has happened.
func (a *archive) write(_ context.Context, ds []*queue.Delivery) []error {
	places, text := maps.Clone(a.places), map[int][]byte{}
	for _, d := range ds {
		n := d.Position.Partition()
		text[n] = append(append(text[n], d.Value...), '\n')
		places[n] = place{d.Position, a.places[n].Size + int64(len(text[n])), places[n].Records + 1}
	}
	for n, t := range text {
		if _, err := a.files[n].WriteAt(t, a.places[n].Size); err != nil {
			return queue.FailAll(ds, err)
		}
		if err := a.files[n].Sync(); err != nil {
			return queue.FailAll(ds, err)
		}
	}
	if err := save(filepath.Join(a.dir, "archive.json"), places); err != nil {
		return queue.FailAll(ds, err)
	}
	a.places = places
	return nil
}

func (a *archive) records() (n int64) {
	for _, p := range a.places {
		n += p.Records
	}
	return n
}
