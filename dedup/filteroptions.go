package dedup

import (
	"errors"
	"fmt"
	"time"

	"github.com/bits-and-blooms/bloom/v3"
)

// FilterOptions are the bounds of a [Filter]. The zero value is one for 65,536 keys and ten minutes.
type FilterOptions struct {
	// Keys is how many committed keys are remembered exactly, at least. 0 is 65,536; at most 16,777,216.
	Keys int
	// Window is for how long a committed key is remembered. 0 is 10 minutes; at least 1 ms, at most 10 years.
	Window time.Duration
	// History is how many generations more are remembered, by a Bloom filter only, as Perhaps. A generation is Keys or a Window, whichever ends
	// first. 0 is none; at most 1,024.
	History int
	// FalsePositives is the part of new keys that a full Bloom filter does not know to be new. With History, one more new key in so many is
	// Perhaps for each generation. 0 is 0.01; from 0.000001 to 0.5.
	FalsePositives float64
	// InFlight is how many keys may be reserved at a time. 0 is 65,536; at most 16,777,216.
	InFlight int
}

const (
	defaultKeys    = 65_536
	maxKeys        = 1 << 24
	maxHistory     = 1024
	maxWindow      = 10 * 365 * 24 * time.Hour
	mapBytesPerKey = 120 // of a Go map that was made for as many keys or grew to them, at the worst number of them
)

func (o FilterOptions) validate() error {
	var faults []error
	check := func(ok bool, option string, have any, rule string) {
		if !ok {
			faults = append(faults, &OptionsError{"FilterOptions." + option, fmt.Sprint(have), rule})
		}
	}
	check(o.Keys >= 0 && o.Keys <= maxKeys, "Keys", o.Keys, "it must be 0 or from 1 to 16,777,216")
	check(o.Window == 0 || o.Window >= time.Millisecond && o.Window <= maxWindow, "Window", o.Window, "it must be 0 or from 1ms to 10 years")
	check(o.History >= 0 && o.History <= maxHistory, "History", o.History, "it must be from 0 to 1,024")
	check(o.FalsePositives == 0 || o.FalsePositives >= 1e-6 && o.FalsePositives <= 0.5, "FalsePositives", o.FalsePositives,
		"it must be 0 or from 0.000001 to 0.5")
	check(o.InFlight >= 0 && o.InFlight <= maxKeys, "InFlight", o.InFlight, "it must be 0 or from 1 to 16,777,216")
	return errors.Join(faults...)
}

func (o FilterOptions) withDefaults() FilterOptions {
	if o.Keys == 0 {
		o.Keys = defaultKeys
	}
	if o.Window == 0 {
		o.Window = 10 * time.Minute
	}
	if o.FalsePositives == 0 {
		o.FalsePositives = 0.01
	}
	if o.InFlight == 0 {
		o.InFlight = defaultKeys
	}
	return o
}

// bloomSize returns bits and hashes of each generation's Bloom filter. It is never filled with more than it was made for.
func (o FilterOptions) bloomSize() (bits, hashes uint) {
	bits, hashes = bloom.EstimateParameters(uint(o.Keys), o.FalsePositives)
	return max(bits, 64), hashes
}

// Bytes returns how much memory a filter of these options takes at most, in bytes. Options that NewFilter refuses take none.
func (o FilterOptions) Bytes() int64 {
	if o.validate() != nil {
		return 0
	}
	o = o.withDefaults()
	bits, _ := o.bloomSize()
	generations := exactGenerations + o.History
	small := int64(4096 + 256*generations)
	return small + int64(generations)*int64(bits/8) + exactGenerations*mapBytesPerKey*int64(o.Keys) + mapBytesPerKey*int64(o.InFlight)
}
