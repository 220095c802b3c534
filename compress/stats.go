package compress

import (
	"sync/atomic"
	"time"
)

// Stats is what a Packer has done since it was made.
type Stats struct {
	Left    int64         // blocks that its selector left as they are
	InVain  int64         // blocks that were compressed and did not shrink: they were left, too
	Wasted  time.Duration // on those
	Refused int64         // blocks that were not expanded: corrupt, too large, or of a codec that is not known
	Codecs  []CodecStats  // those that did something, by their numbers
}

// CodecStats is what one codec has done. Sizes and times are taken before what was is replaced by what became of it.
type CodecStats struct {
	ID                          ID
	Packed, Expanded            int64 // blocks
	PackedIn, PackedOut         int64 // bytes, before and after
	ExpandedIn, ExpandedOut     int64 // the same
	PackingTime, ExpandingTime  time.Duration
	SmallestRatio, LargestRatio float64 // of packed blocks; 0: there are none
}

// Ratio is how large blocks are after they were packed, in parts of what they were before; 1 if none was.
func (c CodecStats) Ratio() float64 {
	if c.PackedIn == 0 {
		return 1
	}
	return float64(c.PackedOut) / float64(c.PackedIn)
}

// figures count for a Packer.
type figures struct {
	left, inVain, inVainTime, refused atomic.Int64
	codecs                            [IDZstd + 1]codecFigures
}

type codecFigures struct {
	packed, packedIn, packedOut, packingTime         atomic.Int64
	expanded, expandedIn, expandedOut, expandingTime atomic.Int64
	smallest, largest                                atomic.Int64 // ratios in millionths, and one; 0: none
}

func (f *figures) packed(id ID, in, out int, took time.Duration) {
	c := &f.codecs[id]
	c.packed.Add(1)
	c.packedIn.Add(int64(in))
	c.packedOut.Add(int64(out))
	c.packingTime.Add(int64(took))
	ratio := int64(float64(out)/float64(in)*1e6) + 1
	keep(&c.smallest, ratio, func(old int64) bool { return ratio < old })
	keep(&c.largest, ratio, func(old int64) bool { return ratio > old })
}

// keep sets v, if it is none yet or better is true of it.
func keep(v *atomic.Int64, to int64, better func(old int64) bool) {
	for {
		old := v.Load()
		if old != 0 && !better(old) || v.CompareAndSwap(old, to) {
			return
		}
	}
}

func (f *figures) expanded(id ID, in, out int, took time.Duration) {
	c := &f.codecs[id]
	c.expanded.Add(1)
	c.expandedIn.Add(int64(in))
	c.expandedOut.Add(int64(out))
	c.expandingTime.Add(int64(took))
}

// Stats returns the figures as they are now.
func (p *Packer) Stats() Stats {
	f := &p.figures
	s := Stats{Left: f.left.Load(), InVain: f.inVain.Load(), Wasted: time.Duration(f.inVainTime.Load()), Refused: f.refused.Load()}
	for id := range f.codecs {
		c := &f.codecs[id]
		one := CodecStats{
			ID:       ID(id),
			Packed:   c.packed.Load(),
			PackedIn: c.packedIn.Load(), PackedOut: c.packedOut.Load(), PackingTime: time.Duration(c.packingTime.Load()),
			Expanded:   c.expanded.Load(),
			ExpandedIn: c.expandedIn.Load(), ExpandedOut: c.expandedOut.Load(), ExpandingTime: time.Duration(c.expandingTime.Load()),
			SmallestRatio: ratio(&c.smallest), LargestRatio: ratio(&c.largest),
		}
		if one.Packed+one.Expanded > 0 {
			s.Codecs = append(s.Codecs, one)
		}
	}
	return s
}

func ratio(v *atomic.Int64) float64 {
	if n := v.Load(); n > 0 {
		return float64(n-1) / 1e6
	}
	return 0
}
