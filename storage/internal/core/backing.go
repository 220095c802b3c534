package core

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Backing is a file in which frames lie that are committed, and neither in memory nor in Older: an open leaves what it replays where it is. File
// is read by several goroutines at once.
type Backing struct {
	File io.ReaderAt
	Name string
	Seed frame.Seed
}

// NewBacked returns a block whose bytes are those of a file. It takes no memory, and nothing is put into it; its frames are in no tail any more once
// they are spilled, so that the file may be written over then.
func NewBacked(f *Backing) *Block {
	b := &Block{backing: f}
	b.refs.Store(1)
	return b
}

// backed tells whether the frame is in a file.
func (f *tailFrame) backed() bool { return f.block.backing != nil }

// frameWindow reads frames of files, mostly one behind the other.
type frameWindow struct {
	ahead int // bytes to read at once
	file  *Backing
	buf   []byte
	from  int64 // position of buf in file
}

// frame returns the whole frame f, both sums checked, valid until the next call. What is wrong with it is a *storage.DamageError.
func (w *frameWindow) frame(f *tailFrame, p storage.PartitionID) ([]byte, error) {
	at, size := int64(f.body)-frame.HeaderSize, frame.Size(int(f.bodyLen))
	b, err := w.bytes(f.block.backing, at, size)
	if errors.Is(err, fs.ErrClosed) {
		return nil, storage.ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("storage: reading %s: %w", w.file.Name, err)
	}
	h, err := frame.Parse(b, w.file.Seed)
	if err == nil && (h.LSN != f.lsn || h.Base != f.base || h.BodyLen != f.bodyLen || h.Partition != uint32(p)) {
		err = fmt.Errorf("frame %x stands where frame %x was", uint64(h.LSN), uint64(f.lsn))
	}
	if err == nil && len(b) < size {
		err = frame.ErrShort
	}
	if err == nil {
		err = h.CheckBody(b[frame.HeaderSize:][:h.BodyLen], w.file.Seed)
	}
	if err != nil {
		return nil, &storage.DamageError{
			Partition: p, File: w.file.Name, From: at, To: at + int64(size), First: f.base, Next: f.next(), Records: int64(f.count), Reason: err.Error(),
		}
	}
	return b[:size], nil
}

// bytes returns what is at a position, n bytes unless the file ends before.
func (w *frameWindow) bytes(file *Backing, at int64, n int) ([]byte, error) {
	if skip := at - w.from; w.file == file && skip >= 0 && skip+int64(n) <= int64(len(w.buf)) {
		return w.buf[skip:], nil
	}
	want := max(n, w.ahead)
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.file, w.from = file, at
	got, err := file.File.ReadAt(w.buf[:want], at)
	w.buf = w.buf[:got]
	if err == io.EOF {
		err = nil
	}
	return w.buf, err
}
