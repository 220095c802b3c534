package core

import (
	"context"
	"time"

	"github.com/leatmq/leat/storage"
)

// Face is the part of storage.Store that a Core serves. Stores embed it, so that they show these methods and no others of the Core.
type Face struct{ core *Core }

// Face returns c's face.
func (c *Core) Face() Face { return Face{c} }

// CreateTopic implements storage.Store.
func (f Face) CreateTopic(ctx context.Context, s storage.TopicSpec) (storage.Topic, error) {
	return f.core.CreateTopic(ctx, s)
}

// Topic implements storage.Store.
func (f Face) Topic(name string) (storage.Topic, bool) { return f.core.Catalog.Topic(name) }

// Topics implements storage.Store.
func (f Face) Topics() []storage.Topic { return f.core.Catalog.Topics() }

// AlterTopic implements storage.Store.
func (f Face) AlterTopic(ctx context.Context, name string, s storage.Strategy, settings []byte) error {
	return f.core.AlterTopic(ctx, name, s, settings)
}

// GrowTopic implements storage.Store.
func (f Face) GrowTopic(ctx context.Context, name string, total int) (storage.Topic, error) {
	return f.core.GrowTopic(ctx, name, total)
}

// DeleteTopic implements storage.Store.
func (f Face) DeleteTopic(ctx context.Context, name string) error {
	return f.core.DeleteTopic(ctx, name)
}

// DeleteGroup implements storage.Store.
func (f Face) DeleteGroup(ctx context.Context, name string) error {
	return f.core.DeleteGroup(ctx, name)
}

// Trim implements storage.Store.
func (f Face) Trim(ctx context.Context, p storage.PartitionID, first int64) error {
	return f.core.Trim(ctx, p, first)
}

// CreateGroup implements storage.Store.
func (f Face) CreateGroup(ctx context.Context, name string) (storage.Group, error) {
	return f.core.CreateGroup(ctx, name)
}

// Groups implements storage.Store.
func (f Face) Groups() []storage.Group { return f.core.Catalog.Groups() }

// Append implements storage.Store.
func (f Face) Append(ctx context.Context, e *storage.Entry) (storage.Durability, error) {
	return f.core.Append(ctx, e)
}

// Read implements storage.Store.
func (f Face) Read(dst []storage.Record, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	return f.core.Read(dst, p, from, maxBytes)
}

// ReadInto implements storage.Store.
func (f Face) ReadInto(dst []storage.Record, buf *[]byte, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	return f.core.ReadInto(dst, buf, p, from, maxBytes)
}

// ReadInPlace implements storage.Lender.
func (f Face) ReadInPlace(dst []storage.Record, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, storage.Loan, error) {
	return f.core.ReadInPlace(dst, p, from, maxBytes)
}

// Bounds implements storage.Store.
func (f Face) Bounds(p storage.PartitionID) (storage.Bounds, error) { return f.core.Bounds(p) }

// OffsetAt implements storage.Store.
func (f Face) OffsetAt(p storage.PartitionID, t time.Time) (int64, error) {
	return f.core.OffsetAt(p, t)
}

// Ordinal implements storage.Store.
func (f Face) Ordinal(p storage.PartitionID, offset int64) (int64, error) {
	return f.core.Ordinal(p, offset)
}

// Watch implements storage.Store.
func (f Face) Watch(p storage.PartitionID, w *storage.Watcher) (func(), error) {
	return f.core.Watch(p, w)
}

// Cursor implements storage.Store.
func (f Face) Cursor(g storage.GroupID, p storage.PartitionID) (storage.Cursor, bool) {
	return f.core.Cursor(g, p)
}

// Stopped implements storage.Store.
func (f Face) Stopped() <-chan struct{} { return f.core.Stopped() }

// StopCause implements storage.Store.
func (f Face) StopCause() error { return f.core.StopCause() }
