package claimcheck

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// blobs keeps values by their hashes.
type blobs interface {
	// Create begins a value, whose name is not known yet.
	Create() (draft, error)
	// Open reads a value, or returns ErrMissing.
	Open(h hash) (io.ReadCloser, error)
	// List returns all values that are kept, with their sizes.
	List() (map[hash]int64, error)
	// Remove gives one up. One that is not there is no error.
	Remove(h hash) error
	// Close gives up what they are in. It is called once, and nothing behind it.
	Close() error
}

// draft is a value that is written. One of Keep and Discard ends it.
type draft interface {
	io.Writer
	// Keep makes what was written a value of that name, durable on return. fresh is false if it was there already.
	Keep(h hash) (fresh bool, err error)
	Discard()
}

// memory is blobs that end with the process.
type memory struct {
	mu   sync.Mutex
	kept map[hash][]byte // guarded by mu; the bytes do not change
}

func newMemory() *memory { return &memory{kept: map[hash][]byte{}} }

type memoryDraft struct {
	bytes.Buffer
	of *memory
}

func (m *memory) Create() (draft, error) { return &memoryDraft{of: m}, nil }

func (d *memoryDraft) Keep(h hash) (fresh bool, err error) {
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	if _, there := d.of.kept[h]; there {
		return false, nil
	}
	d.of.kept[h] = bytes.Clone(d.Bytes())
	return true, nil
}

func (d *memoryDraft) Discard() {}

// reading is a value in memory that is read.
type reading struct{ bytes.Reader }

func (*reading) Close() error { return nil }

func (m *memory) Open(h hash) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.kept[h]
	if !ok {
		return nil, fmt.Errorf("%w: %v", ErrMissing, h)
	}
	return &reading{*bytes.NewReader(b)}, nil
}

func (m *memory) List() (map[hash]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[hash]int64, len(m.kept))
	for h, b := range m.kept {
		all[h] = int64(len(b))
	}
	return all, nil
}

func (m *memory) Remove(h hash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, h)
	return nil
}

func (m *memory) Close() error { return nil }
