package embedded_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// storedBytes is about what is stored before it is read from the start: more than the caches of a processor hold.
const storedBytes = 96 << 20

// BenchmarkReplay is a reader without a group that reads a topic from the start, out of segments, after the queue was closed and opened. Against
// it stands a loop that reads a file of the same messages, checks each message's sum, and decodes it into a record that points to its bytes. Where
// records are owned by who reads them, the loop makes a buffer for each read, as it must; where they are borrowed, it has one. Messages were published one a
// call, so that each has sums of its own, or 100 a call.
func BenchmarkReplay(b *testing.B) {
	bySize(b, func(b *testing.B, size int) {
		for _, atOnce := range []int{1, 100} {
			b.Run(fmt.Sprintf("%d a call", atOnce), func(b *testing.B) {
				br, n := openStored(b, size, atOnce)
				raw := newRawReader(b, size, n)
				b.Run("owned", func(b *testing.B) {
					against(b, size, fromTheStart(b, br, false), raw.readFresh, "raw")
				})
				b.Run("borrowed", func(b *testing.B) {
					against(b, size, fromTheStart(b, br, true), raw.read, "raw")
				})
			})
		}
	})
}

// openStored opens a queue that was closed with a topic of about storedBytes in it, and returns how many messages these are.
func openStored(b *testing.B, size, atOnce int) (br *queue.Broker, n int) {
	b.Helper()
	dir := b.TempDir()
	br, err := embedded.Open(dir, embedded.Options{})
	must(b, err)
	must(b, br.EnsureTopic(b.Context(), "stored", queue.TopicConfig{Partitions: 1, Durability: queue.OS}))
	batch := make([]queue.Message, atOnce)
	for i := range batch {
		batch[i] = queue.Message{Topic: "stored", Value: make([]byte, size)}
	}
	for n*(size+rawHeader) < storedBytes {
		_, err := br.PublishBatch(context.Background(), batch...)
		must(b, err)
		n += len(batch)
	}
	must(b, br.Close())
	br, err = embedded.Open(dir, embedded.Options{})
	must(b, err)
	b.Cleanup(func() { must(b, br.Close()) })
	return br, n
}

// fromTheStart reads n messages from the start of the topic, and again from its start if there are not so many.
func fromTheStart(b *testing.B, br *queue.Broker, borrowed bool) contender {
	return func(n int) {
		for n > 0 {
			for r, err := range br.Read(b.Context(), queue.Range{Topic: "stored", From: queue.Earliest(), Borrowed: borrowed}) {
				if err != nil {
					b.Fatal(err)
				}
				use(r.Value)
				if n--; n == 0 {
					break
				}
			}
		}
	}
}

// use is what is done with a message.
//
//go:noinline
func use([]byte) {}

// rawReader is a file with messages, read over and over.
type rawReader struct {
	*rawLog
	written int64
	records []rawRecord
}

// rawRecord is what a message is decoded into.
type rawRecord struct {
	number uint64
	value  []byte
}

func newRawReader(b *testing.B, size, messages int) *rawReader {
	b.Helper()
	r := &rawReader{rawLog: newRawLog(b)}
	r.size = storedBytes * 2
	message := make([]byte, size)
	for i := range messages {
		r.buf = r.frame(r.buf, message, uint64(i))
		if len(r.buf) >= rawRead || i == messages-1 {
			r.write(r.buf)
			r.buf = r.buf[:0]
		}
	}
	r.written = r.pos
	r.buf = make([]byte, rawRead)
	return r
}

// read reads n messages from the start, and again from there if there are not so many, into one buffer.
func (r *rawReader) read(n int) { r.readInto(n, func() []byte { return r.buf }) }

// readFresh makes a buffer for each read, so that its messages are the receiver's.
func (r *rawReader) readFresh(n int) { r.readInto(n, func() []byte { return make([]byte, rawRead) }) }

func (r *rawReader) readInto(n int, buffer func() []byte) {
	for pos := int64(0); n > 0; pos %= r.written {
		buf := buffer()[:min(rawRead, r.written-pos)]
		if _, err := r.file.ReadAt(buf, pos); err != nil {
			r.tb.Error(err)
		}
		pos += int64(r.decode(buf))
		for i := range r.records[:min(n, len(r.records))] {
			use(r.records[i].value)
		}
		n -= len(r.records)
	}
}

// decode checks and decodes the whole messages in buf, and returns their bytes.
func (r *rawReader) decode(buf []byte) (bytes int) {
	r.records = r.records[:0]
	for rest := buf; len(rest) > rawHeader; rest = buf[bytes:] {
		end := rawHeader + int(binary.LittleEndian.Uint32(rest))
		if end > len(rest) {
			break
		}
		if crc32.Checksum(rest[rawHeader:end], castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			r.tb.Error("a message came back damaged")
		}
		r.records = append(r.records, rawRecord{binary.LittleEndian.Uint64(rest[8:]), rest[rawHeader:end:end]})
		bytes += end
	}
	return bytes
}
