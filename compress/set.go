package compress

import "fmt"

// Set finds codecs by their numbers, for stored data that says which one made it. It is a closed list: what is not in it is not expanded. The zero Set has
// all four codecs at their default level, each made anew by ByID; NewSet makes them once. Safe for concurrent use.
type Set struct {
	codecs [IDZstd + 1]Codec // by ID
	listed bool
}

// NewSet returns a Set of the given codecs; of none it returns one of all four at their default level. It fails for two of the same ID, and for
// one of an ID that this package does not know.
func NewSet(cs ...Codec) (Set, error) {
	if len(cs) == 0 {
		cs = []Codec{Gzip(Default), Snappy(), S2(Default), Zstd(Default)}
	}
	s := Set{listed: true}
	for _, c := range cs {
		id := c.ID()
		if !id.Known() {
			return Set{}, fmt.Errorf("compress: a set with %v, which is not known", id)
		}
		if s.codecs[id] != nil {
			return Set{}, fmt.Errorf("compress: a set with %v twice", id)
		}
		s.codecs[id] = c
	}
	return s, nil
}

// ByID returns the codec with the number. ok is false if the Set does not have it.
func (s Set) ByID(id ID) (c Codec, ok bool) {
	if !s.listed {
		return New(id, Default)
	}
	if int(id) >= len(s.codecs) || s.codecs[id] == nil {
		return nil, false
	}
	return s.codecs[id], true
}

// New returns a new codec with the number, at a level. Snappy has only one. ok is false for a number that is not Known.
func New(id ID, l Level) (c Codec, ok bool) {
	switch id {
	case IDGzip:
		return Gzip(l), true
	case IDSnappy:
		return Snappy(), true
	case IDS2:
		return S2(l), true
	case IDZstd:
		return Zstd(l), true
	}
	return nil, false
}
