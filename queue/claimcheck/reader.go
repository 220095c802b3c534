package claimcheck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	gohash "hash"
	"io"
	"slices"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

// Reader reads a value from its beginning to its end, where it is compared with what was stored: ErrDamaged comes in place of io.EOF, so whoever must not act on damaged
// bytes acts at io.EOF. It must be closed, and is not for concurrent use.
type Reader struct {
	from io.ReadCloser
	want part
	sum  gohash.Hash // nil: there is nothing to compare with
	read int64
}

// Size is how many bytes there are.
func (r *Reader) Size() int64 { return r.want.size }

// Read is io.Reader's.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.read += int64(n)
	if r.sum == nil {
		return n, err
	}
	r.sum.Write(p[:n])
	switch {
	case r.read > r.want.size:
		return 0, fmt.Errorf("%w: %v has more than %d bytes", ErrDamaged, r.want.hash, r.want.size)
	case err == io.EOF && hash(r.sum.Sum(nil)) != r.want.hash:
		return n, fmt.Errorf("%w: %v", ErrDamaged, r.want.hash)
	}
	return n, err
}

// Close is io.Closer's.
func (r *Reader) Close() error { return r.from.Close() }

func (s *Store) read(p part) (*Reader, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	f, err := s.blobs.Open(p.hash)
	if err != nil {
		return nil, err
	}
	return &Reader{from: f, want: p, sum: sha256.New()}, nil
}

// StoredPart is one of the values of a message. Name and ContentType are empty where the message has one value that was not published as a part.
type StoredPart struct {
	Name, ContentType string
	Size              int64

	open func() (*Reader, error)
}

// Open reads the part. Errors are ErrMissing and those of the file system.
func (p StoredPart) Open() (*Reader, error) { return p.open() }

// Parts lists the values of m: one of a message without a claim, which is m.Value. The error is ErrClaim.
func (s *Store) Parts(m *queue.Message) ([]StoredPart, error) {
	if !isClaim(m) {
		value := m.Value
		return []StoredPart{{Size: int64(len(value)), open: func() (*Reader, error) { return plain(value), nil }}}, nil
	}
	ps, err := parseClaim(m.Value)
	if err != nil {
		return nil, err
	}
	var stored []StoredPart
	for _, p := range ps {
		stored = append(stored, StoredPart{p.name, p.contentType, p.size, func() (*Reader, error) { return s.read(p) }})
	}
	return stored, nil
}

func plain(value []byte) *Reader {
	return &Reader{from: io.NopCloser(bytes.NewReader(value)), want: part{size: int64(len(value))}}
}

// Open reads the value of m, from its claim or as it is. Of a message of several parts it is ErrClaim; other errors are those of StoredPart.Open.
func (s *Store) Open(m *queue.Message) (*Reader, error) {
	ps, err := s.Parts(m)
	if err != nil {
		return nil, err
	}
	if len(ps) > 1 {
		return nil, fmt.Errorf("%w to one value: %d parts", ErrClaim, len(ps))
	}
	return ps[0].Open()
}

// Fetch makes m what it was before it was published, with its whole value in memory, if that is at most most bytes: else it is queue.ErrTooLarge, before anything is read. Other errors are Open's, and
// ErrDamaged; with one, m is as it was.
func (s *Store) Fetch(m *queue.Message, most int) error {
	if !isClaim(m) {
		return nil
	}
	r, err := s.Open(m)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Size() > int64(most) {
		return fmt.Errorf("%w: a value of %d bytes, %d are allowed", queue.ErrTooLarge, r.Size(), most)
	}
	value, err := io.ReadAll(io.LimitReader(r, r.Size()+1))
	if err != nil {
		return err
	}
	m.Value = value
	m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), func(h queue.Header) bool { return h.Key == Header })
	return nil
}

// Handler returns a handler that fetches the values of what h gets. A message whose value is too large, damaged, missing or no claim fails for good.
func (s *Store) Handler(most int, h queue.Handler) queue.Handler {
	return func(ctx context.Context, d *queue.Delivery) error {
		if err := s.Fetch(&d.Message, most); err != nil {
			for _, lasting := range []error{queue.ErrTooLarge, ErrDamaged, ErrMissing, ErrClaim} {
				if errors.Is(err, lasting) {
					return retry.Permanent(err)
				}
			}
			return err
		}
		return h(ctx, d)
	}
}
