package compressed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

// The headers of a message whose value is compressed, and the one that a Selector is told of.
const (
	HeaderName        = "compression"      // the codec's name: gzip, snappy, s2, zstd
	HeaderSize        = "compression-size" // of the value before, in bytes, as a decimal number
	HeaderContentType = "content-type"
)

// claimHeader marks a claim of package claimcheck, which has to stay legible: what is named by no message that can be read is removed.
const claimHeader = "claim-check"

// Options says what a Compressor does. The zero value is as the comments say.
type Options struct {
	Selector compress.Selector // nil: zstd for what is likely to shrink, from 256 bytes on
	Codecs   compress.Set      // what may be expanded; the zero Set: all
	MaxBytes int               // most bytes that a value may expand to; 0: 8 MiB
}

// ErrOption says that MaxBytes is negative.
var ErrOption = errors.New("compressed: Options.MaxBytes must not be negative")

// ErrHeader says that the headers of a compressed message are not what Pack makes: the codec is unknown, or the size is no number.
var ErrHeader = errors.New("compressed: the headers of the message")

// Compressor packs and expands messages. It is safe for concurrent use.
type Compressor struct {
	packer *compress.Packer
	most   int
}

// New makes one. The error is ErrOption.
func New(o Options) (*Compressor, error) {
	if o.MaxBytes < 0 {
		return nil, fmt.Errorf("%w: %d", ErrOption, o.MaxBytes)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 8 << 20
	}
	if o.Selector == nil {
		o.Selector = compress.Adaptive(compress.Zstd(compress.Default), 0)
	}
	return &Compressor{compress.NewPacker(o.Selector, o.Codecs), o.MaxBytes}, nil
}

// Pack returns m with its value compressed and two headers more, which may be published as often as need be; or m, if its value is better left, is larger than it could be expanded to, or is compressed
// already or a claim check, by its headers. It does not change what m points to.
func (c *Compressor) Pack(m queue.Message) queue.Message {
	if len(m.Value) > c.most || has(m.Headers) || m.Headers.Get(claimHeader) != "" || len(m.Headers)+2 > queue.MaxHeaders {
		return m
	}
	out, id := c.packer.Append(nil, compress.Sample{Data: m.Value, ContentType: m.Headers.Get(HeaderContentType)})
	if id == 0 {
		return m
	}
	size := strconv.Itoa(len(m.Value))
	m.Value = out
	m.Headers = slices.Concat(m.Headers, queue.Headers{{Key: HeaderName, Value: []byte(id.String())}, {Key: HeaderSize, Value: []byte(size)}})
	return m
}

func has(h queue.Headers) bool {
	return slices.ContainsFunc(h, func(h queue.Header) bool { return h.Key == HeaderName })
}

// Expand makes m what it was before it was packed; a message that was not stays as it is. Errors, with which m is as it was, are ErrHeader, compress.ErrTooLarge for what would be more than
// Options.MaxBytes, compress.ErrCorrupt and compress.ErrUnknown.
func (c *Compressor) Expand(m *queue.Message) error {
	if !has(m.Headers) {
		return nil
	}
	id, ok := compress.ByName(m.Headers.Get(HeaderName))
	if !ok {
		return fmt.Errorf("%w: %s is %.100q", ErrHeader, HeaderName, m.Headers.Get(HeaderName))
	}
	size := -1
	if s := m.Headers.Get(HeaderSize); s != "" {
		n, err := strconv.ParseUint(s, 10, strconv.IntSize-1)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrHeader, HeaderSize, err)
		}
		size = int(n)
	}
	value, err := c.packer.Expand([]byte{}, m.Value, id, size, c.most)
	if err != nil {
		return err
	}
	m.Value = value
	m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), func(h queue.Header) bool { return h.Key == HeaderName || h.Key == HeaderSize })
	return nil
}

// Handler returns a handler that expands what h gets. A message that cannot be expanded fails for good, with what is stored of it in its dead letter.
func (c *Compressor) Handler(h queue.Handler) queue.Handler {
	return func(ctx context.Context, d *queue.Delivery) error {
		if err := c.Expand(&d.Message); err != nil {
			return retry.Permanent(err)
		}
		return h(ctx, d)
	}
}

// BatchHandler is the same for batches: h gets those that could be expanded.
func (c *Compressor) BatchHandler(h queue.BatchHandler) queue.BatchHandler {
	return func(ctx context.Context, ds []*queue.Delivery) []error {
		errs := make([]error, len(ds))
		var whole []*queue.Delivery
		for i, d := range ds {
			if err := c.Expand(&d.Message); err != nil {
				errs[i] = retry.Permanent(err)
				continue
			}
			whole = append(whole, d)
		}
		if len(whole) == 0 {
			return errs
		}
		return merge(errs, h(ctx, whole), len(whole))
	}
}

// merge puts what a batch handler returned for n deliveries where errs has nothing.
func merge(errs, more []error, n int) []error {
	if more != nil && len(more) != n {
		wrong := fmt.Errorf("compressed: the batch handler returned %d errors for %d messages", len(more), n)
		more = slices.Repeat([]error{wrong}, n)
	}
	next := 0
	for i := range errs {
		if errs[i] != nil || more == nil {
			continue
		}
		errs[i] = more[next]
		next++
	}
	return errs
}

// Stats returns what was packed, expanded and left so far, and what that took.
func (c *Compressor) Stats() compress.Stats { return c.packer.Stats() }
