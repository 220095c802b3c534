package compress_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
	kzstd "github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/compress/compresstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all is every codec at every level.
func all() map[string]compress.Codec {
	cs := map[string]compress.Codec{"snappy": compress.Snappy()}
	for level, name := range map[compress.Level]string{
		compress.Default: "", compress.Fast: " fast", compress.Better: " better", compress.Best: " best",
	} {
		cs["gzip"+name] = compress.Gzip(level)
		cs["s2"+name] = compress.S2(level)
		cs["zstd"+name] = compress.Zstd(level)
	}
	return cs
}

func TestConformance(t *testing.T) {
	for name, c := range all() {
		t.Run(name, func(t *testing.T) { compresstest.Test(t, c) })
	}
}

// Levels differ: the best is the smallest, on text.
func TestLevels(t *testing.T) {
	text := compresstest.Samples()["text"]
	for _, make := range []func(compress.Level) compress.Codec{compress.Gzip, compress.S2, compress.Zstd} {
		size := func(l compress.Level) int {
			p, err := make(l).AppendCompress(nil, text)
			if err != nil {
				t.Fatal(err)
			}
			return len(p)
		}
		fast, normal, best := size(compress.Fast), size(compress.Default), size(compress.Best)
		if beyond := size(200); beyond != best {
			t.Errorf("%s: %d bytes at a level beyond the best, %d at the best", make(0).Name(), beyond, best)
		}
		if best >= normal || best >= fast {
			t.Errorf("%s: fast %d, default %d, best %d bytes", make(0).Name(), fast, normal, best)
		}
	}
}

// What other programs write: several members, frames that do not say their size, frames to be skipped.
func TestStreams(t *testing.T) {
	text := compresstest.Samples()["text"][:300_000]
	gz := func() []byte {
		var b bytes.Buffer
		w := kgzip.NewWriter(&b)
		w.Write(text)
		w.Close()
		return b.Bytes()
	}()
	stream := func() []byte {
		var b bytes.Buffer
		w, err := kzstd.NewWriter(&b, kzstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(text)
		w.Flush() // else it knows the size
		w.Write(text)
		w.Close()
		return b.Bytes()
	}()
	skipped := append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0}, "any"...)
	empty, err := compress.Zstd(0).AppendCompress(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		codec compress.Codec
		src   []byte
		times int
	}{
		"gzip members":        {compress.Gzip(0), bytes.Repeat(gz, 3), 3},
		"zstd without size":   {compress.Zstd(0), stream, 2},
		"zstd frames":         {compress.Zstd(0), bytes.Repeat(stream, 2), 4},
		"zstd, one to skip":   {compress.Zstd(0), append(skipped, stream...), 2},
		"zstd behind nothing": {compress.Zstd(0), append(bytes.Clone(empty), stream...), 2},
	} {
		want := bytes.Repeat(text, test.times)
		for _, max := range []int{len(want), len(want) + 1, 10 * len(want)} {
			got, err := test.codec.AppendExpand(nil, test.src, max)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, bound %d: got %d bytes, %v, want %d", name, max, len(got), err, len(want))
			}
		}
		if _, err := test.codec.AppendExpand(nil, test.src, len(want)-1); !errors.Is(err, compress.ErrTooLarge) {
			t.Errorf("%s: got %v, want ErrTooLarge", name, err)
		}
	}
}

// A bound that is no bound is one that a caller may have.
func TestLargestBound(t *testing.T) {
	text := compresstest.Samples()["some text"]
	for name, c := range all() {
		p, err := c.AppendCompress(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range [][]byte{p, append(p, p...)} {
			got, err := c.AppendExpand([]byte("in front"), src, math.MaxInt)
			if err == nil && !bytes.HasPrefix(got, append([]byte("in front"), text...)) || err != nil && !errors.Is(err, compress.ErrCorrupt) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
}

// A declared size alone costs nothing.
func TestDeclaredSize(t *testing.T) {
	for name, test := range map[string]struct {
		codec compress.Codec
		src   []byte
	}{
		"snappy": {compress.Snappy(), binary.AppendUvarint(nil, 1<<32-1)},
		"s2":     {compress.S2(0), binary.AppendUvarint(nil, 1<<31-2)},
		"zstd":   {compress.Zstd(0), zstdOf(1 << 40)},
	} {
		compresstest.Bounded(t, 0, func() {
			if _, err := test.codec.AppendExpand(nil, test.src, 16<<20); !errors.Is(err, compress.ErrTooLarge) {
				t.Errorf("%s: got %v, want ErrTooLarge", name, err)
			}
		})
	}
}

// zstdOf returns a frame of one segment that says it has so many bytes, and has none.
func zstdOf(size uint64) []byte {
	return append(binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0b11100000}, size), 1, 0, 0)
}

func FuzzExpand(f *testing.F) {
	cs := []compress.Codec{compress.Gzip(0), compress.Snappy(), compress.S2(0), compress.Zstd(0)}
	for i, c := range cs {
		for _, src := range [][]byte{{}, []byte("abcabcabcabcabc"), make([]byte, 8<<20)} { // the last is a bomb
			p, err := c.AppendCompress(nil, src)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(p, uint8(i), uint32(len(src)))
		}
	}
	f.Add(zstdOf(1<<40), uint8(3), uint32(1<<20))
	f.Add(zstdOf(1<<20), uint8(3), uint32(1<<20))
	f.Add(binary.AppendUvarint(nil, 1<<32-1), uint8(1), uint32(1<<20))
	f.Fuzz(func(t *testing.T, p []byte, i uint8, bound uint32) {
		c, max := cs[int(i)%len(cs)], int(bound%(1<<20+1))
		compresstest.Bounded(t, 8*uint64(max)+uint64(4*len(p))+16<<20, func() { compresstest.Check(t, c, p, max) })
	})
}
