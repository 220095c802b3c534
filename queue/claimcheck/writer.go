package claimcheck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	gohash "hash"
	"io"

	"github.com/leatmq/leat/queue"
)

// Writer writes a value piece by piece. One of Publish and Abort must end it. It is not for concurrent use.
type Writer struct {
	s     *Store
	d     draft
	sum   gohash.Hash
	size  int64
	err   error // why nothing more is written
	ended bool
}

// Create begins a value. queue.ErrClosed, and those of the file system.
func (s *Store) Create() (*Writer, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	d, err := s.blobs.Create()
	if err != nil {
		s.leave()
		return nil, err
	}
	return &Writer{s: s, d: d, sum: sha256.New()}, nil
}

// Write adds to the value. Errors are queue.ErrTooLarge, queue.ErrFull, queue.ErrClosed and those of the file system; a writer that has failed goes on failing.
func (w *Writer) Write(p []byte) (int, error) {
	switch {
	case w.ended:
		return 0, queue.ErrClosed
	case w.err != nil:
		return 0, w.err
	case int64(len(p)) > w.s.o.MaxBytes-w.size:
		w.err = fmt.Errorf("%w: a value of more than %d bytes", queue.ErrTooLarge, w.s.o.MaxBytes)
		return 0, w.err
	}
	if w.err = w.s.take(int64(len(p))); w.err != nil {
		return 0, w.err
	}
	w.size += int64(len(p))
	w.sum.Write(p)
	n, err := w.d.Write(p)
	w.err = err
	return n, err
}

// Publish makes the value durable, and publishes m with a claim to it in place of m.Value. Errors are Write's and Broker.Publish's; with one the value is removed by a later sweep, if no message
// names it.
func (w *Writer) Publish(ctx context.Context, m queue.Message) (queue.Receipt, error) {
	p, err := w.finish("", "")
	if err != nil {
		return queue.Receipt{}, err
	}
	return w.s.publish(ctx, m, []part{p})
}

// Abort gives the value up. It does nothing behind Publish: defer it.
func (w *Writer) Abort() {
	if !w.ended {
		w.ended = true
		w.d.Discard()
		w.s.give(w.size)
		w.s.leave()
	}
}

// finish keeps the value, and pins it. Whoever calls it settles or releases the part.
func (w *Writer) finish(contentType, name string) (part, error) {
	if w.ended {
		return part{}, queue.ErrClosed
	}
	if w.err != nil {
		w.Abort()
		return part{}, w.err
	}
	w.ended = true
	p := part{size: w.size, contentType: contentType, name: name}
	w.sum.Sum(p.hash[:0])
	w.s.pin(p.hash) // before it is looked for, so that no sweep removes it behind that
	fresh, err := w.d.Keep(p.hash)
	if !fresh {
		w.s.give(w.size)
	}
	if err != nil {
		w.s.release([]part{p})
		return part{}, err
	}
	return p, nil
}

// copyBytes is how much is copied at a time.
const copyBytes = 64 << 10

// check stores what r has as a value.
func (s *Store) check(ctx context.Context, r io.Reader, contentType, name string) (part, error) {
	w, err := s.Create()
	if err != nil {
		return part{}, err
	}
	defer w.Abort()
	buf := make([]byte, copyBytes)
	for {
		if err := ctx.Err(); err != nil {
			return part{}, fmt.Errorf("%w: no time to store the value: %w", queue.ErrFull, err)
		}
		n, err := r.Read(buf)
		if _, err := w.Write(buf[:n]); err != nil {
			return part{}, err
		}
		switch {
		case err == io.EOF:
			return w.finish(contentType, name)
		case err != nil:
			return part{}, err
		}
	}
}

// Publish is Broker.Publish, with a claim in place of a value that is larger than Options.Threshold.
func (s *Store) Publish(ctx context.Context, m queue.Message) (queue.Receipt, error) {
	if len(m.Value) <= s.o.Threshold {
		return s.broker.Publish(ctx, m)
	}
	return s.PublishFrom(ctx, m, bytes.NewReader(m.Value))
}

// PublishFrom is Publish with what r has up to its end in place of m.Value. It takes no memory in proportion. Errors are Broker.Publish's, Writer.Write's, and r's.
func (s *Store) PublishFrom(ctx context.Context, m queue.Message, r io.Reader) (queue.Receipt, error) {
	first, err := io.ReadAll(io.LimitReader(r, int64(s.o.Threshold)+1))
	if err != nil {
		return queue.Receipt{}, err
	}
	if len(first) <= s.o.Threshold {
		m.Value = first
		return s.broker.Publish(ctx, m)
	}
	p, err := s.check(ctx, io.MultiReader(bytes.NewReader(first), r), "", "")
	if err != nil {
		return queue.Receipt{}, err
	}
	return s.publish(ctx, m, []part{p})
}

// Part is one of several values of a message.
type Part struct {
	Name        string
	ContentType string // as in MIME
	Body        io.Reader
}

// PublishParts publishes m with claims to all of parts, whatever their size, in place of m.Value: all or nothing. At most MaxParts.
func (s *Store) PublishParts(ctx context.Context, m queue.Message, parts ...Part) (queue.Receipt, error) {
	if len(parts) == 0 || len(parts) > MaxParts {
		return queue.Receipt{}, fmt.Errorf("%w: %d parts, from 1 to %d may be", ErrClaim, len(parts), MaxParts)
	}
	var ps []part
	for _, in := range parts {
		p, err := s.check(ctx, in.Body, in.ContentType, in.Name)
		if err != nil {
			s.release(ps)
			return queue.Receipt{}, err
		}
		ps = append(ps, p)
	}
	if n := len(appendClaim(nil, ps)); n > MaxClaimBytes {
		s.release(ps)
		return queue.Receipt{}, fmt.Errorf("%w: a claim of %d bytes: names and content types are too long", queue.ErrTooLarge, n)
	}
	return s.publish(ctx, m, ps)
}
