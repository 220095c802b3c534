package embedded_test

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// rawLog is a recycled file: written once with zeros, and then over and over. What it does is the least that can be done for a promise.
type rawLog struct {
	tb   testing.TB
	file *os.File
	size int64
	pos  int64
	buf  []byte
}

const (
	rawBytes  = 64 << 20 // of the file
	rawSector = 4096
	rawHeader = 16 // of a message: length, sum, number
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newRawLog(b *testing.B) *rawLog { return newRawLogOf(b, 1<<20) }

// newRawLogOf is a log whose file is zeroed in pieces of that size: on Linux 6.18 with ext4, small writes take a third of the time if it is small.
func newRawLogOf(b *testing.B, piece int) *rawLog {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	must(b, err)
	b.Cleanup(func() { f.Close() })
	zeros := make([]byte, piece)
	for at := int64(0); at < rawBytes; at += int64(len(zeros)) {
		_, err := f.WriteAt(zeros, at)
		must(b, err)
	}
	must(b, fdatasync(f))
	return &rawLog{tb: b, file: f, size: rawBytes}
}

// frame appends a message with its length and sum to dst.
func (l *rawLog) frame(dst, message []byte, number uint64) []byte {
	var h [rawHeader]byte
	binary.LittleEndian.PutUint32(h[:], uint32(len(message)))
	binary.LittleEndian.PutUint32(h[4:], crc32.Checksum(message, castagnoli))
	binary.LittleEndian.PutUint64(h[8:], number)
	return append(append(dst, h[:]...), message...)
}

// write writes p behind what was written, or at the front if it does not fit, and returns where.
func (l *rawLog) write(p []byte) int64 {
	if l.pos+int64(len(p)) > l.size {
		l.pos = 0
	}
	at := l.pos
	if _, err := l.file.WriteAt(p, at); err != nil {
		l.tb.Error(err)
	}
	l.pos += int64(len(p))
	return at
}

func (l *rawLog) sync() {
	if err := fdatasync(l.file); err != nil {
		l.tb.Error(err)
	}
}

// writes is a write call for every message.
func (l *rawLog) writes(message []byte) contender {
	return func(n int) {
		for i := range n {
			l.buf = l.frame(l.buf[:0], message, uint64(i))
			l.write(l.buf)
		}
	}
}

// syncedWrites is a write call and a sync for every message, in a sector of its own, so that no later write tears it.
func (l *rawLog) syncedWrites(message []byte) contender {
	sectors := make([]byte, (rawHeader+len(message)+rawSector-1)/rawSector*rawSector)
	return func(n int) {
		for i := range n {
			l.frame(sectors[:0], message, uint64(i))
			l.write(sectors)
			l.sync()
		}
	}
}

// rawGroups is group commit: whoever comes while nobody writes writes what has gathered and wakes all of it.
type rawGroups struct {
	log *rawLog

	mu      sync.Mutex
	writing bool      // guarded by mu
	open    *rawGroup // guarded by mu
	spare   []byte    // guarded by mu
	next    uint64    // guarded by mu
}

type rawGroup struct {
	buf  []byte
	done chan struct{}
	lead chan struct{} // of one; has a value when a member is to write the group
}

func newRawGroups(l *rawLog) *rawGroups { return &rawGroups{log: l, open: newRawGroup(nil)} }

func newRawGroup(buf []byte) *rawGroup {
	return &rawGroup{buf: buf[:0], done: make(chan struct{}), lead: make(chan struct{}, 1)}
}

func (g *rawGroups) publish(message []byte) {
	g.mu.Lock()
	o := g.open
	o.buf = g.log.frame(o.buf, message, g.next)
	g.next++
	mine := !g.writing
	g.writing = true
	g.mu.Unlock()
	if !mine {
		select {
		case <-o.done:
			return
		case <-o.lead:
		}
	}
	g.commit()
}

// yields lets all whom the sync before has woken join, so that they do not split into two cohorts.
const yields = 16

func (g *rawGroups) commit() {
	for range yields {
		runtime.Gosched()
	}
	g.mu.Lock()
	o := g.open
	g.open = newRawGroup(g.spare)
	g.spare = nil
	g.mu.Unlock()
	pad := -len(o.buf) & (rawSector - 1)
	o.buf = append(o.buf, make([]byte, pad)...)
	g.log.write(o.buf)
	g.log.sync()
	g.mu.Lock()
	g.spare = o.buf
	g.writing = len(g.open.buf) > 0
	if g.writing {
		g.open.lead <- struct{}{}
	}
	g.mu.Unlock()
	close(o.done)
}

// by has n messages moved by so many goroutines at once.
func by(goroutines int, one func(goroutine int)) contender {
	return func(n int) {
		var left atomic.Int64
		left.Store(int64(n))
		var wg sync.WaitGroup
		for g := range min(goroutines, n) {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					one(g)
				}
			})
		}
		wg.Wait()
	}
}
