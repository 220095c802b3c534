package compress

import (
	"io"
	"slices"
)

// appendAll appends all that r has, if that is at most limit bytes, and else returns ErrTooLarge. hint is how many they may be.
func appendAll(dst []byte, r io.Reader, limit, hint int) ([]byte, error) {
	out, start := slices.Grow(dst, hint), len(dst)
	for {
		if len(out)-start == limit { // the next byte, if there is one, is too many
			return finish(dst, out, r)
		}
		if len(out) == cap(out) {
			out = slices.Grow(out, min(limit-(len(out)-start), 512+(len(out)-start)/2))
		}
		room := out[len(out) : start+min(cap(out)-start, limit)] // limit may be the largest number there is
		n, err := r.Read(room)
		out = out[:len(out)+n]
		switch {
		case err == io.EOF:
			return out, nil
		case err != nil:
			return dst, err
		}
	}
}

// finish checks that r has nothing left: it reads the trailer's sum on the way.
func finish(dst, out []byte, r io.Reader) ([]byte, error) {
	var more [1]byte
	for {
		n, err := r.Read(more[:])
		switch {
		case n > 0:
			return dst, ErrTooLarge
		case err == io.EOF:
			return out, nil
		case err != nil:
			return dst, err
		}
	}
}
