package compress

import (
	"errors"
	"fmt"
)

// Codec compresses blocks. Its methods may be called concurrently, and a Codec may be kept for as long as the program runs: it starts no goroutines,
// and what it keeps for later calls is freed by the garbage collector when it is not used.
type Codec interface {
	// ID is the codec's number in stored data.
	ID() ID
	// Name is the ID's name.
	Name() string
	// AppendCompress appends src, compressed, to dst. The error is ErrTooLarge, for a src that the format cannot hold; dst is then returned
	// as it was. src must not overlap what is behind dst's end.
	AppendCompress(dst, src []byte) ([]byte, error)
	// AppendExpand appends to dst what src was before it was compressed, at most max bytes. If there would be more, the error is
	// ErrTooLarge: before anything is allocated for it if src says its size, and with at most a few times max and 16 MiB allocated if not. Bytes that are not
	// the codec's are ErrCorrupt, an empty src too. A negative max counts as 0. With an error dst is returned as it was. src must not overlap what is behind dst's end.
	//
	// Not every format has a sum of its own: what was damaged may come back as something else, never as more than max bytes.
	AppendExpand(dst, src []byte, max int) ([]byte, error)
}

// ErrTooLarge says that a block is larger than the bound, or than the format can hold.
var ErrTooLarge = errors.New("compress: larger than the bound")

// ErrCorrupt says that bytes are not what the codec makes. It comes wrapped, with the codec and what is wrong.
var ErrCorrupt = errors.New("compress: corrupt block")

func corrupt(id ID, cause error) error { return fmt.Errorf("%w: %v: %w", ErrCorrupt, id, cause) }

// errNothing is the cause of ErrCorrupt for no bytes at all, from which some formats would make no bytes.
var errNothing = errors.New("no bytes")
