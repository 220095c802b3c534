package embedded_test

import (
	"encoding/binary"
	"hash/crc32"
	"sync"
)

// rawPipe is a log that one goroutine writes and another reads back. It keeps all that was written, for readers who come later, so its file
// grows; and its reader owns what it read, as a handler owns its message.
type rawPipe struct {
	*rawLog
	positions *rawLog
	message   []byte
	atOnce    int            // messages of one write
	arrive    func(m []byte) // called with each that was read; nil: nobody is told

	mu       sync.Mutex
	changed  sync.Cond // on mu
	written  int64     // guarded by mu; bytes
	read     int64     // of these; the reader's, as is what follows
	finished int64     // messages that were handled
}

const (
	rawRead  = 256 << 10 // bytes of one read
	rawEvery = 1000      // messages between two writes of the position
)

func (p *rawPipe) move(n int) {
	p.changed.L = &p.mu
	var reader sync.WaitGroup
	reader.Go(func() { p.consume(n) })
	for n > 0 {
		k := min(n, p.atOnce)
		p.buf = p.buf[:0]
		for range k {
			p.buf = p.frame(p.buf, p.message, uint64(n))
		}
		p.append(p.buf)
		n -= k
	}
	reader.Wait()
}

// append writes buf behind all that was written.
func (p *rawPipe) append(buf []byte) {
	if _, err := p.file.WriteAt(buf, p.written); err != nil {
		p.tb.Error(err)
	}
	p.mu.Lock()
	p.written += int64(len(buf))
	p.mu.Unlock()
	p.changed.Signal()
}

// consume reads and handles n messages.
func (p *rawPipe) consume(n int) {
	frame := int64(rawHeader + len(p.message))
	for n > 0 {
		p.mu.Lock()
		for p.written-p.read < frame {
			p.changed.Wait()
		}
		size := min(p.written-p.read, rawRead)
		p.mu.Unlock()
		buf := make([]byte, size/frame*frame)
		if _, err := p.file.ReadAt(buf, p.read); err != nil {
			p.tb.Error(err)
		}
		for rest := buf; len(rest) > 0; n-- {
			rest = p.handle(rest)
		}
		p.read += int64(len(buf))
	}
	p.note()
}

// handle takes a message off buf, checks its sum, and counts it. It returns the rest.
func (p *rawPipe) handle(buf []byte) []byte {
	end := rawHeader + int(binary.LittleEndian.Uint32(buf))
	if crc32.Checksum(buf[rawHeader:end], castagnoli) != binary.LittleEndian.Uint32(buf[4:]) {
		p.tb.Error("a message came back damaged")
	}
	if p.arrive != nil {
		p.arrive(buf[rawHeader:end])
	}
	if p.finished++; p.finished%rawEvery == 0 {
		p.note()
	}
	return buf[end:]
}

// note writes how far the reader came.
func (p *rawPipe) note() {
	var position [8]byte
	binary.LittleEndian.PutUint64(position[:], uint64(p.finished))
	p.positions.buf = p.positions.frame(p.positions.buf[:0], position[:], uint64(p.finished))
	p.positions.write(p.positions.buf)
}

// throughChannel sends messages of a size from one goroutine to another, each a copy.
func throughChannel(size int) contender {
	value := make([]byte, size)
	return func(n int) {
		c := make(chan []byte, 1024)
		var reader sync.WaitGroup
		reader.Go(func() {
			for range c {
			}
		})
		for range n {
			c <- append([]byte(nil), value...)
		}
		close(c)
		reader.Wait()
	}
}
