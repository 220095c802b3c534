//go:build !unix

package osfs

import "math"

// Descriptors is how many files this process may have open, as far as the system has a bound.
func Descriptors() int { return math.MaxInt32 }
