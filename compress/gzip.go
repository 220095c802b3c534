package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// gzipCodec is RFC 1952. Its trailer has a sum, and the size, which is believed as a hint only: it stands at the end and is of the last member.
type gzipCodec struct {
	writers pool[*gzip.Writer]
	readers pool[*gzipReader]
}

// gzipReader is a decoder that is made when the first header was read.
type gzipReader struct {
	gzip.Reader
	src bytes.Reader
}

// Gzip returns the codec of RFC 1952: slow and dense, and read by everything. It expands several members, one behind the other.
func Gzip(l Level) Codec {
	levels := [...]int{Default: gzip.DefaultCompression, Fast: gzip.BestSpeed, Better: 7, Best: gzip.BestCompression}
	level := levels[min(l, Best)]
	c := &gzipCodec{}
	c.writers.make = func() *gzip.Writer {
		w, _ := gzip.NewWriterLevel(nil, level) // fails for levels that there are not
		return w
	}
	c.readers.make = func() *gzipReader { return new(gzipReader) }
	return c
}

func (c *gzipCodec) ID() ID       { return IDGzip }
func (c *gzipCodec) Name() string { return IDGzip.String() }

func (c *gzipCodec) AppendCompress(dst, src []byte) ([]byte, error) {
	w := c.writers.take()
	defer c.writers.give(w)
	out := appender{dst}
	w.Reset(&out)
	defer w.Reset(io.Discard) // lets go of out
	_, err := w.Write(src)
	if err := errors.Join(err, w.Close()); err != nil {
		return dst, err // cannot be: an appender takes everything
	}
	return out.p, nil
}

// appender is an io.Writer.
type appender struct{ p []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}

// maxDeflate is how many bytes one byte of a deflate stream can stand for.
const maxDeflate = 1032

func (c *gzipCodec) AppendExpand(dst, src []byte, limit int) ([]byte, error) {
	if len(src) == 0 {
		return dst, corrupt(IDGzip, errNothing)
	}
	r := c.readers.take()
	defer c.readers.give(r)
	r.src.Reset(src)
	defer r.src.Reset(nil) // lets go of src
	if err := r.Reset(&r.src); err != nil {
		return dst, corrupt(IDGzip, noEOF(err))
	}
	limit = max(limit, 0)
	hint := min(uint64(binary.LittleEndian.Uint32(src[len(src)-4:])), uint64(len(src))*maxDeflate, uint64(limit))
	out, err := appendAll(dst, r, limit, int(hint))
	if err != nil && err != ErrTooLarge {
		err = corrupt(IDGzip, err)
	}
	return out, err
}

// noEOF keeps an end that came too early from being taken for the end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
